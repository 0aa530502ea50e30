//! One file of a crate: its module path, what it defines, and what it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::lexer::{Comment, Token, lex};
use super::methods::{Methods, methods};
use super::paths::{Import, Named, paths};

/// A file of a crate.
#[derive(Debug)]
pub struct Module {
    /// The file, below `src`.
    pub file: PathBuf,
    /// The module path, such as `core::job`; empty for the root.
    pub path: String,
    /// The number of lines.
    pub lines: usize,
    /// The comments, also those of tests.
    pub comments: Vec<Comment>,
    /// The types that the file defines, without those of tests.
    pub types: Vec<String>,
    /// The names of all items that the file defines, without those of tests.
    pub(super) items: BTreeSet<String>,
    /// The `use` declarations, by the names that they bring.
    pub(super) imports: Vec<Import>,
    /// The paths in code, those of `use` declarations among them.
    pub(super) paths: Vec<Named>,
    /// The `impl` blocks that are not of a trait, by the names of their types.
    pub(super) methods: BTreeMap<String, Methods>,
    /// The tokens, without those of tests.
    pub tokens: Vec<Token>,
}

impl Module {
    pub(super) fn new(file: PathBuf, text: &str) -> Self {
        let (tokens, comments) = lex(text);
        let tokens = without_tests(&tokens);
        let defined = |keywords: &[&str]| -> Vec<String> {
            definitions(&tokens, keywords).map(str::to_owned).collect()
        };
        let mut types = defined(&["struct", "enum", "union", "trait"]);
        types.extend(aliases(&tokens));
        let functions = defined(&["fn"]);
        let others = defined(&["const", "static", "macro_rules", "mod"]);
        let items = types.iter().chain(&functions).cloned().chain(others).collect();
        let (imports, paths) = paths(&tokens);
        let path = module_path(&file);
        let lines = text.lines().count();
        let methods = methods(&tokens);
        Self { file, path, lines, comments, types, items, imports, paths, methods, tokens }
    }
}

fn module_path(file: &std::path::Path) -> String {
    let parts = file.with_extension("");
    let parts = parts.iter().map(|part| part.to_str().expect("a name in UTF-8"));
    let path = parts.collect::<Vec<_>>().join("::");
    if path == "lib" { String::new() } else { path }
}

/// Leaves out each item under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_test = |at: usize| {
        tokens.len() >= at + attribute.len()
            && attribute.iter().zip(&tokens[at..]).all(|(expected, token)| match token {
                Token::Word(word) => word == expected,
                Token::Mark(mark) => expected.starts_with(*mark) && expected.len() == 1,
                Token::PathSeparator => false,
            })
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_test(at) {
            at = end_of_item(tokens, at + attribute.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The place behind an item: behind its block, or behind its semicolon.
fn end_of_item(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Mark('{' | '(' | '[') => depth += 1,
            Token::Mark('}') if depth == 1 => return at + 1,
            Token::Mark('}' | ')' | ']') => depth -= 1,
            Token::Mark(';') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The words that stand directly behind one of the keywords.
fn definitions<'tokens>(
    tokens: &'tokens [Token],
    keywords: &[&str],
) -> impl Iterator<Item = &'tokens str> {
    tokens.windows(3).filter_map(move |window| {
        let keyword = keywords.iter().find(|keyword| window[0].is(keyword))?;
        match &window[1..] {
            [Token::Word(name), _] if *keyword != "const" || name != "fn" => Some(name.as_str()),
            [Token::Mark('!'), Token::Word(name)] => Some(name),
            _ => None,
        }
    })
}

/// Type aliases, without the associated types of traits and their implementations.
fn aliases(tokens: &[Token]) -> Vec<String> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth = depth.saturating_sub(1),
            Token::Word(word) if word == "type" && depth == 0 => {
                if let Some(Token::Word(name)) = tokens.get(at + 1) {
                    found.push(name.clone());
                }
            }
            _ => {}
        }
    }
    found
}
