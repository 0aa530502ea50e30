//! Refuses requests of the Tasks extension whose parameters do not fit.
//!
//! **Gap.** rmcp 3.11 decodes a request by trying its types one after the other (`ClientRequest` in `model.rs` is an untagged
//! enum). A `tasks/get` with malformed parameters fits none of them but `CustomRequest`, and so reaches `on_custom_request`,
//! whose default answers "method not found" in place of "invalid params".
//!
//! **Ends when** the SDK decodes a request by its method.

use rmcp::model::{CancelTaskMethod, ConstString, CustomRequest, GetTaskMethod, UpdateTaskMethod};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};

use crate::mcp::tasks::needs_tasks;

/// The error for a request of the Tasks extension that arrived as a custom request; `None` for any other request.
pub(in crate::mcp) fn refuse_malformed(
    request: &CustomRequest,
    context: &RequestContext<RoleServer>,
) -> Option<ErrorData> {
    let needs = match request.method.as_str() {
        GetTaskMethod::VALUE | CancelTaskMethod::VALUE => "taskId, a string",
        UpdateTaskMethod::VALUE => "taskId, a string, and inputResponses, an object of answers",
        _ => return None,
    };
    if !context.client_capabilities().is_some_and(|client| client.supports_tasks()) {
        return Some(needs_tasks());
    }
    Some(ErrorData::invalid_params(format!("{} needs {needs}", request.method), None))
}
