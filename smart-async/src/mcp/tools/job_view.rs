//! A job as the job tools and the resources show it, with bounds on every part that a tool, a caller or a program fills.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::question_view::{next_answer, question_views};
use crate::call::reply::FollowUp;
use crate::core::job::{
    FailureKind, JobKind, JobRecord, JobState, JobStatus, PendingReason, ResultLocation,
};
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
    "sequence",
    "end_sequence",
    "priority",
    "max_concurrent",
    "explicit",
    "call_open",
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
    "idempotency_key",
    "idempotency_arguments",
    "idempotency_until",
    "state_field",
    "state_pointer",
    "result_file",
    "result_file_bytes",
    "result_withheld",
    "questions",
];

/// The state of a job that waits for its turn.
const QUEUED: JobState = JobState::Pending { reason: PendingReason::Queued };

/// The fields that a job's status has without `detail`, beside its [`OUTCOME`]; [`usual`] leaves some of them out where they say
/// nothing.
const USUAL: &[&str] = &[
    "id",
    "tool",
    "label",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "attempt",
    "tags",
    "session",
    "cancel_requested",
    "poll_after_seconds",
    "usual_seconds",
    "waits_for",
    "progress",
    "questions",
    "questions_omitted",
];

/// The fields that say how a job has ended.
pub(super) const OUTCOME: &[&str] = &[
    "terminal",
    "elapsed_seconds",
    "result",
    "result_bytes",
    "result_note",
    "metadata",
    "error",
    "error_bytes",
    "error_kind",
    "error_code",
    "exit_code",
    "error_details",
    "note",
];

/// So much of an error is always shown, in bytes.
const SHORTEST_ERROR: usize = 200;

/// The largest result that is shown with a job's status, in bytes. No other field is longer.
pub(in crate::mcp) const RESULT_BYTES: usize = 2048;

/// The longest label that is shown, in bytes: the programs that submit jobs set no limit.
const LABEL_BYTES: usize = 800;

/// The fields of a job as an answer shows them.
pub(in crate::mcp) type JobFields = Map<String, Value>;

/// The job's record without the internal fields, with its outcome where that has at most `limit` bytes, and for a live job
/// with the time after which to poll again.
pub(in crate::mcp) async fn job_view(
    manager: &JobManager,
    job: &JobRecord,
    limit: usize,
) -> JobFields {
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
    view.extend(question_views(job));
    if let Some(note) = whether_to_call_again(job) {
        view.insert("note".to_owned(), note.into());
    }
    let live = manager.runner().live().get(job.id).filter(|_| !job.status().is_terminal());
    let context = live.as_ref().map(|live| &live.context);
    if !job.cancel_requested && context.is_some_and(|work| work.cancellation.is_cancelled()) {
        let note = "The work was told to stop, and has not stopped yet.";
        view.insert("note".to_owned(), note.into());
    }
    if let Some(load) = manager.runner().held_by_load(job.id) {
        view.insert("waits_for".to_owned(), format!("less load on the machine: {load}").into());
    } else if let Ok(Some(place)) = manager.jobs().queue_place(job).await {
        view.insert(
            "waits_for".to_owned(),
            format!("a free slot: place {place} in the queue").into(),
        );
    } else if job.state == QUEUED || context.is_some_and(|work| work.turn.waits()) {
        view.insert("waits_for".to_owned(), "a free thread".into());
    }
    if job.waits_for_server() {
        view.insert(
            "waits_for".to_owned(),
            "a server in use that has the tool, to run it again".into(),
        );
    }
    if !job.status().is_terminal() {
        let poll_after = manager.jobs().poll_after(&job.spec.tool, elapsed.unwrap_or_default());
        view.insert("poll_after_seconds".to_owned(), poll_after.into());
        if let Some(usual) = manager.jobs().usual_run(&job.spec.tool) {
            view.insert("usual_seconds".to_owned(), seconds(usual));
        }
    }
    view
}

/// The fields that a model needs: without bookkeeping, without what is the same for nearly every job, and without a time to poll
/// where a tool waits.
pub(in crate::mcp) fn usual(follow_up: &FollowUp, mut view: JobFields) -> JobFields {
    view.retain(|field, _| [USUAL, OUTCOME].iter().any(|fields| fields.contains(&field.as_str())));
    if !follow_up.polls() {
        view.remove("poll_after_seconds");
    }
    if view.get("label") == view.get("tool") {
        view.remove("label");
    }
    if view.get("attempt") == Some(&json!(1)) {
        view.remove("attempt");
    }
    if view.get("cancel_requested") == Some(&Value::Bool(false)) {
        view.remove("cancel_requested");
    }
    view
}

/// How far a job is, in one field: the percentage of a live job that has one, else the time that it ran.
pub(super) fn how_far(job: &JobRecord, manager: &JobManager) -> Option<(&'static str, Value)> {
    let percentage = job.progress.as_ref().and_then(|progress| progress.percentage);
    match percentage.filter(|_| !job.status().is_terminal()) {
        Some(percentage) => Some(("percentage", json!(percentage.floor() as i64))),
        None => Some(("elapsed_seconds", seconds(manager.jobs().elapsed(job)?))),
    }
}

/// The call that the view of a job leads to: it answers the job's question, follows the job, or gets the part of its outcome that
/// is not in the view. `None` where the view is the end.
pub(in crate::mcp) fn next_call(
    follow_up: &FollowUp,
    job: &JobRecord,
    view: &JobFields,
) -> Option<String> {
    if !job.status().is_terminal() {
        return next_answer(follow_up, job).or_else(|| follow_up.next(&[job.id]));
    }
    next_result(follow_up, job, view)
}

