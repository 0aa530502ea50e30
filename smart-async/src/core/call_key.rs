//! The key by which the same call finds a run that is there already. `call` makes it; the core only compares.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash of the server, the client, the tool and the arguments of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey([u8; 32]);

/// The hash covers the arguments and the client: it does not go into logs.
impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallKey").finish_non_exhaustive()
    }
}

impl CallKey {
    pub(crate) const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The key of the same call with the same marks on one connection, which the call has on no other. A number is enough to
    /// tell these apart, because all of them are calls of one client.
    pub(crate) fn on_connection(self, connection: u64, marks: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (connection, marks).hash(&mut hasher);
        let mut key = self.0;
        for (byte, mark) in key.iter_mut().zip(hasher.finish().to_le_bytes()) {
            *byte ^= mark;
        }
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_on_another_connection_or_with_other_marks_has_another_key() {
        let key = CallKey::new([7; 32]);
        let keys = [
            key,
            key.on_connection(1, &()),
            key.on_connection(2, &()),
            key.on_connection(1, &"nightly"),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other != one));
        }
        assert_eq!(key.on_connection(1, &()), keys[1]);
    }
}
