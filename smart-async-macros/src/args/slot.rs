//! The values of `state`, the name of a slot and of its file, and of `pointer`, a part of the result.
//!
//! `smart_async::job::StateName` checks names at run time by the same rule. It is written twice, since each crate words its own
//! errors; a test holds the two together.

use proc_macro2::TokenStream;

use super::KeyEntry;
use crate::errors::Errors;

/// The longest name of a state.
const LONGEST: usize = 64;

impl KeyEntry {
    pub(super) fn state_name(&self, value: &TokenStream, errors: &mut Errors) -> Option<String> {
        let name = self.string(value, errors)?;
        let Some(problem) = name_problem(&name) else { return Some(name) };
        errors.at(
            value,
            format!(
                "the name of the state {problem}; it becomes the file `state/<name>.json`, so use 1 to {LONGEST} of \
                 `a-z`, `0-9`, `_` and `-`, with a letter or digit in front, as in `{}`",
                self.example
            ),
        );
        None
    }

    pub(super) fn pointer(&self, value: &TokenStream, errors: &mut Errors) -> Option<String> {
        let pointer = self.string(value, errors)?;
        let message = if pointer.is_empty() {
            "`pointer` is empty, which names the whole result; leave it out".to_owned()
        } else if !pointer.starts_with('/') {
            format!(
                "`pointer` does not begin with `/`; give a JSON pointer (RFC 6901), as in `{}`",
                self.example
            )
        } else if has_unknown_escape(&pointer) {
            "`pointer` has a `~` that is followed by neither `0` nor `1`; in a JSON pointer (RFC 6901) `~0` stands for \
             `~`, and `~1` for `/`, as in `pointer = \"/reports/north~1south\"`"
                .to_owned()
        } else {
            return Some(pointer);
        };
        errors.at(value, message);
        None
    }
}

/// The reason why `name` is not a portable file name; `None` if it is one.
fn name_problem(name: &str) -> Option<String> {
    let is_allowed = |each: char| matches!(each, 'a'..='z' | '0'..='9' | '_' | '-');
    if name.is_empty() {
        Some("is empty".to_owned())
    } else if let Some(upper) = name.chars().find(char::is_ascii_uppercase) {
        Some(format!(
            "has the upper-case letter `{upper}`, which not every file system tells from the lower-case one"
        ))
    } else if let Some(other) = name.chars().find(|each| !is_allowed(*each)) {
        Some(format!("has the character {other:?}"))
    } else if name.starts_with(['_', '-']) {
        Some("does not begin with a letter or digit".to_owned())
    } else if name.len() > LONGEST {
        Some(format!("has {} characters", name.len()))
    } else if is_reserved(name) {
        Some("is that of a device on Windows".to_owned())
    } else {
        None
    }
}

fn is_reserved(name: &str) -> bool {
    match name.strip_prefix("com").or_else(|| name.strip_prefix("lpt")) {
        Some(port) => matches!(port.as_bytes(), [b'1'..=b'9']),
        None => matches!(name, "con" | "prn" | "aux" | "nul"),
    }
}

fn has_unknown_escape(pointer: &str) -> bool {
    pointer.split('~').skip(1).any(|after| !after.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use smart_async::job::StateName;

    use super::*;

    #[test]
    fn a_name_is_one_that_every_file_system_takes_for_the_same() {
        let longest = "x".repeat(LONGEST);
        for name in ["a", "0", "latest_report", "a-b", "console", "com", "com0", "com10", &longest]
        {
            assert_eq!(name_problem(name), None, "{name}");
            assert!(StateName::new(name).is_ok(), "{name}: the library disagrees");
        }
        let too_long = "x".repeat(LONGEST + 1);
        let device = ["con", "prn", "aux", "nul", "com1", "com9", "lpt1", "lpt9"];
        let refused =
            ["", "A", "a.b", "a/b", "..", "a b", "ä", "a\0", "_a", "-a", "a\n", &too_long];
        for name in refused.iter().chain(&device) {
            assert!(name_problem(name).is_some(), "{name}");
            assert!(StateName::new(*name).is_err(), "{name}: the library disagrees");
        }
    }

    #[test]
    fn a_tilde_stands_before_0_or_1() {
        for pointer in ["/", "/a", "/~0", "/~1", "/~01~1", "/a~0b/c"] {
            assert!(!has_unknown_escape(pointer), "{pointer}");
        }
        for pointer in ["/~", "/~~0", "/a~2", "/~0~", "/~/0"] {
            assert!(has_unknown_escape(pointer), "{pointer}");
        }
    }
}
