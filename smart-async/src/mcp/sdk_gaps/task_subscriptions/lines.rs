//! Renames subscriptions to tasks in a stream of lines, one message each, refuses the lines that cannot be decoded, and tells the
//! server of the stream's end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::rename::{INPUT_ENDED, renamed};
use crate::core::observe;
use crate::mcp::sdk_gaps::undecodable::{Scan, Undecodable, undecodable};

/// The longest line that is read as a message, in bytes: the limit of the SDK's own transport (`DEFAULT_MAX_LINE_LENGTH` in
/// `async_rw.rs` of rmcp 3.11), which drops a longer line.
const LONGEST: usize = 16 * 1024 * 1024;

/// The size of one read, in bytes.
const CHUNK: usize = 8 * 1024;

/// The reading half of a connection whose client can subscribe to its tasks: stdin, a socket, a pipe. A
/// [`JobServer`](crate::JobServer) serves it together with the writing half.
///
/// A request that cannot be decoded, or whose line is longer than 16 MiB, is answered with an error under its id. The SDK's own
/// transport passes over it.
///
/// ```no_run
/// # use rmcp::ServerHandler;
/// # use smart_async::rmcp;
/// # async fn example<S: ServerHandler>(
/// #     server: smart_async::JobServer<S>,
/// #     socket: tokio::io::DuplexStream,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use smart_async::transport::TaskSubscriptions;
///
/// let (read, write) = tokio::io::split(socket);
/// server.serve((TaskSubscriptions::new(read), write)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TaskSubscriptions<R> {
    read: R,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// The reader of a line that is longer than [`LONGEST`], none of which is kept.
    too_long: Option<Scan>,
    /// The bytes for the reader, from `taken` on.
    ready: Vec<u8>,
    taken: usize,
    ended: bool,
    /// Whether a line has named the method of a call: only then the server is told of the end.
    has_called: bool,
}