/// The call that gets the part of the outcome that is not in the view.
pub(in crate::mcp) fn next_result(
    follow_up: &FollowUp,
    job: &JobRecord,
    view: &JobFields,
) -> Option<String> {
    let is_shortened =
        ["result_bytes", "error_bytes"].iter().any(|field| view.contains_key(*field));
    follow_up.result(job.id, 0).filter(|_| is_shortened)
}

/// Whether the caller of a job that was interrupted makes its call again: only the caller knows what the work does.
pub(super) fn whether_to_call_again(job: &JobRecord) -> Option<String> {
    let JobState::Failed { failure, .. } = &job.state else { return None };
    if failure.kind != FailureKind::Interrupted {
        return None;
    }
    let tool = truncated(&job.spec.tool, SHORTEST_ERROR);
    let has_begun = job.state.started_at().is_some() || job.attempt > 1;
    Some(match job.spec.kind {
        JobKind::Tool if !has_begun => {
            format!("By its record the work had not begun. Call {tool} again.")
        }
        JobKind::Tool => format!(
            "The work may be done in part. Call {tool} again only if doing that part twice is harmless."
        ),
        _ => "The work may be done in part. It does not run again by itself.".to_owned(),
    })
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

/// Replaces a result of more than `limit` bytes by its size, and an error by its beginning and its size; leaves out any other
/// field that is too long.
fn shorten(view: &mut JobFields, limit: usize) {
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
    for name in ["label", "tool", "server"] {
        if let Some(Value::String(text)) = view.get_mut(name)
            && text.len() > LABEL_BYTES
        {
            *text = shown_label(text).into_owned();
        }
    }
    view.retain(|field, value| match (field.as_str(), value) {
        ("result" | "error", _) | (_, Value::Null | Value::Bool(_) | Value::Number(_)) => true,
        ("metadata" | "error_details", value) => value.to_string().len() <= limit,
        (_, value) => value.to_string().len() <= RESULT_BYTES,
    });
}

/// A label as answers show it.
pub(super) fn shown_label(label: &str) -> Cow<'_, str> {
    match label.len() <= LABEL_BYTES {
        true => label.into(),
        false => format!("{}…", truncated(label, LABEL_BYTES)).into(),
    }
}

/// A length of time in seconds: with one decimal below ten seconds.
pub(super) fn seconds(time: Duration) -> Value {
    let tenths = (time.as_secs_f64() * 10.0).round();
    if tenths >= 100.0 || tenths % 10.0 == 0.0 {
        json!((tenths / 10.0).round() as u64)
    } else {
        json!(tenths / 10.0)
    }
}

/// A result as text: a string as it is, any other value as JSON.
pub(super) fn result_text(result: &Value) -> Cow<'_, str> {
    match result {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{JobFailure, JobId, JobSpec, Timestamp};

    fn failed(kind: FailureKind, of: JobKind) -> JobRecord {
        let now = Timestamp::UNIX_EPOCH;
        let mut job = JobRecord::new(JobId::new(), JobSpec::new("bake", "bakery", now));
        job.spec_mut().kind = of;
        let failure = JobFailure::new(kind, "it ended early");
        job.state = JobState::Failed { started_at: Some(now), completed_at: now, failure };
        job
    }

    #[test]
    fn an_interrupted_job_says_whether_to_call_again() {
        let note = |kind, of| whether_to_call_again(&failed(kind, of));
        assert_eq!(
            note(FailureKind::Interrupted, JobKind::Tool).as_deref(),
            Some(
                "The work may be done in part. Call bake again only if doing that part twice is harmless."
            )
        );
        let submitted = note(FailureKind::Interrupted, JobKind::Task).unwrap();
        assert!(!submitted.contains("Call "), "no caller can call it: {submitted}");
        assert_eq!(note(FailureKind::Error, JobKind::Tool), None);
        let mut unbegun = failed(FailureKind::Interrupted, JobKind::Tool);
        let JobState::Failed { started_at, .. } = &mut unbegun.state else { unreachable!() };
        *started_at = None;
        let note = whether_to_call_again(&unbegun).unwrap();
        assert_eq!(note, "By its record the work had not begun. Call bake again.");
    }

    #[test]
    fn no_field_grows_without_bound() {
        let long = Value::String("é".repeat(50_000));
        let mut view = JobFields::new();
        for field in
            ["id", "label", "tool", "server", "session", "error", "result", "of a later version"]
        {
            view.insert(field.to_owned(), long.clone());
        }
        for field in ["tags", "metadata", "error_details"] {
            view.insert(field.to_owned(), json!({"a": long}));
        }
        shorten(&mut view, RESULT_BYTES);
        let bytes = Value::from(view.clone()).to_string().len();
        assert!(bytes <= 4 * RESULT_BYTES, "{bytes} bytes: {:?}", view.keys());
        assert_eq!(
            (&view["result_bytes"], &view["error_bytes"]),
            (&json!(100_000), &json!(100_000))
        );
    }

    #[test]
    fn times_are_as_exact_as_a_reader_needs() {
        let shown = |millis| seconds(Duration::from_millis(millis));
        assert_eq!(shown(0), json!(0));
        assert_eq!(shown(1_540), json!(1.5));
        assert_eq!(shown(3_000), json!(3));
        assert_eq!(shown(75_400), json!(75));
    }
}
