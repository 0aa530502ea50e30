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

impl<R: IntoCallToolResult> IntoCallToolResult for Reply<R> {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
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
            Self::Job(ticket) => {
                warn_without_job_tools();
                Ok(ticket.to_result().into())
            }
            // The protocol has an error of its own for a client that lacks a capability.
            Self::Failed(error) if error.kind == CallErrorKind::TaskRequired => Err(needs_tasks()),
            Self::Failed(error) => Ok(error.to_result().into()),
        }
    }
}

/// Warns the author of a server whose clients cannot follow the jobs that they get, once.
fn warn_without_job_tools() {
    static WARNED: Once = Once::new();
    if CallRequest::server().is_none() && !are_job_tools_served() {
        WARNED.call_once(|| {
            observe::warn!(
                "a call became a job, but this server has no job tools to follow it: wrap the server with .with_jobs(manager), \
                 or add job_tools() to its router"
            );
        });
    }
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
            json!({"error": self.message, "error_kind": self.kind.as_str()}),
        )
    }
}
