//! `cancel_job`: stops a job, and answers once its work has stopped.

use rmcp::model::CallToolResult;
use serde_json::json;

use super::arguments::Arguments;
use super::response::{ToolResult, failed, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::job::JobStatus;
use crate::core::jobs::{Cancelled, Error};
use crate::mcp::client::access::Access;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Cancel job",
        description: "Stop a background job. Answers `cancelled` once its work has stopped.",
        arguments: json!({"job_id": {"type": "string"}}),
        required: &["job_id"],
        answer: json!({
            "job_id": {"type": "string"},
            "status": {"type": "string"},
            "message": {"type": "string"},
            "terminal": {"type": "boolean"},
            "cancel_requested": {"type": "boolean"},
            "next": {"type": "string"}
        }),
        effect: Effect::Destructive,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let id = arguments.job_id()?;
    arguments.finish("job_id")?;
    match access.cancel(id).await.map_err(|error| failed(follow_up, error))? {
        Cancelled::Stopped(job) if job.status() == JobStatus::Cancelled => {
            Ok(CallToolResult::structured(
                json!({"job_id": id, "status": "cancelled", "terminal": true, "message": "Job cancelled"}),
            ))
        }
        // The work ended by itself before the request reached it.
        Cancelled::Stopped(job) => {
            Err(failed(follow_up, Error::AlreadyEnded { id, status: job.status() }))
        }
        Cancelled::StillRunning(job) => Ok(success(json!({
            "job_id": id,
            "status": job.status(),
            "terminal": false,
            "message": "The job was told to stop, but its work has not stopped yet.",
            "cancel_requested": true,
            "next": follow_up.next(&[id]),
        }))),
    }
}
