//! The language of the source: one word, one meaning, and sentences that name their actor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use smart_async_tests::source::{Crate, Module};

use super::rules::at_most;

const SOURCES: [&str; 2] = ["smart-async/src", "smart-async-macros/src"];

fn text(src: &str, module: &Module) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(src);
    fs::read_to_string(root.join(&module.file)).unwrap()
}

/// What is found in each file of both crates, as `file` or `file: detail`.
fn in_each_file(find: impl Fn(&str, &Module) -> Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    for src in SOURCES {
        for module in Crate::read(src).modules.values() {
            let file = format!("{src}/{}", module.file.display());
            found.extend(find(&text(src, module), module).into_iter().map(
                |what| match what.as_str() {
                    "" => file.clone(),
                    what => format!("{file}: {what}"),
                },
            ));
        }
    }
    found
}

#[test]
fn no_type_name_is_defined_twice() {
    let mut found = Vec::new();
    for src in SOURCES {
        let mut definers: BTreeMap<String, usize> = BTreeMap::new();
        for name in Crate::read(src).modules.values().flat_map(|module| &module.types) {
            *definers.entry(name.clone()).or_default() += 1;
        }
        let twice = definers.into_iter().filter(|(_, count)| *count > 1);
        found.extend(twice.map(|(name, _)| name));
    }
    at_most(0, "types that are defined twice", found);
}

#[test]
fn words_that_hide_the_actor_are_absent() {
    const WORDS: [&str; 4] = ["nobody", "somebody", "whoever", "wish"];
    let found = in_each_file(|text, module| {
        let text = format!("{} {}", module.file.display(), text).to_lowercase();
        let words = WORDS.iter().filter(|word| text.contains(**word));
        words.map(|word| (*word).to_owned()).collect()
    });
    at_most(0, "words that hide the actor", found);
}

#[test]
fn no_sentence_of_a_comment_begins_with_a_word_that_hides_its_actor() {
    const WORDS: [&str; 3] = ["What", "Whoever", "That"];
    let found = in_each_file(|_, module| {
        let mut found = BTreeSet::new();
        // The comment lines in a row are one text.
        let mut before: Option<(usize, String)> = None;
        for comment in &module.comments {
            let begins = match &before {
                Some((line, text)) if line + 1 == comment.line => ends_a_sentence(text),
                _ => true,
            };
            let sentences = comment.text.split(". ").enumerate();
            let first_words = sentences
                .filter(|(position, _)| *position > 0 || begins)
                .filter_map(|(_, sentence)| sentence.split([' ', ',', '\'']).next());
            found.extend(first_words.filter(|word| WORDS.contains(word)).map(str::to_owned));
            before = Some((comment.line, comment.text.clone()));
        }
        found.into_iter().collect()
    });
    at_most(0, "sentences that hide their actor", found);
}

fn ends_a_sentence(text: &str) -> bool {
    text.is_empty() || text.ends_with(['.', ':', '!', '?']) || text.starts_with(['#', '|', '`'])
}

#[test]
fn files_are_short() {
    const LIMIT: usize = 600;
    let found = in_each_file(|_, module| match module.lines {
        lines if lines > LIMIT => vec![String::new()],
        _ => Vec::new(),
    });
    at_most(0, "files longer than 600 lines", found);
}

#[test]
fn functions_that_return_a_bool_say_when_it_is_true() {
    let found = in_each_file(|text, _| {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let returns = lines.iter().enumerate().filter(|(_, line)| {
            ["-> bool {", "-> bool;", "-> bool"].iter().any(|end| line.ends_with(end))
        });
        returns.filter_map(|(at, _)| undocumented(&lines[..=at])).collect()
    });
    at_most(0, "functions that return a bool and do not say when it is true", found);
}

/// The name of the function whose signature ends with these lines, if its documentation does not say "Returns whether".
fn undocumented(lines: &[&str]) -> Option<String> {
    let at = lines.iter().rposition(|line| line.contains("fn "))?;
    let (_, name) = lines[at].split_once("fn ")?;
    let mut above = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
        .filter(|line| line.starts_with("///"))
        .peekable();
    above.peek()?;
    let says = above.any(|line| line.contains("Returns whether"));
    (!says).then(|| name.split(['(', '<']).next().unwrap_or(name).to_owned())
}
