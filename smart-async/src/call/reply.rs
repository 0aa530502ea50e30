//! The reply of an annotated function: its own result, or the ticket of the job that it became, or an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::errors::CallError;
use crate::core::job::{JobId, JobStatus, Question};
use crate::core::text::truncated;

/// The reply that an annotated function returns in place of its `R`.
#[derive(Debug)]
#[must_use = "the work may have failed, or gone on as a job"]
#[non_exhaustive]
pub enum Reply<R> {
    /// The work ended within its budget, with this result.
    Inline(R),
    /// The work goes on as a job, whose record is on disk.
    Job(JobTicket),
    /// The work did not end, and is no job either.
    Failed(CallError),
}

impl<R> Reply<R> {
    /// The function's own result, for unit tests of the function.
    ///
    /// # Errors
    /// [`NotInline`] where the work became a job or failed.
    pub fn into_inline(self) -> Result<R, NotInline> {
        match self {
            Self::Inline(result) => Ok(result),
            Self::Job(ticket) => Err(NotInline::Job(ticket)),
            Self::Failed(error) => Err(NotInline::Failed(error)),
        }
    }
}

/// Why a [`Reply`] holds no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotInline {
    /// The work became a job.
    #[error("the work became job {}: {}", .0.job_id, .0.message)]
    Job(JobTicket),
    /// The work failed.
    #[error(transparent)]
    Failed(CallError),
}

/// The answer to a call whose work goes on as a job, which tells how to follow the job. The wire form is stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobTicket {
    /// The job.
    pub job_id: JobId,
    /// `running`, or `pending` where the work has not begun, or `input_required` where it asks something.
    pub status: JobStatus,
    /// Whether the job stays in this status for ever.
    pub terminal: bool,
    /// The text for a model: what happened, and what to do next.
    pub message: String,
    /// In how many seconds to ask for the job again.
    pub poll_after_seconds: u64,
}

impl JobTicket {
    /// `happened` is the first half of the message; the second half, what to do next, is the same for all tickets.
    pub(crate) fn new(
        job_id: JobId,
        status: JobStatus,
        happened: &str,
        tool: &str,
        follow_up: &FollowUp,
        poll_after_seconds: u64,
    ) -> Self {
        let mut message = String::with_capacity(TICKET);
        message.extend([happened, " Do not call ", tool, " again."]);
        if let Some(next) = follow_up.next(&[job_id]) {
            message.extend([" Next: ", &next]);
        }
        Self { job_id, status, terminal: status.is_terminal(), message, poll_after_seconds }
    }

    /// The ticket of work that waits for an answer.
    pub(crate) fn asking(
        job_id: JobId,
        happened: &str,
        tool: &str,
        (key, question): (&str, &Question),
        follow_up: &FollowUp,
        poll_after_seconds: u64,
    ) -> Self {
        let status = JobStatus::InputRequired;
        let asked = truncated(question.message().unwrap_or(key), QUESTION);
        let next = follow_up.answer(job_id, key, question);
        let next = next.or_else(|| follow_up.next(&[job_id]));
        let next = next.map(|next| format!(" Next: {next}")).unwrap_or_default();
        let message =
            format!("{happened} It asks the user: {asked:?} Do not call {tool} again.{next}");
        Self { job_id, status, terminal: false, message, poll_after_seconds }
    }
}

/// The usual length of a ticket's message, in bytes.
const TICKET: usize = 256;
/// The longest question that a ticket quotes, in bytes.
const QUESTION: usize = 300;

/// The names of the tools by which a caller follows a job, as this server has them.
#[derive(Debug, Clone)]
pub(crate) struct FollowUp {
    /// `wait_job`, unless it is hidden.
    pub(crate) wait: Option<String>,
    /// `job_status`, unless it is hidden.
    pub(crate) status: Option<String>,
    /// `job_result`, unless it is hidden.
    pub(crate) result: Option<String>,
    /// `answer_job`, unless it is hidden.
    pub(crate) answer: Option<String>,
}

