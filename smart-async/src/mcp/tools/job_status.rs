//! `job_status`: the status, progress and small result of a job.

use rmcp::model::CallToolResult;
use serde_json::json;

use super::arguments::Arguments;
use super::job_view::{RESULT_BYTES, job_view, next_call, usual, with_shown_result};
use super::response::{ToolResult, failed, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::mcp::client::access::Access;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Job status",
        description: "Status and progress of a background job, and its result if small.",
        arguments: json!({"job_id": {"type": "string"}, "detail": {"type": "boolean"}}),
        required: &["job_id"],
        answer: json!({
            "job": {"type": "object"},
            "terminal": {"type": "boolean"},
            "next": {"type": "string"}
        }),
        effect: Effect::ReadOnly,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let id = arguments.job_id()?;
    let detail = arguments.flag("detail")?.unwrap_or(false);
    arguments.finish("job_id, detail")?;
    let _reading = access.manager().jobs().pin(&[id]);
    let job = access.status(id).await.map_err(|error| failed(follow_up, error))?;
    let job = with_shown_result(access.manager(), job, RESULT_BYTES).await;
    let mut view = job_view(access.manager(), &job, RESULT_BYTES).await;
    let next = next_call(follow_up, &job, &view);
    if !detail {
        view = usual(follow_up, view);
    } else if !follow_up.polls() {
        // It would contradict `next`, which waits.
        view.remove("poll_after_seconds");
    }
    Ok(success(json!({"job": view, "terminal": job.status().is_terminal(), "next": next})))
}
