//! Refuses requests whose parameters do not fit their method.
//!
//! **Gap.** rmcp 3.11 decodes a request by trying its types one after the other (`ClientRequest` in `model.rs` is an untagged
//! enum). A `tools/call` with malformed parameters fits none of them but `CustomRequest`, and so reaches `on_custom_request`,
//! whose default answers "method not found" in place of "invalid params".
//!
//! **Ends when** the SDK decodes a request by its method.

use rmcp::model::{
    CallToolRequestMethod, CallToolRequestParams, CancelTaskMethod, CompleteRequestMethod,
    CompleteRequestParams, ConstString, CustomRequest, GetPromptRequestMethod,
    GetPromptRequestParams, GetTaskMethod, InitializeRequestParams, InitializeResultMethod,
    ProtocolVersion, ReadResourceRequestMethod, ReadResourceRequestParams, SetLevelRequestMethod,
    SubscribeRequestMethod, SubscribeRequestParams, SubscriptionsListenRequestMethod,
    UnsubscribeRequestMethod, UnsubscribeRequestParams, UpdateTaskMethod,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::mcp::tasks::needs_tasks;
use crate::mcp::tools::response::shown_error;

/// The error for a request of a method of MCP that arrived as a custom request; `None` for any other request.
pub(in crate::mcp) fn refuse_malformed(
    request: &CustomRequest,
    context: &RequestContext<RoleServer>,
) -> Option<ErrorData> {
    if !is_of_revision(&request.method, context.protocol_version().as_ref()) {
        return None;
    }
    let params = || request.params.clone().unwrap_or_default();
    let fault = match request.method.as_str() {
        GetTaskMethod::VALUE | CancelTaskMethod::VALUE => "it needs taskId, a string".to_owned(),
        UpdateTaskMethod::VALUE => {
            "it needs taskId, a string, and inputResponses, an object of answers".to_owned()
        }
        CallToolRequestMethod::VALUE => fault_of::<CallToolRequestParams>(params()),
        CompleteRequestMethod::VALUE => fault_of::<CompleteRequestParams>(params()),
        GetPromptRequestMethod::VALUE => fault_of::<GetPromptRequestParams>(params()),
        ReadResourceRequestMethod::VALUE => fault_of::<ReadResourceRequestParams>(params()),
        SubscribeRequestMethod::VALUE => fault_of::<SubscribeRequestParams>(params()),
        UnsubscribeRequestMethod::VALUE => fault_of::<UnsubscribeRequestParams>(params()),
        InitializeResultMethod::VALUE => fault_of::<InitializeRequestParams>(params()),
        SetLevelRequestMethod::VALUE | SubscriptionsListenRequestMethod::VALUE => {
            DO_NOT_FIT.to_owned()
        }
        _ => return None,
    };
    let of_tasks = request.method.starts_with("tasks/");
    if of_tasks && !context.client_capabilities().is_some_and(|client| client.supports_tasks()) {
        return Some(needs_tasks());
    }
    let message = shown_error(&format!("{}: {fault}", request.method));
    Some(ErrorData::invalid_params(message, None))
}

/// Returns whether the revision of the protocol has this method; "method not found" is the answer where it has not.
fn is_of_revision(method: &str, revision: Option<&ProtocolVersion>) -> bool {
    let has_sessions = revision.is_none_or(ProtocolVersion::has_initialize);
    match method {
        InitializeResultMethod::VALUE
        | SetLevelRequestMethod::VALUE
        | SubscribeRequestMethod::VALUE
        | UnsubscribeRequestMethod::VALUE => has_sessions,
        SubscriptionsListenRequestMethod::VALUE => !has_sessions,
        _ => true,
    }
}

/// The words for parameters whose fault is not known.
const DO_NOT_FIT: &str = "the parameters do not fit the method";

/// Says why these are not the parameters of a method.
fn fault_of<P: DeserializeOwned>(params: Value) -> String {
    serde_json::from_value::<P>(params)
        .err()
        .map_or_else(|| DO_NOT_FIT.to_owned(), |fault| fault.to_string())
}
