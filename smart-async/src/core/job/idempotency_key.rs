//! The key under which a caller finds the answer of its call again, as a record keeps it.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{JobScope, Timestamp};
use crate::core::text::hex;

/// The key of a call (`idempotency_key`): until its time is over, the same key of the same client and tool starts no second run.
///
/// A store gives a key to one job at a time: see [`JobStore::insert`](crate::store::JobStore::insert).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotencyKey {
    /// A hash (SHA-256, 64 hexadecimal digits) of the server, the client, the tool and the caller's own word. Equal keys have the
    /// same; the caller's word may be a secret, and stands nowhere.
    pub hash: String,
    /// A hash of the call's arguments: the same key with others is refused.
    pub arguments: String,
    /// Until when the key is kept.
    pub until: Timestamp,
}

impl IdempotencyKey {
    /// A key that a store has kept.
    pub const fn new(hash: String, arguments: String, until: Timestamp) -> Self {
        Self { hash, arguments, until }
    }

    /// The hash of a key. Later versions and other processes compare it.
    pub(crate) fn hash(server: &str, client: Option<&JobScope>, tool: &str, word: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [server, client.map_or("", JobScope::as_str), tool, word] {
            // The length before each part: no two lists of parts have the same text.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hex(hasher.finalize())
    }
}

/// The hashes cover the arguments and the client: they do not go into logs.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyKey").field("until", &self.until).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_servers_clients_tools_and_words_differ() {
        let ada = JobScope::of_identity("ada");
        let session = JobScope::of_session("ada");
        let keys = [
            IdempotencyKey::hash("shop", None, "order", "a"),
            IdempotencyKey::hash("store", None, "order", "a"),
            IdempotencyKey::hash("shop", Some(&ada), "order", "a"),
            IdempotencyKey::hash("shop", Some(&session), "order", "a"),
            IdempotencyKey::hash("shop", None, "pay", "a"),
            IdempotencyKey::hash("shop", None, "order", "b"),
            IdempotencyKey::hash("shop", None, "ordera", ""),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other != one), "{index}");
        }
    }

    /// Records on disk have it.
    #[test]
    fn the_hash_of_a_key_is_a_promise() {
        let hash = IdempotencyKey::hash("shop", None, "order", "order-7");
        insta::assert_snapshot!(hash);
    }
}
