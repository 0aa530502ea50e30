//! A reply as the answer to `tools/call`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult};
use serde_json::json;

use crate::call::CallRequest;
use crate::call::errors::{CallError, CallErrorKind};
use crate::call::reply::{JobTicket, Reply, are_job_tools_served};
use crate::core::observe;
use crate::core::shield::panic_message;
use crate::mcp::tasks::needs_tasks;
use crate::mcp::tools::response::shown_error;

impl<R: IntoCallToolResult> IntoCallToolResult for Reply<R> {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        warn_without_job_server();
        match self {
            // A handler that panics would never answer.
            Self::Inline(result) => {
                catch_unwind(AssertUnwindSafe(|| result.into_call_tool_result())).unwrap_or_else(
                    |panic| {
                        let message = format!(
                            "the result could not be turned into an answer: {}",
                            panic_message(&*panic)
                        );
                        Err(ErrorData::internal_error(message, None))
                    },
                )
            }
            Self::Job(ticket) => Ok(ticket.to_result().into()),
            // The protocol has an error of its own for a client that lacks a capability.
            Self::Failed(error) if error.kind == CallErrorKind::TaskRequired => Err(needs_tasks()),
            Self::Failed(error) => Ok(error.to_result().into()),
        }
    }
}

/// Warns the author of a server that is not wrapped, once: its tools have no `async_mode`, and its clients may be unable to follow
/// jobs. The arguments of a call are the tool's own there, and unknown ones end in the tool's type.
fn warn_without_job_server() {
    static WARNED: Once = Once::new();
    if CallRequest::server().is_some() {
        return;
    }
    WARNED.call_once(|| {
        let gap = match are_job_tools_served() {
            true => "its tools ignore async_mode and job_label",
            false => {
                "it has no job tools to follow a job, unless its router has job_tools(), and its tools ignore async_mode and \
                 job_label"
            }
        };
        observe::warn!(
            "this server is not wrapped with .with_jobs(manager): {gap}; in place of `server.serve(transport)` write \
             `smart_async::WithJobs::with_jobs(server, smart_async::JobManager::open().await?).serve(transport)`"
        );
    });
}

impl JobTicket {
    /// The ticket as a plain result: the same JSON as text and as structured content.
    pub(super) fn to_result(&self) -> CallToolResult {
        CallToolResult::structured(serde_json::to_value(self).unwrap_or_default())
    }
}

impl CallError {
    fn to_result(&self) -> CallToolResult {
        CallToolResult::structured_error(
            json!({"error": shown_error(&self.message), "error_kind": self.kind.as_str()}),
        )
    }
}