impl FollowUp {
    /// The names for a call of a server that is not wrapped: those without a prefix, where the program has the job tools in a router
    /// of its own, else none.
    pub(crate) fn unwrapped() -> Arc<Self> {
        static USUAL: LazyLock<Arc<FollowUp>> = LazyLock::new(Arc::default);
        static NONE: LazyLock<Arc<FollowUp>> = LazyLock::new(|| {
            Arc::new(FollowUp { wait: None, status: None, result: None, answer: None })
        });
        Arc::clone(if are_job_tools_served() { &USUAL } else { &NONE })
    }
}

/// Whether a router of the program has the job tools.
static JOB_TOOLS_SERVED: AtomicBool = AtomicBool::new(false);

/// Takes note that a router of the program has the job tools.
pub(crate) fn set_job_tools_served() {
    JOB_TOOLS_SERVED.store(true, Ordering::Relaxed);
}

/// Returns whether a router of the program has the job tools.
pub(crate) fn are_job_tools_served() -> bool {
    JOB_TOOLS_SERVED.load(Ordering::Relaxed)
}

impl Default for FollowUp {
    fn default() -> Self {
        let named = |name: &str| Some(name.to_owned());
        Self {
            wait: named("wait_job"),
            status: named("job_status"),
            result: named("job_result"),
            answer: named("answer_job"),
        }
    }
}

impl FollowUp {
    /// The call that follows these jobs, where there is a tool for that.
    pub(crate) fn next(&self, ids: &[JobId]) -> Option<String> {
        match (&self.wait, &self.status, ids) {
            // Written without a serializer: an id has no character that JSON escapes.
            (Some(wait), _, _) => {
                let ids: Vec<_> = ids.iter().map(|id| format!("\"{id}\"")).collect();
                Some([wait, " {\"job_ids\":[", &ids.join(","), "]}"].concat())
            }
            (None, Some(status), [id, ..]) => Some(format!("{status} {{\"job_id\":\"{id}\"}}")),
            _ => None,
        }
    }

    /// The call that answers a job's question, where there is a tool for that, with blanks for the user's answer.
    pub(crate) fn answer(&self, id: JobId, key: &str, question: &Question) -> Option<String> {
        let properties = question.schema().and_then(|schema| schema.get("properties"));
        let arguments = match properties.and_then(Value::as_object) {
            Some(properties) => {
                let blanks = properties.iter().map(|(name, property)| {
                    let kind = property.get("type").and_then(Value::as_str);
                    (name.clone(), format!("<{}>", kind.unwrap_or("value")).into())
                });
                let content: Map<String, Value> = blanks.collect();
                json!({"job_id": id, "key": key, "content": content})
            }
            None => json!({"job_id": id, "key": key, "action": "accept"}),
        };
        self.answer.as_ref().map(|answer| format!("{answer} {arguments}"))
    }

    /// The call that returns a job's result from this byte on, where there is a tool for that.
    pub(crate) fn result(&self, id: JobId, offset: usize) -> Option<String> {
        let mut arguments = json!({"job_id": id});
        if let Some(arguments) = arguments.as_object_mut().filter(|_| offset > 0) {
            arguments.insert("offset".to_owned(), offset.into());
        }
        self.result.as_ref().map(|result| format!("{result} {arguments}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test of this binary makes a router of the job tools.
    #[test]
    fn a_ticket_names_no_tools_that_are_not_there() {
        let (id, unwrapped) = (JobId::new(), FollowUp::unwrapped());
        assert_eq!((unwrapped.next(&[id]), unwrapped.result(id, 0)), (None, None));
        let ticket = JobTicket::new(id, JobStatus::Running, "It goes on.", "count", &unwrapped, 2);
        assert_eq!(ticket.message, "It goes on. Do not call count again.");
    }
}
