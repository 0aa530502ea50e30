//! The capabilities of the client that made a request, and how long its host waits for an answer. Both come from the request
//! or from its connection.

use rmcp::RoleServer;
use rmcp::model::ElicitationCapability;
use rmcp::service::RequestContext;

use super::host_timeouts::{HostTimeout, HostTimeouts};

/// The key in a request's `_meta` with the client's name and version, from 2026-07-28 on.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// The client's capabilities. Read once a request, because the SDK decodes them with each call of its methods.
pub(in crate::mcp) struct Client {
    /// The client speaks 2026-07-28 or later: servers send it no requests, and each of its own carries its capabilities.
    is_newer: bool,
    takes_tasks: bool,
    /// The client declared that it answers some request of a server.
    answers: bool,
    elicitation: Option<ElicitationCapability>,
}

impl Client {
    pub(in crate::mcp) fn of(context: &RequestContext<RoleServer>) -> Self {
        let is_newer = context.protocol_version().is_some_and(|version| !version.has_initialize());
        let can = context.client_capabilities().unwrap_or_default();
        Self {
            is_newer,
            takes_tasks: can.supports_tasks(),
            answers: can.elicitation.is_some() || can.sampling.is_some() || can.roots.is_some(),
            elicitation: can.elicitation,
        }
    }

    /// Returns whether a task is a valid answer: the client declared the extension with this request and speaks a protocol that
    /// has it. Some clients declare it in older protocols, where they cannot read a task.
    pub(in crate::mcp) const fn takes_tasks(&self) -> bool {
        self.is_newer && self.takes_tasks
    }

    /// Returns whether the server may send requests to the client, and the client declared that it answers some.
    pub(in crate::mcp) const fn takes_requests(&self) -> bool {
        !self.is_newer && self.answers
    }

    /// The elicitations that the client answers while its call is open.
    pub(in crate::mcp) fn can_be_asked(&self) -> Option<&ElicitationCapability> {
        self.elicitation.as_ref().filter(|_| !self.is_newer)
    }

    /// The elicitations that the client answers in a task, or by repeating its call with the answer.
    pub(in crate::mcp) fn can_be_asked_in_rounds(&self) -> Option<&ElicitationCapability> {
        self.elicitation.as_ref().filter(|_| self.is_newer)
    }
}

/// How long the host of a request waits for an answer, by the name in its `clientInfo`.
pub(in crate::mcp) fn host_timeout(
    hosts: &HostTimeouts,
    context: &RequestContext<RoleServer>,
) -> Option<HostTimeout> {
    let name = context.meta.get(CLIENT_INFO).and_then(|client| client.get("name")?.as_str());
    match name {
        Some(name) => hosts.of(name),
        None => hosts.of(&context.peer.peer_info()?.client_info.name),
    }
}
