//! What the answers of job tools have in common: how a job looks, and how a complaint does.

use std::sync::Arc;

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};

use crate::call::reply::FollowUp;
use crate::core::clock;
use crate::core::job::{JobId, JobRecord, JobStatus, Question, ResultLocation};
use crate::core::jobs::{Error, why_gone};
use crate::core::manager::JobManager;
use crate::core::text::{quoted, truncated};

/// The fields of a record that concern only its server.
const INTERNAL: &[&str] = &[
    "kind",
    "pending_reason",
    "waits_until",
    "waits_for_jobs",
    "updated_by",
    "version",
    "priority",
    "deadline_seconds",
    "max_retries",
    "retry_delay_seconds",
    "owner",
    "claim",
    "dispatch",
    "scope",
    "tool_result",
    "arguments",
    "max_reruns",
    "false_starts",
    "state_field",
    "state_pointer",
    "result_file",
    "result_file_bytes",
    "result_withheld",
    "questions",
];
/// The longest label, in characters.
const LABEL: usize = 200;

/// Results up to this many bytes come with a job's status.
pub(in crate::mcp) const RESULT_BYTES: usize = 2048;

/// An answer; fields that are `null` are left out of it.
pub(super) fn answer(mut fields: Value) -> CallToolResult {
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    // As the SDK makes one of it, but written straight into a text: through `Display` it takes twice as long.
    let text = serde_json::to_string(&fields).unwrap_or_else(|_| fields.to_string());
    let mut answer = CallToolResult::success(vec![ContentBlock::text(text)]);
    answer.structured_content = Some(fields);
    answer
}

/// An answer that a model reads as a failure of its call.
pub(in crate::mcp) fn in_band_error(message: &str, id: Option<JobId>) -> CallToolResult {
    CallToolResult::structured_error(match id {
        Some(id) => json!({"error": message, "job_id": id}),
        None => json!({"error": message}),
    })
}

/// The complaint about a job that could not be had.
pub(super) fn failed(error: &Error) -> CallToolResult {
    match error {
        Error::AlreadyEnded { id, .. } | Error::ResultGone { id, .. } => {
            in_band_error(&error.to_string(), Some(*id))
        }
        error => in_band_error(&error.to_string(), None),
    }
}

/// A label that a caller gave.
pub(in crate::mcp) fn job_label(name: &str, label: &Value) -> Result<String, String> {
    let Some(label) = label.as_str() else { return Err(format!("{name}: give a text")) };
    if label.trim().is_empty() || label.chars().count() > LABEL {
        return Err(format!("{name}: give from 1 to {LABEL} characters"));
    }
    if label.chars().any(char::is_control) {
        return Err(format!("{name}: {} has control characters; leave them out", quoted(label)));
    }
    Ok(label.trim().to_owned())
}

/// A job as callers see it: its record without what concerns only its server, with what it ended with where that is at
/// most `limit` bytes long, and with advice when to ask again where it is live.
pub(in crate::mcp) fn job_view(
    manager: &JobManager,
    follow_up: &FollowUp,
    job: &JobRecord,
    limit: usize,
) -> Value {
    let mut view = match job.to_json() {
        Value::Object(view) => view,
        _ => Map::new(),
    };
    for internal in INTERNAL {
        view.remove(*internal);
    }
    if job.status() != JobStatus::Completed {
        // That of an error's details, which are left out without a word.
        view.remove("result_bytes");
    }
    if job.result_location == ResultLocation::InMemory
        && let Some(reason) = why_gone(job)
    {
        view.insert("result_note".to_owned(), reason.into());
    }
    view.entry("cancel_requested").or_insert(Value::Bool(false));
    let elapsed = job.elapsed(clock::now());
    if let Some(elapsed) = elapsed {
        view.insert("elapsed_seconds".to_owned(), seconds(elapsed));
    }
    shorten(&mut view, limit);
    let left_out = ["result_bytes", "error_bytes"].iter().any(|field| view.contains_key(*field));
    if left_out && let Some(next) = follow_up.result(job.id, 0) {
        view.insert("next".to_owned(), next.into());
    }
    let questions: Map<_, _> = answerable(job).map(asked).collect();
    if !questions.is_empty() {
        view.insert("questions".to_owned(), questions.into());
        if let Some(next) = to_answer(follow_up, job) {
            view.insert("next".to_owned(), next.into());
        }
    }
    if job.waits_for_server() {
        view.insert("waits_for".to_owned(), "a server that has the tool, to run it again".into());
    }
    if !job.status().is_terminal() {
        let poll_after = manager.poll_after(&job.spec.tool, elapsed.unwrap_or_default());
        view.insert("poll_after_seconds".to_owned(), poll_after.into());
        if let Some(usual) = manager.usual_run(&job.spec.tool) {
            view.insert("usual_seconds".to_owned(), seconds(usual));
        }
    }
    Value::Object(view)
}

/// What the job asks, as far as it can be answered from here.
fn answerable(job: &JobRecord) -> impl Iterator<Item = (&str, &Question)> {
    job.open_questions().filter(|(_, question)| question.request.is_some())
}

/// The call that answers what the job asks first, where it asks anything.
pub(super) fn to_answer(follow_up: &FollowUp, job: &JobRecord) -> Option<String> {
    answerable(job).next().and_then(|(key, question)| follow_up.answer(job.id, key, question))
}

/// A question as callers see it.
fn asked((key, question): (&str, &Question)) -> (String, Value) {
    let mut fields = json!({
        "message": question.message(),
        "schema": question.schema(),
        "url": question.url(),
        "expires_at": clock::rfc3339(question.expires_at),
    });
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    (key.to_owned(), fields)
}

/// The job with its result, where the answer may show that: at most `limit` bytes of it.
///
/// A file is read for what is small beside a result that is not, such as metadata, but not a huge one.
pub(in crate::mcp) async fn with_shown_result(
    manager: &JobManager,
    job: Arc<JobRecord>,
    limit: usize,
) -> Arc<JobRecord> {
    const HUGE: u64 = 256 * 1024;
    match job.result_location {
        ResultLocation::InFile { bytes, file_bytes }
            if bytes <= limit as u64 || file_bytes <= HUGE =>
        {
            // A job that was pruned in this moment is shown as it was found.
            manager.status_with_result(job.id).await.unwrap_or(job)
        }
        _ => job,
    }
}

/// Leaves out what is longer than `limit` bytes, and says how long it is. An error keeps its beginning.
fn shorten(view: &mut Map<String, Value>, limit: usize) {
    if let Some(bytes) =
        view.get("result").map(|result| result_text(result).len()).filter(|bytes| *bytes > limit)
    {
        view.remove("result");
        view.insert("result_bytes".to_owned(), bytes.into());
    }
    if let Some(Value::String(error)) = view.get_mut("error")
        && error.len() > limit
    {
        let bytes = error.len();
        *error = format!("{}…", truncated(error, limit));
        view.insert("error_bytes".to_owned(), bytes.into());
    }
    for field in ["metadata", "error_details"] {
        if view.get(field).is_some_and(|value| value.to_string().len() > limit) {
            view.remove(field);
        }
    }
}

/// A length of time as answers name it: seconds with one decimal.
pub(super) fn seconds(time: std::time::Duration) -> Value {
    json!((time.as_secs_f64() * 10.0).round() / 10.0)
}

/// A result as text: as it is where it is one, else as JSON.
pub(super) fn result_text(result: &Value) -> std::borrow::Cow<'_, str> {
    match result {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}
