//! When two calls are the same: a digest of the tool and its arguments, and the key that this process makes of it.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::core::call_key::CallKey;
use crate::core::text::hex;

/// A SHA-256 of a tool and its arguments, the same in every process. Made once for each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallDigest([u8; 32]);

impl CallDigest {
    pub(crate) fn new(tool: &str, arguments: Option<&Map<String, Value>>) -> Self {
        let mut hasher = Sha256Hasher::default();
        tool.hash(&mut hasher);
        // A call without arguments and one with empty arguments are the same.
        if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
            hash_object(arguments, &mut hasher);
        }
        Self(hasher.0.finalize().into())
    }

    /// The key of the call in this process: of this server, by this client, with what the call says beside its arguments.
    pub(crate) fn key(
        &self,
        server: &str,
        scope: &impl Hash,
        beside: &Map<String, Value>,
    ) -> CallKey {
        let mut hasher = Sha256Hasher::default();
        hasher.0.update(self.0);
        (server, scope).hash(&mut hasher);
        hash_object(beside, &mut hasher);
        CallKey::new(hasher.0.finalize().into())
    }
}

/// The first half of the digest in hexadecimal, which is enough to tell calls apart.
impl fmt::Display for CallDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.into_iter().take(16)))
    }
}

/// SHA-256 as the hasher that `Hash` writes to; `finish` is not used.
#[derive(Default)]
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Hashes the members of the object in the order of their names.
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

/// Hashes the text of a value as [`String`] would, without making the text.
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
        key_of("reactor", "simulate", arguments, &json!({}))
    }

    fn key_of(server: &str, tool: &str, arguments: &Value, beside: &Value) -> CallKey {
        CallDigest::new(tool, arguments.as_object()).key(server, &(), beside.as_object().unwrap())
    }

    #[test]
    fn a_digest_is_the_same_everywhere_and_for_the_same_call_alone() {
        let of = |tool, arguments: &Value| CallDigest::new(tool, arguments.as_object()).to_string();
        let same = [json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})];
        assert_eq!(of("simulate", &same[0]), of("simulate", &same[1]));
        assert_ne!(of("simulate", &json!({"a": 1})), of("simulate", &json!({"a": 2})));
        assert_ne!(of("simulate", &json!({})), of("other", &Value::Null));
        insta::assert_snapshot!(of("simulate", &json!({"a": [1, null, {"b": "c"}]})));
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
        let nothing = json!({});
        let of = |server, tool| key_of(server, tool, &nothing, &nothing);
        assert_ne!(of("x", "a"), of("x", "b"));
        assert_ne!(of("x", "a"), of("y", "a"));
        let answer = json!({"answer a": 1});
        assert_ne!(of("x", "a"), key_of("x", "a", &nothing, &answer));
        assert_ne!(key_of("x", "a", &answer, &nothing), key_of("x", "a", &nothing, &answer));
    }
}
