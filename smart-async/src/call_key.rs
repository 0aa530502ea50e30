//! What makes two calls the same.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::scope::Scope;

/// What two calls have in common that ask for the same: a hash of server, scope, tool and arguments, with a secret of
/// this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey(u128);

static STATES: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [RandomState::new(), RandomState::new()]);

impl CallKey {
    pub(crate) fn new(
        server: &str,
        scope: &Scope,
        tool: &str,
        arguments: Option<&Map<String, Value>>,
    ) -> Self {
        let [high, low] = STATES.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            (server, scope, tool).hash(&mut hasher);
            // No arguments and empty arguments ask for the same.
            if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
                hash_object(arguments, &mut hasher);
            }
            u128::from(hasher.finish())
        });
        Self(high << 64 | low)
    }

    /// The key of the same call that says this beside its arguments.
    pub(crate) fn with(self, beside: &Map<String, Value>) -> Self {
        if beside.is_empty() {
            return self;
        }
        let [high, low] = STATES.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            self.hash(&mut hasher);
            hash_object(beside, &mut hasher);
            u128::from(hasher.finish())
        });
        Self(high << 64 | low)
    }
}

/// What two calls of a tool have in common that say the same, in every process: a part of a SHA-256, in hexadecimal.
pub(crate) fn digest(tool: &str, arguments: Option<&Map<String, Value>>) -> String {
    let mut hasher = Stable(Sha256::new());
    tool.hash(&mut hasher);
    if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
        hash_object(arguments, &mut hasher);
    }
    hasher
        .0
        .finalize()
        .iter()
        .take(16)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
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
    let mut entries: Vec<_> = object.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries.len().hash(hasher);
    for (name, value) in entries {
        name.hash(hasher);
        hash_value(value, hasher);
    }
}

fn hash_value(value: &Value, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(value) => value.hash(hasher),
        Value::Number(value) => value.to_string().hash(hasher),
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
    use crate::scope::{ClientIdentity, Shown};

    fn key(arguments: &Value) -> CallKey {
        CallKey::new("reactor", &Scope::Everything, "simulate", arguments.as_object())
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
        let of = |server, tool| CallKey::new(server, &Scope::Everything, tool, None);
        assert_ne!(of("x", "a"), of("x", "b"));
        assert_ne!(of("x", "a"), of("y", "a"));
    }

    #[test]
    fn the_same_call_of_another_client_has_another_key() {
        let shown = |one: &str, two: &str| {
            let values = |text: &str| text.split_terminator(',').map(Into::into).collect();
            Scope::Stateless(Shown([values(one), values(two)]))
        };
        let callers = [
            Scope::Everything,
            Scope::of_identity(&ClientIdentity::new("alice")),
            Scope::of_identity(&ClientIdentity::new("bob")),
            Scope::of_session("alice"),
            Scope::of_session("bob"),
            Scope::Stateless(Shown::default()),
            shown("alice", ""),
            shown("", "alice"),
            shown("alice,bob", ""),
            shown("alice", "bob"),
            shown("bob", "alice"),
        ];
        for (index, one) in callers.iter().enumerate() {
            let of = |scope| CallKey::new("x", scope, "a", None);
            let again = one.clone();
            assert_eq!(of(one), of(&again));
            for other in &callers[..index] {
                assert_ne!(of(one), of(other), "{one:?} {other:?}");
            }
        }
    }
}
