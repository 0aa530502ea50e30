//! What the client of a request can do and bears, as its request or its connection says.

use rmcp::RoleServer;
use rmcp::model::ElicitationCapability;
use rmcp::service::RequestContext;

use super::host_timeouts::{HostTimeout, HostTimeouts};

/// Where a request carries what its client is called, from 2026-07-28 on.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// What the client of a request can do. Read once for a request: the SDK makes it out anew each time it is asked.
pub(in crate::mcp) struct Client {
    /// It speaks 2026-07-28 or later: servers send it no requests, and it says with each of its own what it can do.
    is_newer: bool,
    takes_tasks: bool,
    /// It said that it answers some request of a server.
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

    /// Whether it can be answered with a task: it declared the extension, for this request, and speaks a protocol that has it.
    /// Some declare it in the era before and cannot read a task then.
    pub(in crate::mcp) const fn takes_tasks(&self) -> bool {
        self.is_newer && self.takes_tasks
    }

    /// Whether a server may send requests to it, and it said that it answers any.
    pub(in crate::mcp) const fn takes_requests(&self) -> bool {
        !self.is_newer && self.answers
    }

    /// What it can be asked while its call is open, where it can.
    pub(in crate::mcp) fn can_be_asked(&self) -> Option<&ElicitationCapability> {
        self.elicitation.as_ref().filter(|_| !self.is_newer)
    }

    /// What it can be asked in a task, or by a call that it makes again with the answer.
    pub(in crate::mcp) fn can_be_asked_in_rounds(&self) -> Option<&ElicitationCapability> {
        self.elicitation.as_ref().filter(|_| self.is_newer)
    }
}

/// The time-out of the host that made this request, by the name under which it introduces itself.
pub(in crate::mcp) fn host_timeout(
    hosts: &HostTimeouts,
    context: &RequestContext<RoleServer>,
) -> Option<HostTimeout> {
    let said = context.meta.get(CLIENT_INFO).and_then(|client| client.get("name")?.as_str());
    match said {
        Some(name) => hosts.of(name),
        None => hosts.of(&context.peer.peer_info()?.client_info.name),
    }
}
