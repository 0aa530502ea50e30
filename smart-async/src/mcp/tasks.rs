//! Jobs as native MCP tasks: the Tasks extension, SEP-2663 in its version of 2026-07-28
//! (<https://modelcontextprotocol.io/seps/2663-tasks-extension>). A task's id is the job's id, so that it stays valid after a
//! restart and in every server over the same folder.

use std::sync::Arc;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult, DetailedTask,
    ElicitationCapability, GetTaskResult, InputResponses, JsonObject, Task, TaskPayload,
    TaskStatus,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::client::access::Access;
use super::outcome::{error_text, is_too_large, stored_result, too_large};
use super::questions::{answer_all, can_be_asked_all, open_requests};
use super::tools::question_view::next_answer;
use crate::call::reply::FollowUp;
use crate::core::clock;
use crate::core::job::{FailureKind, JobFailure, JobId, JobRecord, JobState, JobStatus, Progress};
use crate::core::jobs::{CancelRequest, Error, why_gone};
use crate::core::manager::JobManager;

/// The client that a task is shown to. One that cannot be asked sees a task that asks something as `working`: the protocol
/// forbids requests that a client did not declare.
#[derive(Clone, Copy)]
pub(super) struct TaskClient<'a> {
    /// The elicitations that the client declared.
    pub(super) asked: Option<&'a ElicitationCapability>,
    /// The tools by which its model can answer all the same.
    pub(super) follow_up: &'a FollowUp,
}

impl TaskClient<'_> {
    /// Returns whether the client can be asked all that the job asks.
    fn answers(self, job: &JobRecord) -> bool {
        can_be_asked_all(self.asked, job)
    }
}

/// The answer to a call that became a job. The job is on disk by then.
pub(super) fn created(
    manager: &JobManager,
    job: &JobRecord,
    client: TaskClient<'_>,
) -> CreateTaskResult {
    CreateTaskResult::new(task(manager, job, client))
}

/// `tasks/get`.
pub(super) async fn get(
    access: &Access,
    id: &str,
    client: TaskClient<'_>,
) -> Result<GetTaskResult, ErrorData> {
    let job = access.status(job_id(id)?).await.map_err(failed)?;
    if is_too_large(&job) {
        return Ok(GetTaskResult::new(with_advice(access.manager(), &job, client)));
    }
    let job = access.status_with_result(job.id).await.map_err(failed)?;
    Ok(GetTaskResult::new(detailed(access.manager(), &job, client)))
}

/// The task of a job that has not ended, as it is in this record.
pub(super) fn of_live(access: &Access, job: &JobRecord, client: TaskClient<'_>) -> GetTaskResult {
    GetTaskResult::new(detailed(access.manager(), job, client))
}