impl<R> TaskSubscriptions<R> {
    /// Reads from `read`.
    pub const fn new(read: R) -> Self {
        Self {
            read,
            line: Vec::new(),
            too_long: None,
            ready: Vec::new(),
            taken: 0,
            ended: false,
            has_called: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if self.too_long.is_some() || self.line.len() + piece.len() > LONGEST {
                let scan = self.too_long.get_or_insert_default();
                scan.read(&std::mem::take(&mut self.line));
                scan.read(piece);
                if ends && let Some(scan) = self.too_long.take() {
                    self.refuse(&Undecodable::too_long(scan, LONGEST));
                }
                continue;
            }
            self.line.extend_from_slice(piece);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        match undecodable(&self.line) {
            Some(fault) => {
                let line = std::mem::take(&mut self.line);
                if !self.refuse(&fault) && !line.trim_ascii().is_empty() {
                    self.ready.extend(line);
                }
            }
            None => {
                self.has_called = self.has_called || is_call(&self.line);
                match renamed(&self.line) {
                    Some(renamed) => {
                        self.ready.extend(renamed);
                        self.ready.push(b'\n');
                        self.line.clear();
                    }
                    None => self.ready.append(&mut self.line),
                }
            }
        }
    }

    /// Lets the server answer a line that cannot be decoded. Returns whether the line is meant as a message.
    fn refuse(&mut self, fault: &Undecodable) -> bool {
        if fault.is_anonymous() {
            observe::warn!("a line of the client is no message, or names no id for an answer");
        }
        let lines = fault.lines();
        let is_message = lines.is_some();
        self.ready.extend(lines.unwrap_or_default());
        is_message
    }
}

/// Returns whether the line may be a call of a tool.
fn is_call(line: &[u8]) -> bool {
    const CALL: &[u8] = b"tools/call";
    line.windows(CALL.len()).any(|bytes| bytes == CALL || bytes == br"tools\/cal")
}

impl<R: AsyncRead + Unpin> AsyncRead for TaskSubscriptions<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let ready = this.ready.get(this.taken..).unwrap_or_default();
            if !ready.is_empty() {
                let (given, _) = ready.split_at(ready.len().min(buffer.remaining()));
                buffer.put_slice(given);
                this.taken += given.len();
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.taken = 0;
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.read).poll_read(context, &mut chunk))?;
            if chunk.filled().is_empty() {
                this.ended = true;
                // The SDK passes over a last line without an end, unless another line follows.
                this.line.clear();
                if this.has_called {
                    let notice = format!(r#"{{"jsonrpc":"2.0","method":"{INPUT_ENDED}"}}"#);
                    this.ready.extend(notice.into_bytes());
                    this.ready.push(b'\n');
                }
            } else {
                this.push(chunk.filled());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::mcp::sdk_gaps::task_subscriptions::LISTEN;

    const LISTEN_TO_TASKS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"taskIds":[]}}}"#;

    /// The output for an input in pieces of these sizes.
    async fn read(input: &[u8], pieces: &[usize]) -> Vec<u8> {
        let mut rest = input;
        let mut stream = Vec::new();
        for size in pieces {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            rest = after;
            stream.push(piece.to_vec());
        }
        stream.push(rest.to_vec());
        let mut read = Vec::new();
        TaskSubscriptions::new(Pieces(stream.into_iter())).read_to_end(&mut read).await.unwrap();
        read
    }

    /// A stream that gives one piece at a time.
    struct Pieces(std::vec::IntoIter<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            for piece in self.0.by_ref() {
                if !piece.is_empty() {
                    buffer.put_slice(&piece);
                    break;
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_line_is_renamed_wherever_it_is_cut() {
        const A: &str = r#"{"jsonrpc":"2.0","method":"a"}"#;
        const B: &str = r#"{"jsonrpc":"2.0","method":"b"}"#;
        let input = format!("{A}\n{LISTEN_TO_TASKS}\r\n{B}\n{LISTEN_TO_TASKS}\nrest");
        for size in [1, 2, 7, 64, 4000] {
            let read = read(input.as_bytes(), &vec![size; input.len()]).await;
            let read = String::from_utf8(read).unwrap();
            let lines: Vec<_> = read.split('\n').collect();
            assert_eq!((lines[0], lines[2], lines[4]), (A, B, ""));
            for renamed in [lines[1], lines[3]] {
                assert!(renamed.contains(LISTEN), "{renamed}");
            }
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_refused_and_the_next_is_renamed() {
        let long = LISTEN_TO_TASKS.replace("[]", &format!("[\"{}\"]", "x".repeat(LONGEST)));
        let input = format!("{long}\n{LISTEN_TO_TASKS}\n");
        let read =
            String::from_utf8(read(input.as_bytes(), &vec![CHUNK; LONGEST / CHUNK + 9]).await)
                .unwrap();
        let lines: Vec<_> = read.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("longer than 16 MiB"), "{}", lines[0]);
        assert!(lines[1].contains(LISTEN));
    }

    #[tokio::test]
    async fn a_line_that_is_no_message_passes_and_a_message_that_is_none_is_replaced() {
        let bad_notification = r#"{"method":"notifications/a","params":"\ud83d"}"#;
        let input = format!("\n \r\nhello\n{bad_notification}\n{{\n");
        let read = String::from_utf8(read(input.as_bytes(), &[]).await).unwrap();
        assert_eq!(read, "hello\n{}\n");
    }

    #[tokio::test]
    async fn the_end_of_the_input_is_told_of_behind_a_call() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        let escaped = call.replace('/', r"\/");
        for call in [call, &escaped] {
            let read = read(format!("{call}\n{{\"cut").as_bytes(), &[]).await;
            let read = String::from_utf8(read).unwrap();
            let told: Vec<_> = read.lines().collect();
            assert!(told.len() == 2 && told[0] == call && told[1].contains(INPUT_ENDED), "{read}");
        }
    }

    #[test]
    fn a_line_without_an_end_holds_no_more_than_a_line() {
        let mut reader = TaskSubscriptions::new(tokio::io::empty());
        for _ in 0..LONGEST / CHUNK * 2 {
            reader.push(&[b'x'; CHUNK]);
            reader.ready.clear();
            assert!(reader.line.capacity() <= 4 * LONGEST);
        }
    }
}
