//! The key by which the same call finds a run that is there already. `call` makes it; the core only compares.

use std::fmt;

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
}
