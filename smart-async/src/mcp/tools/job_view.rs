//! A job as the job tools and the resources show it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::call::reply::FollowUp;
use crate::core::clock;
use crate::core::job::{JobRecord, JobStatus, Question, ResultLocation};
use crate::core::jobs::why_gone;
use crate::core::manager::JobManager;
use crate::core::text::truncated;

/// The fields of a record that no client sees: they concern the server alone.
const INTERNAL: &[&str] = &[
    "kind",
    "pending_reason",
    "waits_until",
    "ran_seconds",
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

/// So much of an error is always shown, in bytes.
const SHORTEST_ERROR: usize = 200;

/// The largest result that is shown with a job's status, in bytes.
pub(in crate::mcp) const RESULT_BYTES: usize = 2048;

/// The job's record without the internal fields, with its outcome where that has at most `limit` bytes, and for a live job
/// with the time after which to poll again.
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
        // Of a failed job, this is the size of the error's details, which are left out without a note.
        view.remove("result_bytes");
    }
    if job.result_location == ResultLocation::InMemory
        && let Some(reason) = why_gone(job)
    {
        view.insert("result_note".to_owned(), reason.into());
    }
    view.entry("cancel_requested").or_insert(Value::Bool(false));
    let elapsed = manager.jobs().elapsed(job);
    if let Some(elapsed) = elapsed {
        view.insert("elapsed_seconds".to_owned(), seconds(elapsed));
    }
    shorten(&mut view, limit);
    let is_shortened =
        ["result_bytes", "error_bytes"].iter().any(|field| view.contains_key(*field));
    if is_shortened && let Some(next) = follow_up.result(job.id, 0) {
        view.insert("next".to_owned(), next.into());
    }
    let questions: Map<_, _> = answerable(job).map(question_view).collect();
    if !questions.is_empty() {
        view.insert("questions".to_owned(), questions.into());
        if let Some(next) = next_answer(follow_up, job) {
            view.insert("next".to_owned(), next.into());
        }
    }
    if job.waits_for_server() {
        view.insert("waits_for".to_owned(), "a server that has the tool, to run it again".into());
    }
    if !job.status().is_terminal() {
        let poll_after = manager.jobs().poll_after(&job.spec.tool, elapsed.unwrap_or_default());
        view.insert("poll_after_seconds".to_owned(), poll_after.into());
        if let Some(usual) = manager.jobs().usual_run(&job.spec.tool) {
            view.insert("usual_seconds".to_owned(), seconds(usual));
        }
    }
    Value::Object(view)
}

/// The open questions whose request is on disk. Only the server that runs the job knows the others.
fn answerable(job: &JobRecord) -> impl Iterator<Item = (&str, &Question)> {
    job.open_questions().filter(|(_, question)| question.request.is_some())
}

/// The call that answers the job's first question; `None` where the job asks nothing.
pub(super) fn next_answer(follow_up: &FollowUp, job: &JobRecord) -> Option<String> {
    answerable(job).next().and_then(|(key, question)| follow_up.answer(job.id, key, question))
}

fn question_view((key, question): (&str, &Question)) -> (String, Value) {
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

/// The job with its result, where [`job_view`] with this `limit` shows any of it.
///
/// A result file beyond the limit is read for the small fields beside the result, such as the metadata, unless the file
/// itself is too large.
pub(in crate::mcp) async fn with_shown_result(
    manager: &JobManager,
    job: Arc<JobRecord>,
    limit: usize,
) -> Arc<JobRecord> {
    const LARGEST_FILE: u64 = 256 * 1024;
    match job.result_location {
        ResultLocation::InFile { bytes, file_bytes }
            if bytes <= limit as u64 || file_bytes <= LARGEST_FILE =>
        {
            // A job that was pruned since is shown as the caller found it.
            manager.status_with_result(job.id).await.unwrap_or(job)
        }
        _ => job,
    }
}

/// Replaces a result of more than `limit` bytes by its size, and an error by its beginning and its size.
fn shorten(view: &mut Map<String, Value>, limit: usize) {
    if let Some(bytes) =
        view.get("result").map(|result| result_text(result).len()).filter(|bytes| *bytes > limit)
    {
        view.remove("result");
        view.insert("result_bytes".to_owned(), bytes.into());
    }
    if let Some(Value::String(error)) = view.get_mut("error")
        && error.len() > limit.max(SHORTEST_ERROR)
    {
        let bytes = error.len();
        *error = format!("{}…", truncated(error, limit.max(SHORTEST_ERROR)));
        view.insert("error_bytes".to_owned(), bytes.into());
    }
    for field in ["metadata", "error_details"] {
        if view.get(field).is_some_and(|value| value.to_string().len() > limit) {
            view.remove(field);
        }
    }
}

/// A length of time in seconds, with one decimal.
pub(super) fn seconds(time: Duration) -> Value {
    json!((time.as_secs_f64() * 10.0).round() / 10.0)
}

/// A result as text: a string as it is, any other value as JSON.
pub(super) fn result_text(result: &Value) -> Cow<'_, str> {
    match result {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}
