//! `job_result`: the outcome of an ended job, whole or in pages.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::json;

use super::arguments::Arguments;
use super::job_view::{result_text, whether_to_call_again};
use super::response::{ToolResult, failed, in_band_error, success};
use super::{Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::job::{JobId, JobRecord, JobState, JobStatus, ResultPage};
use crate::core::jobs::{Error, why_gone};
use crate::mcp::client::access::Access;
use crate::mcp::outcome::{is_too_large, stored_result};

/// The default size of a page in bytes, which hosts accept as one answer.
const DEFAULT_PAGE: usize = 32 * 1024;
const MAX_PAGE: usize = 1024 * 1024;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Job result",
        description: "Full result of an ended background job, readable until pruned. If large, in pages: go on with `next`.",
        arguments: json!({
            "job_id": {"type": "string"},
            "offset": {"type": "integer", "description": "in bytes"},
            "max_bytes": {"type": "integer"}
        }),
        required: &["job_id"],
        answer: json!({
            "job_id": {"type": "string"},
            "status": {"type": "string"},
            "terminal": {"type": "boolean"},
            "result": {},
            "result_bytes": {"type": "integer"},
            "note": {"type": "string"},
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
    let job = access.status(id).await.map_err(|error| failed(follow_up, error))?;
    if !job.status().is_terminal() {
        return Ok(success(json!({
            "job_id": id,
            "status": job.status(),
            "terminal": false,
            "next": follow_up.next(&[id]),
        })));
    }
    if offset == 0
        && !is_too_large(&job)
        && let Some(whole) = whole_within(access, follow_up, id, max_bytes).await?
    {
        return Ok(whole);
    }
    let page = access
        .result_page(id, offset as u64, max_bytes)
        .await
        .map_err(|error| failed(follow_up, error))?;
    show(&job, &page, follow_up)
}

/// The whole outcome, where its text has `max_bytes` at most.
async fn whole_within(
    access: &Access,
    follow_up: &FollowUp,
    id: JobId,
    max_bytes: usize,
) -> ToolResult<Option<CallToolResult>> {
    let job = access.status_with_result(id).await.map_err(|error| failed(follow_up, error))?;
    if let Some(reason) = why_gone(&job) {
        return Err(failed(follow_up, Error::ResultGone { id, reason }));
    }
    let fits = job.result_text().is_some_and(|text| text.len() <= max_bytes);
    Ok(stored_result(&job).filter(|_| fits).map(|stored| whole(&job, stored, max_bytes)))
}

/// The stored content blocks, with the outcome as structured content, where that has at most `max_bytes` too, else its size. A job
/// without a result gives an error.
fn whole(job: &JobRecord, mut stored: CallToolResult, max_bytes: usize) -> CallToolResult {
    let mut view = json!({"job_id": job.id, "status": job.status(), "terminal": true});
    let (field, value) = match &job.state {
        JobState::Completed { output, .. } => match result_text(&output.result).len() {
            bytes if bytes > max_bytes => ("result_bytes", bytes.into()),
            _ => ("result", output.result.clone()),
        },
        JobState::Failed { failure, .. } => ("error", failure.message.as_str().into()),
        _ => ("error", format!("Job {} was cancelled", job.id).into()),
    };
    if let Some(view) = view.as_object_mut() {
        view.insert(field.to_owned(), value);
        if let Some(note) = whether_to_call_again(job) {
            view.insert("note".to_owned(), note.into());
        }
    }
    stored.structured_content = Some(view);
    stored
}

/// A page of the text.
fn show(job: &JobRecord, page: &ResultPage, follow_up: &FollowUp) -> ToolResult<CallToolResult> {
    let ResultPage { text: part, offset: start, total, .. } = page;
    if part.is_empty() {
        return Err(in_band_error(
            &format!("offset: must be less than {total}, the size of the result in bytes"),
            Some(job.id),
        ));
    }
    let end = start + part.len() as u64;
    let next_offset = (end < *total).then_some(end);
    let next = next_offset
        .and_then(|offset| usize::try_from(offset).ok())
        .and_then(|offset| follow_up.result(job.id, offset));
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
    page.content = vec![ContentBlock::text(part.as_str()), ContentBlock::text(note)];
    page.is_error = Some(job.status() != JobStatus::Completed);
    Ok(page)
}
