//! `cancel_job`: stops a job, and answers once its work has stopped.

use rmcp::model::CallToolResult;
use serde_json::json;

use super::arguments::Arguments;
use super::response::{ToolResult, failed, in_band_error, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::job::{JobId, JobStatus};
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
    match access.cancel(id).await.map_err(|error| refused(follow_up, id, error))? {
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
        Cancelled::Unrecorded { has_stopped, .. } => {
            let work = match has_stopped {
                true => "The work has stopped",
                false => "The work was told to stop and has not stopped yet",
            };
            let message = format!(
                "{work}, but the job store could not record it: a restart may not know of it."
            );
            Ok(success(json!({
                "job_id": id,
                "terminal": false,
                "message": message,
                "cancel_requested": true,
                "next": follow_up.next(&[id]),
            })))
        }
    }
}

/// The answer where the job was not told to stop, as far as is known.
fn refused(follow_up: &FollowUp, id: JobId, error: Error) -> CallToolResult {
    let Error::Store(failure) = &error else { return failed(follow_up, error) };
    let message = match failure.is_in_doubt() {
        true => "It is not known whether the work was told to stop; try again",
        false => "The work was not told to stop; try again",
    };
    in_band_error(&format!("{message}: {}", error.answer_text()), Some(id))
}
