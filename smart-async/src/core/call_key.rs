//! The key by which the same call finds a run that is there already. `call` makes it; the core only compares.

/// A hash of the server, the client, the tool and the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey([u8; 32]);

impl CallKey {
    pub(crate) const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}
