//! Names of states: the slots that receive results of jobs. A name becomes the name of a file, so it must be one that
//! every file system treats alike.
//!
//! The attribute has the same rule, in `smart-async-macros`, for the names that are known when a program is built.

use std::fmt;
use std::str::FromStr;

/// The longest name of a state.
const LONGEST: usize = 64;

/// The name of a state: 1 to 64 of `a-z`, `0-9`, `_` and `-`, with a letter or digit in front, and no name of a device
/// on Windows (`con`, `com1`, …). It never is a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateName(String);

impl StateName {
    /// The name, checked.
    ///
    /// # Errors
    /// [`InvalidStateName`], saying what is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidStateName> {
        let name = name.into();
        match problem(&name) {
            Some(reason) => Err(InvalidStateName { name, reason }),
            None => Ok(Self(name)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StateName {
    type Err = InvalidStateName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateName({})", self.0)
    }
}

/// A text that cannot be the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to name a state {name:?}: it {reason}; use 1 to {LONGEST} of `a-z`, `0-9`, `_` and `-`, with a letter or \
     digit in front, as in \"latest_report\""
)]
#[non_exhaustive]
pub struct InvalidStateName {
    /// The text.
    pub name: String,
    /// The reason.
    pub reason: &'static str,
}

/// The reason why a text cannot be a file name that every file system treats alike.
fn problem(name: &str) -> Option<&'static str> {
    let is_allowed = |each: char| matches!(each, 'a'..='z' | '0'..='9' | '_' | '-');
    if name.is_empty() {
        Some("is empty")
    } else if name.contains(|each: char| each.is_ascii_uppercase()) {
        Some("has an upper-case letter, which not every file system tells from the lower-case one")
    } else if !name.chars().all(is_allowed) {
        Some("has a character that is not allowed")
    } else if name.starts_with(['_', '-']) {
        Some("does not begin with a letter or digit")
    } else if name.len() > LONGEST {
        Some("is too long")
    } else if is_device(name) {
        Some("is that of a device on Windows")
    } else {
        None
    }
}

fn is_device(name: &str) -> bool {
    match name.strip_prefix("com").or_else(|| name.strip_prefix("lpt")) {
        Some(port) => matches!(port.as_bytes(), [b'1'..=b'9']),
        None => matches!(name, "con" | "prn" | "aux" | "nul"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same names as in the tests of the attribute's rule.
    #[test]
    fn a_name_is_one_that_every_file_system_takes_for_the_same() {
        let longest = "x".repeat(LONGEST);
        for name in ["a", "0", "latest_report", "a-b", "console", "com", "com0", "com10", &longest]
        {
            assert_eq!(StateName::new(name).unwrap().as_str(), name);
        }
        let too_long = "x".repeat(LONGEST + 1);
        let device = ["con", "prn", "aux", "nul", "com1", "com9", "lpt1", "lpt9"];
        let refused =
            ["", "A", "a.b", "a/b", "..", "a b", "ä", "a\0", "_a", "-a", "a\n", &too_long];
        for name in refused.iter().chain(&device) {
            assert!(StateName::new(*name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_refused_says_why_and_what_to_do() {
        assert_eq!(
            StateName::new("../secrets").unwrap_err().to_string(),
            "failed to name a state \"../secrets\": it has a character that is not allowed; use 1 to 64 of `a-z`, \
             `0-9`, `_` and `-`, with a letter or digit in front, as in \"latest_report\""
        );
    }
}
