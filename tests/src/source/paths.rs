//! `use` declarations and the paths that code names.

use super::lexer::Token;

/// A name that a `use` declaration brings.
#[derive(Debug, Clone)]
pub(super) struct Import {
    /// The name; `*` for a glob.
    pub(super) name: String,
    /// The path that it stands for.
    pub(super) target: Vec<String>,
}

/// A path in code.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    /// Whether it is that of a `pub use`.
    pub(super) public: bool,
}

/// All `use` declarations and all paths.
pub(super) fn paths(tokens: &[Token]) -> (Vec<Import>, Vec<Named>) {
    let (mut imports, mut named) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is("use") {
            let public = follows_visibility(&tokens[..at]);
            let mut tree = Tree { tokens, at: at + 1, leaves: Vec::new() };
            tree.read(&[]);
            at = tree.at;
            for (segments, name) in tree.leaves {
                imports.push(Import { name, target: segments.clone() });
                named.push(Named { segments, public });
            }
        } else if let Some((segments, end)) = path(tokens, at) {
            named.push(Named { segments, public: false });
            at = end;
        } else {
            at += 1;
        }
    }
    (imports, named)
}

/// Whether the tokens end with `pub` or `pub(…)`.
fn follows_visibility(before: &[Token]) -> bool {
    let before = match before {
        [.., Token::Mark(')')] => {
            let open = before.iter().rposition(|token| *token == Token::Mark('('));
            &before[..open.unwrap_or(0)]
        }
        before => before,
    };
    before.last().is_some_and(|token| token.is("pub"))
}

/// A path of at least two segments that begins here, and the place behind it.
fn path(tokens: &[Token], at: usize) -> Option<(Vec<String>, usize)> {
    let Token::Word(first) = &tokens[at] else { return None };
    if at > 0 && matches!(tokens[at - 1], Token::PathSeparator | Token::Mark('.')) {
        return None;
    }
    let mut segments = vec![first.clone()];
    let mut end = at + 1;
    while let (Some(Token::PathSeparator), Some(Token::Word(next))) =
        (tokens.get(end), tokens.get(end + 1))
    {
        segments.push(next.clone());
        end += 2;
    }
    (segments.len() > 1).then_some((segments, end))
}

struct Tree<'tokens> {
    tokens: &'tokens [Token],
    at: usize,
    /// The paths, each with the name that it brings.
    leaves: Vec<(Vec<String>, String)>,
}

impl Tree<'_> {
    /// Reads one branch, up to the `,`, `}` or `;` behind it.
    fn read(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let mut name = None;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match token {
                Token::Word(word) if word == "as" => {
                    if let Some(Token::Word(alias)) = self.tokens.get(self.at) {
                        name = Some(alias.clone());
                        self.at += 1;
                    }
                }
                // `a::{self}` stands for `a`.
                Token::Word(word) if word == "self" && segments.len() > 1 => {}
                Token::Word(word) => segments.push(word.clone()),
                Token::Mark('*') => segments.push("*".to_owned()),
                Token::PathSeparator => {}
                Token::Mark('{') => {
                    while self.tokens.get(self.at) != Some(&Token::Mark('}')) {
                        self.read(&segments);
                        if self.tokens.get(self.at) == Some(&Token::Mark(',')) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                _ => {
                    self.at -= 1;
                    break;
                }
            }
        }
        if let Some(last) = segments.last().cloned() {
            self.leaves.push((segments, name.unwrap_or(last)));
        }
    }
}
