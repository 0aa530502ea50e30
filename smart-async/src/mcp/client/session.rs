//! Which client a request comes from, as far as its transport tells.
//!
//! The SDK puts the head of an HTTP request beside the request that came in its body, and the host's middleware may have put
//! an identity into that. Over a stream of bytes there is one client, and nothing is told of it.

use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;

use super::scope::{Credentials, Scope};
use crate::core::job::ClientIdentity;

const SESSION: &str = "mcp-session-id";

/// Whether this connection was opened with `initialize`. Over HTTP a connection that lasts is a session, and the SDK
/// brings it only requests that name it; anywhere else the name of a session is but what a client says.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Session(AtomicBool);

impl Session {
    pub(in crate::mcp) fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Who makes this request on the connection.
    pub(in crate::mcp) fn scope(&self, context: &RequestContext<RoleServer>) -> Scope {
        scope(context, self.0.load(Ordering::Relaxed))
    }
}

/// Who makes this request, where nothing is known of its connection.
pub(in crate::mcp) fn scope_of_request(context: &RequestContext<RoleServer>) -> Scope {
    scope(context, false)
}

/// Whether the request came over HTTP.
pub(in crate::mcp) fn came_over_http(context: &RequestContext<RoleServer>) -> bool {
    context.extensions.get::<Parts>().is_some()
}

fn scope(context: &RequestContext<RoleServer>, in_session: bool) -> Scope {
    let Some(head) = context.extensions.get::<Parts>() else { return Scope::Everything };
    if let Some(identity) = head.extensions.get::<ClientIdentity>() {
        return Scope::of_identity(identity);
    }
    let session = head.headers.get(SESSION).and_then(|id| id.to_str().ok());
    match session.filter(|_| in_session) {
        Some(id) => Scope::of_session(id),
        None => Scope::Stateless(credentials(head)),
    }
}

/// Also where its host put no identity on a request, the same call with other credentials is another call.
fn credentials(head: &Parts) -> Credentials {
    Credentials([AUTHORIZATION, COOKIE].map(|name| {
        let values = head.headers.get_all(name).iter();
        values.map(|value| value.as_bytes().to_vec()).collect()
    }))
}
