//! Methods of types whose `impl` blocks are spread over several files: which file calls a method of which other.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::Token;

/// What the `impl` blocks of one type in one file define, and what they call on `self`.
#[derive(Debug, Default)]
pub(super) struct Methods {
    pub(super) defined: BTreeSet<String>,
    pub(super) called: BTreeSet<String>,
}

/// The inherent `impl` blocks by the names of their types.
pub(super) fn methods(tokens: &[Token]) -> BTreeMap<String, Methods> {
    let mut found: BTreeMap<String, Methods> = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let header = at;
        at += 1;
        if !tokens[header].is("impl") || !begins_item(&tokens[..header]) {
            continue;
        }
        let Some(open) = tokens[header..].iter().position(|token| *token == Token::Mark('{'))
        else {
            break;
        };
        let open = header + open;
        let end = block_end(tokens, open);
        if let Some(name) = type_of(&tokens[header + 1..open]) {
            let methods = found.entry(name).or_default();
            for window in tokens[open..end].windows(4) {
                match window {
                    [fn_, Token::Word(name), ..] if fn_.is("fn") => {
                        methods.defined.insert(name.clone());
                    }
                    [this, Token::Mark('.'), Token::Word(name), Token::Mark('(')]
                        if this.is("self") =>
                    {
                        methods.called.insert(name.clone());
                    }
                    [this, Token::PathSeparator, Token::Word(name), Token::Mark('(')]
                        if this.is("Self") =>
                    {
                        methods.called.insert(name.clone());
                    }
                    _ => {}
                }
            }
        }
        at = end;
    }
    found
}

/// Returns whether an item may begin behind these tokens; `impl` in a signature does not.
fn begins_item(before: &[Token]) -> bool {
    matches!(before.last(), None | Some(Token::Mark('}' | ';' | ']' | '{')))
}

fn block_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') if depth == 1 => return at + 1,
            Token::Mark('}') => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The type of a header such as `<S: Store> JobServer<S> where …`; none where it implements a trait.
fn type_of(header: &[Token]) -> Option<String> {
    if header.iter().any(|token| token.is("for")) {
        return None;
    }
    let mut depth = 0_usize;
    let mut name = None;
    for token in header {
        match token {
            Token::Mark('<') => depth += 1,
            Token::Mark('>') => depth = depth.saturating_sub(1),
            Token::Word(word) if word == "where" => break,
            Token::Word(word) if depth == 0 => name = Some(word.clone()),
            _ => {}
        }
    }
    name
}
