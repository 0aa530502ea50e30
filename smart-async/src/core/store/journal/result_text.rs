//! The text of a result in its file, by pages, as [`ResultPage`] defines it.
//!
//! A page takes as much memory as it shows, and no more. The first page of a file looks through the file once, and remembers where
//! the text lies and where each stretch of it begins; later pages seek.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::core::job::ResultPage;

/// The length of a stretch of a text that is a JSON string, in bytes.
const STRETCH: u64 = 64 * 1024;

/// The longest name of a field that matters.
const LONGEST_NAME: usize = 16;

/// Where the text lies in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TextIndex {
    /// The file has a result that is no string, or content blocks: the text is the bytes from the first position up to the second.
    AsWritten(u64, u64),
    /// The result is a JSON string.
    String {
        /// The length of the text in bytes.
        total: u64,
        /// How long the text is before each stretch, and where the stretch begins in the file.
        stretches: Vec<(u64, u64)>,
    },
}

impl TextIndex {
    /// Looks through a file. `None` where it has no such text: that of a failed job is its error, which the record has.
    pub(super) fn of(file: impl Read) -> io::Result<Option<Self>> {
        let mut json = Reader::new(file, 0);
        let (mut result, mut blocks) = (None, None);
        json.fields(|json, name| match name {
            b"result" => {
                result = Some(json.text()?);
                Ok(())
            }
            b"tool_result" if json.peek()? == b'{' => json.fields(|json, name| {
                let (from, to) = json.value()?;
                if name == b"content" {
                    blocks = Some(Self::AsWritten(from, to));
                }
                Ok(())
            }),
            _ => json.value().map(drop),
        })?;
        Ok(blocks.or(result))
    }

    fn total(&self) -> u64 {
        match self {
            Self::AsWritten(from, to) => to - from,
            Self::String { total, .. } => *total,
        }
    }

    /// Reads a page, which begins and ends as [`ResultPage::of`] says.
    pub(super) fn page(
        &self,
        mut file: impl Read + Seek,
        offset: u64,
        max_bytes: usize,
    ) -> io::Result<ResultPage> {
        let total = self.total();
        let offset = offset.min(total);
        let (from, mut at) = match self {
            // A character before the offset begins three bytes before it at most.
            Self::AsWritten(from, _) => {
                let before = offset.saturating_sub(3);
                (from + before, before)
            }
            Self::String { stretches, .. } => {
                let stretch = stretches.partition_point(|(text, _)| *text <= offset);
                let found = stretch.checked_sub(1).and_then(|stretch| stretches.get(stretch));
                let (text, file) = found.ok_or(io::ErrorKind::InvalidData)?;
                (*file, *text)
            }
        };
        file.seek(SeekFrom::Start(from))?;
        let mut json = Reader::new(file, from);
        if matches!(self, Self::AsWritten(..)) {
            while at < offset && json.peek()? & 0xc0 == 0x80 {
                json.next()?;
                at += 1;
            }
        }
        let is_escaped = matches!(self, Self::String { .. });
        let mut page = ResultPage::new(String::new(), total, total);
        while at < total {
            let character = if is_escaped { json.character()? } else { json.raw_character()? };
            let begins_before_page = at + character.len_utf8() as u64 <= offset;
            if !begins_before_page {
                if page.text.is_empty() {
                    page.offset = at;
                } else if page.text.len() + character.len_utf8() > max_bytes {
                    break;
                }
                page.text.push(character);
            }
            at += character.len_utf8() as u64;
        }
        Ok(page)
    }
}

/// Reads JSON byte by byte, without keeping it.
struct Reader<R> {
    file: BufReader<R>,
    position: u64,
}

impl<R: Read> Reader<R> {
    fn new(file: R, position: u64) -> Self {
        Self { file: BufReader::with_capacity(64 * 1024, file), position }
    }

