//! The contents of a job's resources.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{ContentBlock, ReadResourceResult, ResourceContents};
use serde_json::{Value, json};

use super::{ResourcePart, failed, find};
use crate::call::reply::FollowUp;
use crate::core::job::{JobOutput, JobRecord, JobState};
use crate::core::jobs::why_gone;
use crate::mcp::client::access::Access;
use crate::mcp::outcome::{is_too_large, stored_result, too_large};
use crate::mcp::tools::job_view::{RESULT_BYTES, job_view, next_result, usual, with_shown_result};
use crate::mcp::tools::question_view::next_answer;

const JSON: &str = "application/json";

/// `resources/read` of a job's resource.
pub(in crate::mcp) async fn read(
    access: &Access,
    follow_up: &FollowUp,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let (job, part) = find(access, uri).await?;
    let contents = match part {
        ResourcePart::Status => {
            let job = with_shown_result(access.manager(), job, RESULT_BYTES).await;
            let mut view = usual(follow_up, job_view(access.manager(), &job, RESULT_BYTES).await);
            // The client is told of a live job's changes, and need not wait.
            let next = next_answer(follow_up, &job);
            if let Some(next) = next.or_else(|| next_result(follow_up, &job, &view)) {
                view.insert("next".to_owned(), next.into());
            }
            vec![in_json(uri, &view.into())]
        }
        ResourcePart::Result => {
            if is_too_large(&job) {
                return Err(ErrorData::internal_error(too_large(&job), Some(json!({"uri": uri}))));
            }
            let job = with_result(access, uri, &job).await?;
            result(uri, &job)?
        }
    };
    Ok(ReadResourceResult::new(contents))
}

/// The job with its result, whatever its size.
async fn with_result(
    access: &Access,
    uri: &str,
    job: &JobRecord,
) -> Result<Arc<JobRecord>, ErrorData> {
    let job = access.status_with_result(job.id).await.map_err(|error| failed(uri, error))?;
    match why_gone(&job) {
        Some(reason) => Err(ErrorData::internal_error(reason, Some(json!({"uri": uri})))),
        None => Ok(job),
    }
}

fn in_json(uri: &str, value: &Value) -> ResourceContents {
    ResourceContents::text(value.to_string(), uri).with_mime_type(JSON)
}

fn result(uri: &str, job: &JobRecord) -> Result<Vec<ResourceContents>, ErrorData> {
    let error = match &job.state {
        JobState::Completed { output, .. } => return Ok(completed(uri, job, output)),
        JobState::Failed { failure, .. } => failure.message.clone(),
        JobState::Cancelled { .. } => format!("Job {} was cancelled", job.id),
        JobState::Pending { .. } | JobState::Running { .. } | JobState::InputRequired { .. } => {
            let id = job.id;
            let message = format!(
                "job {id} is {} and has no result yet; read job://{id} to see where it stands, or subscribe to {uri} to \
                 be told when it has ended",
                job.status()
            );
            return Err(ErrorData::resource_not_found(message, Some(json!({"uri": uri}))));
        }
    };
    let ending =
        json!({"job_id": job.id, "status": job.status(), "terminal": true, "error": error});
    Ok(vec![in_json(uri, &ending)])
}

/// The result as text or as JSON, and after it the content blocks that are not text.
fn completed(uri: &str, job: &JobRecord, output: &JobOutput) -> Vec<ResourceContents> {
    let blocks = stored_result(job).map(|result| result.content).unwrap_or_default();
    let beside: Vec<_> = blocks.into_iter().filter_map(|block| beside_text(uri, block)).collect();
    let mut contents = match &output.result {
        // The result of a tool that returns an image alone is the empty text.
        Value::String(text) if text.is_empty() && !beside.is_empty() => Vec::new(),
        Value::String(text) => vec![ResourceContents::text(text.as_str(), uri)],
        other => vec![in_json(uri, other)],
    };
    contents.extend(beside);
    contents
}

fn beside_text(uri: &str, block: ContentBlock) -> Option<ResourceContents> {
    match block {
        ContentBlock::Text(_) => None,
        ContentBlock::Image(image) => {
            Some(ResourceContents::blob(image.data, uri).with_mime_type(image.mime_type))
        }
        ContentBlock::Audio(audio) => {
            Some(ResourceContents::blob(audio.data, uri).with_mime_type(audio.mime_type))
        }
        ContentBlock::Resource(embedded) => Some(embedded.resource),
        other => serde_json::to_value(other).ok().map(|other| in_json(uri, &other)),
    }
}
