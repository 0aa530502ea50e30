//! What makes two calls the same.

use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What two calls have in common that ask for the same: a hash of server, scope, tool and arguments, with a secret of
/// this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey(u128);

impl CallKey {
    pub(crate) fn new(
        server: &str,
        scope: &impl Hash,
        tool: &str,
        arguments: Option<&Map<String, Value>>,
    ) -> Self {
        Self::of(|hasher| {
            (server, scope, tool).hash(hasher);
            // No arguments and empty arguments ask for the same.
            if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
                hash_object(arguments, hasher);
            }
        })
    }

    /// The key of the same call that says this beside its arguments.
    pub(crate) fn with(self, beside: &Map<String, Value>) -> Self {
        if beside.is_empty() {
            return self;
        }
        Self::of(|hasher| {
            self.hash(hasher);
            hash_object(beside, hasher);
        })
    }

    fn of(say: impl FnOnce(&mut Said)) -> Self {
        static STATES: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let mut said = Said(Vec::with_capacity(256));
        say(&mut said);
        let [high, low] = STATES.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(&said.0);
            u128::from(hasher.finish())
        });
        Self(high << 64 | low)
    }
}

/// What is to be hashed, in one piece: hashing many small ones takes several times as long.
struct Said(Vec<u8>);

impl Hasher for Said {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// What two calls of a tool have in common that say the same, in every process: a part of a SHA-256, in hexadecimal.
pub(crate) fn digest(tool: &str, arguments: Option<&Map<String, Value>>) -> String {
    let mut hasher = Stable(Sha256::new());
    tool.hash(&mut hasher);
    if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
        hash_object(arguments, &mut hasher);
    }
    let mut text = String::with_capacity(32);
    for byte in hasher.0.finalize().iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A hasher without a secret, whose result is taken elsewhere.
struct Stable(Sha256);

impl Hasher for Stable {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Hashes what the object says, whatever the order in which it says it.
fn hash_object(object: &Map<String, Value>, hasher: &mut impl Hasher) {
    object.len().hash(hasher);
    let each = |(name, value): (&String, &Value)| {
        name.hash(hasher);
        hash_value(value, hasher);
    };
    if object.keys().is_sorted() {
        return object.iter().for_each(each);
    }
    let mut entries: Vec<_> = object.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries.into_iter().for_each(each);
}

/// Hashes what would be written, as [`String`] hashes it.
fn hash_text(value: &impl fmt::Display, hasher: &mut impl Hasher) {
    struct Into<'a, H>(&'a mut H);
    impl<H: Hasher> Write for Into<'_, H> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let _ = write!(Into(hasher), "{value}");
    hasher.write_u8(0xff);
}

fn hash_value(value: &Value, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(value) => value.hash(hasher),
        Value::Number(value) => hash_text(value, hasher),
        Value::String(value) => value.hash(hasher),
        Value::Array(values) => {
            values.len().hash(hasher);
            for value in values {
                hash_value(value, hasher);
            }
        }
        Value::Object(object) => hash_object(object, hasher),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(arguments: &Value) -> CallKey {
        CallKey::new("reactor", &(), "simulate", arguments.as_object())
    }

    #[test]
    fn a_digest_is_the_same_everywhere_and_for_the_same_call_alone() {
        let of = |arguments: &Value| digest("simulate", arguments.as_object());
        assert_eq!(of(&json!({"a": 1, "b": 2})), of(&json!({"b": 2, "a": 1})));
        assert_ne!(of(&json!({"a": 1})), of(&json!({"a": 2})));
        assert_ne!(of(&json!({})), digest("other", None));
        insta::assert_snapshot!(of(&json!({"a": [1, null, {"b": "c"}]})));
    }

    #[test]
    fn the_same_call_has_the_same_key() {
        assert_eq!(
            key(&json!({"a": 1, "b": [1, {"c": null}]})),
            key(&json!({"b": [1, {"c": null}], "a": 1}))
        );
        assert_eq!(key(&json!({})), key(&Value::Null));
    }

    #[test]
    fn another_call_has_another_key() {
        let calls = [
            json!({}),
            json!({"a": 1}),
            json!({"a": "1"}),
            json!({"a": [1]}),
            json!({"a": {"b": 1}}),
        ];
        for (index, one) in calls.iter().enumerate() {
            for other in &calls[..index] {
                assert_ne!(key(one), key(other), "{one} {other}");
            }
        }
        let of = |server, tool| CallKey::new(server, &(), tool, None);
        assert_ne!(of("x", "a"), of("x", "b"));
        assert_ne!(of("x", "a"), of("y", "a"));
    }
}
