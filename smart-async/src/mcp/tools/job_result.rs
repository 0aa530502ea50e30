//! `job_result`: the outcome of an ended job, whole or in pages.

use std::borrow::Cow;

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::json;

use super::arguments::Arguments;
use super::job_view::result_text;
use super::response::{ToolResult, failed, in_band_error, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::job::{JobRecord, JobState, JobStatus};
use crate::core::jobs::{Error, why_gone};
use crate::core::text::truncated;
use crate::mcp::client::access::Access;
use crate::mcp::outcome::stored_result;

/// The default size of a page in bytes, which hosts accept as one answer.
const DEFAULT_PAGE: usize = 32 * 1024;
const MAX_PAGE: usize = 1024 * 1024;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Job result",
        description: "Full result of an ended background job; readable again until pruned. \
                      A large one comes in pages: pass next_offset as offset.",
        arguments: json!({
            "job_id": {"type": "string"},
            "offset": {"type": "integer", "minimum": 0, "default": 0, "description": "bytes"},
            "max_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
        }),
        required: &["job_id"],
        answer: json!({
            "job_id": {"type": "string"},
            "status": {"type": "string"},
            "terminal": {"type": "boolean"},
            "result": {},
            "text": {"type": "string"},
            "offset": {"type": "integer"},
            "next_offset": {"type": "integer"},
            "total_bytes": {"type": "integer"},
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
    let offset = arguments.count("offset", 0, usize::MAX)?.unwrap_or(0);
    let max_bytes = arguments.count("max_bytes", 1, MAX_PAGE)?.unwrap_or(DEFAULT_PAGE);
    arguments.finish("job_id, offset, max_bytes")?;
    let job = access.status_with_result(id).await.map_err(failed)?;
    if let Some(reason) = why_gone(&job) {
        return Err(failed(Error::ResultGone { id, reason }));
    }
    let Some(stored) = stored_result(&job) else {
        return Ok(success(json!({
            "job_id": id,
            "status": job.status(),
            "terminal": false,
            "next": follow_up.next(&[id]),
        })));
    };
    let text = whole_text(&job, &stored);
    if offset == 0 && text.len() <= max_bytes {
        return Ok(whole(&job, stored));
    }
    page(&job, &text, offset, max_bytes, follow_up)
}

/// The whole outcome as one text: the result or the error, or else the content blocks as JSON, where the outcome has more
/// than that, such as an image.
fn whole_text<'a>(job: &'a JobRecord, stored: &CallToolResult) -> Cow<'a, str> {
    let blocks = || serde_json::to_string(&stored.content).unwrap_or_default().into();
    match &job.state {
        JobState::Completed { output, .. } if output.tool_result.is_none() => {
            result_text(&output.result)
        }
        JobState::Failed { failure, .. } if failure.tool_result.is_none() => {
            failure.message.as_str().into()
        }
        _ => blocks(),
    }
}

/// The stored content blocks, with the outcome as structured content. A job without a result gives an error.
fn whole(job: &JobRecord, mut stored: CallToolResult) -> CallToolResult {
    let mut view = json!({"job_id": job.id, "status": job.status(), "terminal": true});
    let (field, value) = match &job.state {
        JobState::Completed { output, .. } => ("result", output.result.clone()),
        JobState::Failed { failure, .. } => ("error", failure.message.as_str().into()),
        _ => ("error", format!("Job {} was cancelled", job.id).into()),
    };
    if let Some(view) = view.as_object_mut() {
        view.insert(field.to_owned(), value);
    }
    stored.structured_content = Some(view);
    stored
}

/// A part of the text from `offset` on. Pages begin and end between characters, so that a page may be a little shorter than
/// `max_bytes`, but is never empty.
fn page(
    job: &JobRecord,
    text: &str,
    offset: usize,
    max_bytes: usize,
    follow_up: &FollowUp,
) -> ToolResult<CallToolResult> {
    let total = text.len();
    if offset >= total {
        return Err(in_band_error(
            &format!("offset: must be less than {total}, the size of the result in bytes"),
            Some(job.id),
        ));
    }
    let start = text.floor_char_boundary(offset);
    let rest = text.get(start..).unwrap_or_default();
    let part = match truncated(rest, max_bytes) {
        "" => rest.get(..rest.ceil_char_boundary(1)).unwrap_or(rest),
        part => part,
    };
    let end = start + part.len();
    let next_offset = (end < total).then_some(end);
    let next = next_offset.and_then(|offset| follow_up.result(job.id, offset));
    let mut page = success(json!({
        "job_id": job.id,
        "status": job.status(),
        "terminal": true,
        "text": part,
        "offset": start,
        "total_bytes": total,
        "next_offset": next_offset,
        "next": next,
    }));
    // Some clients do not show the structured content to their model, so the content blocks name the part too.
    let note = match &next {
        Some(next) => format!("[bytes {start} to {end} of {total}; next: {next}]"),
        None => format!("[bytes {start} to {end} of {total}]"),
    };
    page.content = vec![ContentBlock::text(part), ContentBlock::text(note)];
    page.is_error = Some(job.status() != JobStatus::Completed);
    Ok(page)
}
