//! The owner of a job over HTTP: the mark that its record carries of the client that it was made for.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::text::hex;

/// The beginning of the mark of a client that the host has identified.
const IDENTITY: &str = "identity:";

/// The beginning of the mark of a session over HTTP.
const SESSION: &str = "session:";

/// The client that a job belongs to, where the job was made over HTTP: the identity that the host put on the request, or
/// else the session.
///
/// The mark holds a hash (SHA-256), since the id of a session, and perhaps an identity, is a credential. It is for stores
/// and operators; no answer to a client contains it, and no log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobScope(Arc<str>);

impl JobScope {
    pub(crate) fn of_identity(identity: &str) -> Self {
        Self::hashed(IDENTITY, identity)
    }

    pub(crate) fn of_session(session: &str) -> Self {
        Self::hashed(SESSION, session)
    }

    /// The mark as a store keeps it.
    pub(crate) fn from_mark(mark: &str) -> Self {
        Self(mark.into())
    }

    fn hashed(kind: &str, name: &str) -> Self {
        Self(format!("{kind}{}", hex(Sha256::digest(name))).into())
    }

    /// The mark as a store keeps it: `identity:` or `session:`, and the hash in lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is the mark of a session. Any other counts as one of an identified client, also a kind that only
    /// a later version knows, so that its jobs are shown to no one else.
    pub(crate) fn is_of_session(&self) -> bool {
        self.0.starts_with(SESSION)
    }
}

/// The client of a job does not go into logs.
impl fmt::Debug for JobScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobScope").finish_non_exhaustive()
    }
}

/// The client that makes a request over HTTP, as the host's server knows it.
///
/// The host's own middleware puts it into the extensions of the HTTP request once it has authenticated the client. From
/// then on this client sees the jobs of its identity, and no others:
///
/// ```
/// use http::Request;
/// use smart_async::ClientIdentity;
///
/// fn identify<B>(request: &mut Request<B>, user: &str) {
///     request.extensions_mut().insert(ClientIdentity::new(user));
/// }
/// ```
///
/// The middleware must insert none for a client that it has not authenticated. A client without an identity sees no job of
/// a client that has one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity(JobScope);

impl ClientIdentity {
    /// The identity with this name. The name has to belong to one client for ever and to no other, such as the issuer and
    /// the subject of a token. The library keeps only its hash, in memory and on disk.
    ///
    /// The empty text is an identity like any other, and is shared by all clients that get it.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(JobScope::of_identity(name.as_ref()))
    }
}

/// Hides the identity, so that no log has it.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// The mark that this client's jobs carry, for a [`JobQuery`](crate::job::JobQuery) or a [`Prune`](crate::job::Prune).
impl From<ClientIdentity> for JobScope {
    fn from(identity: ClientIdentity) -> Self {
        identity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other processes and later versions compare it: `printf %s alice | sha256sum`.
    #[test]
    fn a_mark_is_a_promise() {
        let hash = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
        assert_eq!(JobScope::of_identity("alice").as_str(), format!("identity:{hash}"));
        assert_eq!(JobScope::of_session("alice").as_str(), format!("session:{hash}"));
    }

    #[test]
    fn a_mark_is_in_no_log() {
        assert_eq!(format!("{:?}", JobScope::of_identity("alice")), "JobScope { .. }");
        assert_eq!(format!("{:?}", ClientIdentity::new("alice")), "ClientIdentity { .. }");
    }
}
