//! Tokens and comments of Rust source.

use std::iter::Peekable;
use std::str::Chars;

/// A token. Literals are left out, since no test asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// `::`
    PathSeparator,
    /// Any other character that is no white space.
    Mark(char),
}

impl Token {
    /// Returns whether this is the word.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }
}

/// A comment of one line, without its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The line, counted from 1.
    pub line: usize,
    /// The text after the slashes.
    pub text: String,
}

/// Splits a text into its tokens and its line comments.
pub fn lex(text: &str) -> (Vec<Token>, Vec<Comment>) {
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1, ..Lexer::default() };
    while lexer.token() {}
    (lexer.tokens, lexer.comments)
}

struct Lexer<'text> {
    rest: Peekable<Chars<'text>>,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl Default for Lexer<'_> {
    fn default() -> Self {
        Self { rest: "".chars().peekable(), line: 1, tokens: Vec::new(), comments: Vec::new() }
    }
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn take_while(&mut self, holds: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.rest.next_if(|next| holds(*next)) {
            taken.push(next);
        }
        taken
    }

    /// Reads one token. Returns whether there was one.
    fn token(&mut self) -> bool {
        let Some(first) = self.next() else { return false };
        match first {
            '/' if self.rest.peek() == Some(&'/') => self.line_comment(),
            '/' if self.rest.peek() == Some(&'*') => self.block_comment(),
            '"' => self.string(),
            '\'' => self.quote(),
            ':' if self.rest.next_if_eq(&':').is_some() => self.tokens.push(Token::PathSeparator),
            first if first.is_alphabetic() || first == '_' => self.word(first),
            first if first.is_ascii_digit() => {
                self.take_while(|next| next.is_alphanumeric() || next == '_');
            }
            first if first.is_whitespace() => {}
            mark => self.tokens.push(Token::Mark(mark)),
        }
        true
    }

    fn word(&mut self, first: char) {
        let rest = self.take_while(|next| next.is_alphanumeric() || next == '_');
        let word = format!("{first}{rest}");
        match (word.as_str(), self.rest.peek()) {
            ("r" | "br" | "cr", Some('"' | '#')) => self.raw_string_or_identifier(),
            ("b" | "c", Some('"')) => {
                self.next();
                self.string();
            }
            ("b", Some('\'')) => {
                self.next();
                self.quote();
            }
            _ => self.tokens.push(Token::Word(word)),
        }
    }

    fn raw_string_or_identifier(&mut self) {
        let hashes = self.take_while(|next| next == '#').len();
        if self.rest.next_if_eq(&'"').is_none() {
            // `r#type`: the word comes next.
            return;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let mut text = String::new();
        while !text.ends_with(&end) {
            let Some(next) = self.next() else { return };
            text.push(next);
        }
    }

    fn string(&mut self) {
        while let Some(next) = self.next() {
            match next {
                '\\' => {
                    self.next();
                }
                '"' => return,
                _ => {}
            }
        }
    }

    /// A character, or a lifetime, which has no second quote.
    fn quote(&mut self) {
        match self.next() {
            Some('\\') => {
                self.next();
                self.take_while(|next| next != '\'');
                self.next();
            }
            Some(_) if self.rest.peek() == Some(&'\'') => {
                self.next();
            }
            _ => {
                self.take_while(|next| next.is_alphanumeric() || next == '_');
            }
        }
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let text = self.take_while(|next| next != '\n');
        let text = text.trim_start_matches(['/', '!']).trim().to_owned();
        self.comments.push(Comment { line, text });
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        let mut before = '/';
        while let Some(next) = self.next() {
            match (before, next) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    before = next;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
            before = ' ';
        }
    }
}
