//! The scope of a request, from its HTTP head and its connection.
//!
//! The SDK puts the head of an HTTP request into the extensions of the MCP request, and the host's middleware may have put a
//! [`ClientIdentity`] there. A stream of bytes has one client, and no head.

use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;

use super::scope::Scope;
use crate::core::job::ClientIdentity;

const SESSION_ID: &str = "mcp-session-id";

/// Whether this connection was opened with `initialize`.
///
/// Over HTTP, such a connection is a session, and the SDK hands it only requests that name this session. On any other
/// connection the session id in a request is an unchecked claim of the client.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Session(AtomicBool);

impl Session {
    pub(in crate::mcp) fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The scope of a request on this connection.
    pub(in crate::mcp) fn scope(&self, context: &RequestContext<RoleServer>) -> Scope {
        scope(context, self.0.load(Ordering::Relaxed))
    }
}

/// The scope of a request on an unknown connection.
pub(in crate::mcp) fn scope_of_request(context: &RequestContext<RoleServer>) -> Scope {
    scope(context, false)
}

/// Returns whether the request came over HTTP.
pub(in crate::mcp) fn came_over_http(context: &RequestContext<RoleServer>) -> bool {
    context.extensions.get::<Parts>().is_some()
}

fn scope(context: &RequestContext<RoleServer>, in_session: bool) -> Scope {
    let Some(head) = context.extensions.get::<Parts>() else { return Scope::Everything };
    if let Some(identity) = head.extensions.get::<ClientIdentity>() {
        return Scope::of_identity(identity);
    }
    let session = head.headers.get(SESSION_ID).and_then(|id| id.to_str().ok());
    match session.filter(|_| in_session) {
        Some(id) => Scope::of_session(id),
        None => Scope::Stateless,
    }
}
