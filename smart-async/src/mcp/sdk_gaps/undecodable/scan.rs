//! Finds the messages in bytes that are not JSON, or not the JSON of one message, with the ids that can be read.

use rmcp::model::RequestId;

use super::Part;

/// The longest key or id that is read, in bytes.
const LONGEST_TOKEN: usize = 4 * 1024;

/// A reader of broken JSON, which it takes in pieces. It knows strings, and counts brackets.
#[derive(Debug, Default)]
pub(in crate::mcp::sdk_gaps) struct Scan {
    /// Whether the first byte that means anything has been seen, and began an object or an array.
    began: Option<bool>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The key whose value is being read, where it stands in a message itself.
    key: Option<String>,
    /// The key or the value that is being read.
    token: Vec<u8>,
    message: Members,
    parts: Vec<Part>,
}

/// The members of a message that were seen.
#[derive(Debug, Default)]
struct Members {
    id: Id,
    method: bool,
    answer: bool,
}

#[derive(Debug, Default)]
enum Id {
    #[default]
    Absent,
    Known(RequestId),
    /// It has a wrong type, or there are two.
    Unclear,
}

impl Scan {
    /// The parts of a whole message.
    pub(super) fn whole(message: &[u8]) -> Vec<Part> {
        let mut scan = Self::default();
        scan.read(message);
        scan.finish()
    }

    /// Reads on.
    pub(in crate::mcp::sdk_gaps) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.began != Some(false) {
                self.step(*byte);
            }
        }
    }

    /// The parts that were found.
    pub(super) fn finish(mut self) -> Vec<Part> {
        if self.depth > 0 {
            // The message is cut. A member that has no end may be cut as well.
            self.end_message(true);
        }
        if self.parts.is_empty() && self.began == Some(true) {
            self.parts.push(Part::Anonymous);
        }
        self.parts
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.keep(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        if self.began.is_none() {
            match byte {
                // White space, and the byte order mark.
                b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF => return,
                _ => self.began = Some(matches!(byte, b'{' | b'[')),
            }
        }
        match byte {
            // The array of a batch.
            b'[' | b']' | b'}' if self.depth == 0 => {}
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 1 {
                    self.message = Members::default();
                    self.key = None;
                }
                self.token.clear();
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_member();
                    self.end_message(false);
                }
                self.depth -= 1;
                self.token.clear();
            }
            b'"' => {
                self.in_string = self.depth > 0;
                self.keep(byte);
            }
            b':' if self.depth == 1 => {
                self.key = serde_json::from_slice(&self.token).ok();
                self.token.clear();
            }
            b',' if self.depth == 1 => self.end_member(),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        // One byte more than is read, so that a longer token is none.
        if self.depth == 1 && self.token.len() <= LONGEST_TOKEN {
            self.token.push(byte);
        }
    }

    fn end_member(&mut self) {
        match self.key.take().as_deref() {
            Some("id") => {
                let id = serde_json::from_slice(&self.token).ok();
                self.message.id = match (&self.message.id, id) {
                    (Id::Absent, Some(id)) => Id::Known(id),
                    _ => Id::Unclear,
                };
            }
            Some("method") => self.message.method = true,
            Some("result" | "error") => self.message.answer = true,
            _ => {}
        }
        self.token.clear();
    }

    fn end_message(&mut self, is_cut: bool) {
        let Members { id, method, answer } = std::mem::take(&mut self.message);
        self.parts.push(match id {
            Id::Known(id) if answer && !method => Part::Answer(id),
            Id::Known(id) => Part::Request(id),
            Id::Absent if method && !is_cut => Part::Notification,
            Id::Absent | Id::Unclear => Part::Anonymous,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: i64) -> Part {
        Part::Request(RequestId::Number(id))
    }

    #[test]
    fn an_id_is_read_wherever_it_stands() {
        let text = |id: &str| Part::Request(RequestId::String(id.into()));
        for (message, part) in [
            (r#"{"id":7,"method":"a","params":{"x":"\ud83d"}}"#, request(7)),
            (r#"{"method":"a","params":{"id":5,"x":["id",{"id":6}]},"id" : "s" }"#, text("s")),
            (r#" {"\u0069d":"a\"b","method":"a"} x"#, text("a\"b")),
            (r#"{"params":"} {\"id\":5,","id":-1,"method":5}"#, request(-1)),
            (r#"{"id":7,"method":"a","params":{"x":"#, request(7)),
            (r#"{"id":7,"result":{}}"#, Part::Answer(RequestId::Number(7))),
            (r#"{"id":7,"result":{},"method":"a"}"#, request(7)),
            (r#"{"method":"a"}"#, Part::Notification),
            (r#"{"method":"a","par"#, Part::Anonymous),
            (r#"{"method":"a","id":12"#, Part::Anonymous),
            (r#"{"method":"a","id":1.5}"#, Part::Anonymous),
            (r#"{"method":"a","id":null}"#, Part::Anonymous),
            (r#"{"method":"a","id":1,"id":2}"#, Part::Anonymous),
            (r#"{"method":"a","id":"\ud83d"}"#, Part::Anonymous),
            (r#"{"method":"a","id":{"id":1}}"#, Part::Anonymous),
            ("[]", Part::Anonymous),
        ] {
            assert_eq!(Scan::whole(message.as_bytes()), [part], "{message}");
        }
    }

    #[test]
    fn each_message_of_a_batch_is_found_and_none_in_other_text() {
        let batch = r#"[{"id":1,"method":"a"},{"id":2,"method":"a"}]"#;
        assert_eq!(Scan::whole(batch.as_bytes()), [request(1), request(2)]);
        assert_eq!(Scan::whole(&batch.as_bytes()[1..]), [request(1), request(2)]);
        assert_eq!(Scan::whole(br#"got {"id":1,"method":"a"}"#), []);
        assert_eq!(Scan::whole(b"\xFF\xFE{\0}\0"), []);
    }

    #[test]
    fn a_scan_takes_pieces_and_keeps_no_long_token() {
        let mut scan = Scan::default();
        for piece in
            [&b"{\"x\":\""[..], &vec![b'a'; 1 << 20], b"\",\"i", b"d\":7,\"method\":\"a\"}"]
        {
            scan.read(piece);
        }
        assert!(scan.token.capacity() < 4 * LONGEST_TOKEN);
        assert_eq!(scan.finish(), [request(7)]);
    }
}