    fn peek(&mut self) -> io::Result<u8> {
        let next = self.file.fill_buf()?.first().copied();
        next.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn next(&mut self) -> io::Result<u8> {
        let next = self.peek()?;
        self.file.consume(1);
        self.position += 1;
        Ok(next)
    }

    /// The next byte that is no blank; it stays the next one.
    fn peek_token(&mut self) -> io::Result<u8> {
        while self.peek()?.is_ascii_whitespace() {
            self.next()?;
        }
        self.peek()
    }

    fn expect(&mut self, token: u8) -> io::Result<()> {
        if self.peek_token()? != token {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.next().map(drop)
    }

    /// Reads an object; `read` reads the value of each field.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.expect(b'{')?;
        if self.peek_token()? == b'}' {
            return self.next().map(drop);
        }
        loop {
            self.expect(b'"')?;
            let mut name = Vec::new();
            while self.peek()? != b'"' {
                let byte = self.next()?;
                // The escaped names of others may contain a quote.
                if byte == b'\\' {
                    self.next()?;
                }
                if name.len() <= LONGEST_NAME {
                    name.push(byte);
                }
            }
            self.next()?;
            self.expect(b':')?;
            self.peek_token()?;
            read(self, &name)?;
            match self.peek_token()? {
                b',' => self.next()?,
                b'}' => return self.next().map(drop),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
        }
    }

    /// Reads a value. Returns where it begins and ends.
    fn value(&mut self) -> io::Result<(u64, u64)> {
        let (begin, mut depth) = (self.position, 0_u64);
        loop {
            match self.peek()? {
                b'"' => {
                    self.next()?;
                    while self.peek()? != b'"' {
                        if self.next()? == b'\\' {
                            self.next()?;
                        }
                    }
                    self.next()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.next()?;
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.next()?;
                }
                // The end of a number or a word, in the list or object around it.
                b',' | b'}' | b']' if depth == 0 => return Ok((begin, self.position)),
                _ => {
                    self.next()?;
                    continue;
                }
            }
            if depth == 0 {
                return Ok((begin, self.position));
            }
        }
    }

    /// Reads the value of a result.
    fn text(&mut self) -> io::Result<TextIndex> {
        if self.peek()? != b'"' {
            let (from, to) = self.value()?;
            return Ok(TextIndex::AsWritten(from, to));
        }
        self.next()?;
        let (mut total, mut stretches) = (0, vec![(0, self.position)]);
        while self.peek()? != b'"' {
            if stretches.last().is_some_and(|(text, _)| total - text >= STRETCH) {
                stretches.push((total, self.position));
            }
            total += self.character()?.len_utf8() as u64;
        }
        self.next()?;
        Ok(TextIndex::String { total, stretches })
    }

    /// A character of a JSON string.
    fn character(&mut self) -> io::Result<char> {
        if self.peek()? != b'\\' {
            return self.raw_character();
        }
        self.next()?;
        Ok(match self.next()? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let unit = self.code_unit()?;
                let mut units = vec![unit];
                if (0xd800..0xdc00).contains(&unit) {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    units.push(self.code_unit()?);
                }
                let mut decoded = char::decode_utf16(units);
                let character = decoded.next().and_then(Result::ok);
                character.ok_or(io::ErrorKind::InvalidData)?
            }
            other => other.into(),
        })
    }

    fn code_unit(&mut self) -> io::Result<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(io::ErrorKind::InvalidData)?;
            unit = unit << 4 | digit;
        }
        u16::try_from(unit).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// A character as it stands in the file.
    fn raw_character(&mut self) -> io::Result<char> {
        let first = self.next()?;
        let length = match first {
            0..0x80 => return Ok(first.into()),
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let mut bytes = [first, 0, 0, 0];
        for byte in bytes.iter_mut().take(length).skip(1) {
            *byte = self.next()?;
        }
        let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(|text| text.chars().next()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::{Value, json};

    use super::*;
    use crate::core::job::{
        Change, JobEvent, JobFailure, JobId, JobOutput, JobRecord, JobSpec, Timestamp,
    };

    /// All pages of a file and of the record itself, which are the same.
    fn check(event: JobEvent) {
        let now = Timestamp::UNIX_EPOCH;
        let job = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", now));
        let job = job.apply(Change::new(JobEvent::Start, now)).unwrap();
        let whole = job.apply(Change::new(event, now)).unwrap();
        let payload = whole.clone().take_payload().unwrap();
        let mut document = serde_json::to_value(payload).unwrap();
        document["version"] = 1.into();
        document["id"] = json!("\"with\\a quote");
        for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            let is_pretty = text.contains('\n');
            let index = TextIndex::of(Cursor::new(&text)).unwrap().unwrap();
            let total = whole.result_text().unwrap().len() as u64;
            if is_pretty && matches!(index, TextIndex::AsWritten(..)) {
                // A person has laid the file out in another way.
                continue;
            }
            assert_eq!(index.total(), total);
            let offsets = (0..40).chain(STRETCH - 3..STRETCH + 3).chain([
                total.saturating_sub(1),
                total,
                total + 1,
            ]);
            for offset in offsets {
                for max_bytes in [1, 2, 7, 1000] {
                    let read = index.page(Cursor::new(&text), offset, max_bytes).unwrap();
                    let expected = ResultPage::of(&whole, offset, max_bytes).unwrap();
                    assert_eq!(read, expected, "{offset}, {max_bytes}");
                }
            }
        }
    }

    #[test]
    fn a_page_of_a_file_is_the_page_of_the_result() {
        let odd = "a\"ü\\\u{1}\n\u{10ffff}😀\u{7f}/";
        for result in [
            json!(odd),
            json!(odd.repeat(20_000)),
            json!(""),
            json!({"result": odd, "list": [1, 2.5, null, true, {"tool_result": {"content": "no"}}]}),
            json!([odd, [], {}, [[]]]),
            json!(12345),
            Value::Null,
        ] {
            check(JobEvent::Complete(JobOutput::new(result).with_metadata("result", "no")));
        }
        let mut output = JobOutput::new("text");
        let blocks = json!({"isError": false, "content": [{"type": "text", "text": odd}]});
        output.tool_result = Some(blocks.clone());
        check(JobEvent::Complete(output));
        let mut failure = JobFailure::error("no");
        failure.tool_result = Some(Box::new(blocks));
        check(JobEvent::Fail(failure));
    }

    #[test]
    fn a_file_without_a_text_has_no_index_and_a_damaged_one_is_told() {
        let details = r#"{"version":1,"id":"x","error_details":{"result":1}}"#;
        assert_eq!(TextIndex::of(details.as_bytes()).unwrap(), None);
        for text in
            ["", "{", "[]", "{\"result\":\"x", "{\"result\":\"\\ud800x\"}", "{\"result\" 1}"]
        {
            assert!(TextIndex::of(text.as_bytes()).is_err(), "{text}");
        }
    }
}
