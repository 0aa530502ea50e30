//! `job_status`: the status, progress and small result of a job.

use rmcp::model::CallToolResult;
use serde_json::json;

use super::arguments::Arguments;
use super::job_view::{RESULT_BYTES, job_view, with_shown_result};
use super::response::{ToolResult, failed, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::mcp::client::access::Access;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Job status",
        description: "Status, progress and (if small) result of a background job. \
                      Done when `terminal` is true. To wait, use {prefix}wait_job.",
        arguments: json!({"job_id": {"type": "string"}}),
        required: &["job_id"],
        answer: json!({"job": {"type": "object"}}),
        effect: Effect::ReadOnly,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let id = arguments.job_id()?;
    arguments.finish("job_id")?;
    let _reading = access.manager().jobs().pin(&[id]);
    let job = access.status(id).await.map_err(failed)?;
    let job = with_shown_result(access.manager(), job, RESULT_BYTES).await;
    Ok(success(json!({"job": job_view(access.manager(), follow_up, &job, RESULT_BYTES)})))
}