/// The job behind a task; `None` where the client sees no such task.
pub(super) async fn find(access: &Access, id: &str) -> Result<Option<Arc<JobRecord>>, ErrorData> {
    let Ok(id) = id.parse() else { return Ok(None) };
    match access.status(id).await {
        Ok(job) => Ok(Some(job)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// `tasks/cancel`: acknowledges the request once the work was told to stop or the record says that it is to, and does not wait for
/// its end. An ended job stays as it is.
pub(super) async fn cancel(access: &Access, id: &str) -> Result<(), ErrorData> {
    let job = access.status(job_id(id)?).await.map_err(failed)?;
    if job.status().is_terminal() {
        return Ok(());
    }
    match access.request_cancel(job.id).await {
        Ok(CancelRequest::Recorded | CancelRequest::Unrecorded) => Ok(()),
        // The job ended meanwhile.
        Err(Error::AlreadyEnded { .. } | Error::NotFound(_)) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// `tasks/update`: answers the task's questions.
pub(super) async fn update(
    access: &Access,
    id: &str,
    answers: &InputResponses,
) -> Result<(), ErrorData> {
    let job = access.status(job_id(id)?).await.map_err(failed)?;
    answer_all(access, &job, answers).await
}

/// The error for a client that did not declare the Tasks extension with a request that needs it.
pub(super) fn needs_tasks() -> ErrorData {
    let required = ClientCapabilities::builder().enable_tasks().build();
    ErrorData::missing_required_client_capability(required)
}

fn job_id(id: &str) -> Result<JobId, ErrorData> {
    id.parse().map_err(|_| unknown(id))
}

fn failed(error: Error) -> ErrorData {
    match error {
        Error::NotFound(id) => unknown(&id.to_string()),
        error => ErrorData::internal_error(error.answer_text(), None),
    }
}

fn unknown(id: &str) -> ErrorData {
    let id = crate::core::text::quoted(id);
    ErrorData::invalid_params(
        format!("there is no task {id}; it never existed, or has expired"),
        None,
    )
}

/// The job as a task.
fn task(manager: &JobManager, job: &JobRecord, client: TaskClient<'_>) -> Task {
    let created_at = clock::rfc3339(job.spec.created_at);
    let updated_at = clock::rfc3339(job.updated_at);
    let mut task = Task::new(job.id.to_string(), status(job, client), created_at, updated_at);
    task.status_message = message(job, client);
    task.ttl_ms = time_to_live(manager, job);
    if !job.status().is_terminal() {
        let elapsed = manager.jobs().elapsed(job).unwrap_or_default();
        task.poll_interval_ms = Some(manager.jobs().poll_after(&job.spec.tool, elapsed) * 1000);
    }
    task
}

/// The job as a task, with its outcome. A result that was not kept makes the task failed.
fn detailed(manager: &JobManager, job: &JobRecord, client: TaskClient<'_>) -> DetailedTask {
    if let Some(reason) = why_gone(job) {
        let mut task = task(manager, job, client);
        task.status_message = Some(reason.to_owned());
        let error = object(&ErrorData::internal_error(reason, None));
        return DetailedTask::new(task, TaskPayload::Failed { error });
    }
    let payload = match status(job, client) {
        TaskStatus::Completed => TaskPayload::Completed { result: result(job) },
        TaskStatus::Failed => TaskPayload::Failed { error: error(job) },
        TaskStatus::Cancelled => TaskPayload::Cancelled,
        TaskStatus::InputRequired => {
            TaskPayload::InputRequired { input_requests: open_requests(job) }
        }
        _ => TaskPayload::Working,
    };
    DetailedTask::new(task(manager, job, client), payload)
}

/// The task of a job whose result is too large for one answer: in its place stands how to read it.
fn with_advice(manager: &JobManager, job: &JobRecord, client: TaskClient<'_>) -> DetailedTask {
    let payload = match status(job, client) {
        TaskStatus::Failed => TaskPayload::Failed { error: error(job) },
        _ => {
            let mut advice = CallToolResult::success(vec![ContentBlock::text(too_large(job))]);
            advice.is_error = Some(job.status() != JobStatus::Completed);
            TaskPayload::Completed { result: object(&advice) }
        }
    };
    DetailedTask::new(task(manager, job, client), payload)
}

/// A task is failed only for an error of the protocol. A tool's own error is a result, and its task is completed.
fn status(job: &JobRecord, client: TaskClient<'_>) -> TaskStatus {
    match &job.state {
        JobState::Completed { .. } => TaskStatus::Completed,
        JobState::Failed { failure, .. } if is_of_the_protocol(failure) => TaskStatus::Failed,
        JobState::Failed { .. } => TaskStatus::Completed,
        JobState::Cancelled { .. } => TaskStatus::Cancelled,
        // Questions of a tool with `redact` are not on disk, so that only the server that runs the job can show them.
        JobState::InputRequired { .. } if client.answers(job) && !open_requests(job).is_empty() => {
            TaskStatus::InputRequired
        }
        JobState::Pending { .. } | JobState::Running { .. } | JobState::InputRequired { .. } => {
            TaskStatus::Working
        }
    }
}

/// Returns whether the call, answered inline, would have got an error of JSON-RPC: the tool returned one, or its server was
/// gone.
fn is_of_the_protocol(failure: &JobFailure) -> bool {
    failure.rpc_code.is_some() || failure.kind == FailureKind::Interrupted
}

/// The result that the call would have got inline.
fn result(job: &JobRecord) -> JsonObject {
    let result = stored_result(job).unwrap_or_else(|| CallToolResult::error(Vec::new()));
    object(&result)
}

fn error(job: &JobRecord) -> JsonObject {
    let JobState::Failed { failure, .. } = &job.state else { return JsonObject::new() };
    let code = failure.rpc_code.unwrap_or(rmcp::model::ErrorCode::INTERNAL_ERROR.0.into());
    let mut error = object(&json!({"code": code, "message": failure.message}));
    if let Some(details) = &failure.details {
        error.insert("data".to_owned(), details.clone());
    }
    error
}

fn object(value: &impl Serialize) -> JsonObject {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        _ => JsonObject::new(),
    }
}

/// The status in words: the last progress, the first open question, or the reason of the end.
fn message(job: &JobRecord, client: TaskClient<'_>) -> Option<String> {
    match &job.state {
        JobState::Completed { .. } => None,
        JobState::Failed { failure, .. } if failure.tool_result.is_some() => {
            stored_result(job).map(|result| shortened(&error_text(&result)))
        }
        JobState::Failed { failure, .. } => Some(shortened(&failure.message)),
        JobState::Cancelled { .. } => Some("cancelled".to_owned()),
        _ if job.waits_for_server() => Some("waiting to run again".to_owned()),
        _ if job.cancel_requested => Some("being cancelled".to_owned()),
        _ if job.status() == JobStatus::Pending => Some("not begun".to_owned()),
        JobState::InputRequired { .. } => {
            let mut asked = job.open_questions().filter_map(|(_, question)| question.message());
            let asked = asked.next().map(shortened);
            if client.answers(job) {
                return asked;
            }
            let answer = next_answer(client.follow_up, job);
            let answer = answer.map(|call| format!("Waits for an answer: {call}"));
            let words: Vec<_> = asked.into_iter().chain(answer).collect();
            (!words.is_empty()).then(|| words.join(" "))
        }
        _ => job.progress.as_ref().map(progress),
    }
}

fn progress(progress: &Progress) -> String {
    let counted = || match progress.total {
        Some(total) => format!("{} of {total}", progress.current),
        None => progress.current.to_string(),
    };
    let said = progress.message.clone().unwrap_or_else(counted);
    match progress.percentage {
        Some(percentage) => format!("{said} ({percentage}%)"),
        None => said,
    }
}

fn shortened(message: &str) -> String {
    /// The longest message, in bytes. The result or the error has the whole of it.
    const LONGEST: usize = 1024;
    crate::core::text::truncated(message, LONGEST).to_owned()
}

/// How long the task is kept, in milliseconds from its creation: without a limit while it is live, then as long as retention
/// keeps ended jobs.
fn time_to_live(manager: &JobManager, job: &JobRecord) -> Option<u64> {
    let ended_at = job.state.completed_at()?;
    let took = (ended_at - job.spec.created_at).to_std().unwrap_or(Duration::ZERO);
    let kept = took.checked_add(manager.runner().settings().retention().max_age)?;
    u64::try_from(kept.as_millis()).ok().filter(|kept| *kept <= LARGEST)
}

/// The largest integer that every JSON reader takes exactly.
const LARGEST: u64 = (1 << 53) - 1;
