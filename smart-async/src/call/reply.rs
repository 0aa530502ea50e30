//! The reply of an annotated function: its own result, or the ticket of the job that it became, or an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::errors::CallError;
use crate::core::job::{JobId, JobStatus, Question};
use crate::core::manager::JobManager;
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
    /// The text for a model: what happened, how long the tool usually takes, and what to do next.
    pub message: String,
    /// In how many seconds to ask for the job again; only where the message names no tool that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_after_seconds: Option<u64>,
}

/// How long a job takes, as a ticket tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobPace {
    /// The usual run of the tool, where it is known.
    usual: Option<Duration>,
    poll_after_seconds: u64,
}

impl JobPace {
    /// The pace of a job of `tool` that has run for `elapsed`.
    pub(crate) fn of(manager: &JobManager, tool: &str, elapsed: Duration) -> Self {
        let jobs = manager.jobs();
        Self { usual: jobs.usual_run(tool), poll_after_seconds: jobs.poll_after(tool, elapsed) }
    }

    /// The sentence by which a model knows that the job is in no trouble. It promises no notice of the end.
    fn sentence(self) -> String {
        match self.usual {
            Some(usual) => format!("Normal: usually {} s.", usual.as_secs().max(1)),
            None => "This is normal.".to_owned(),
        }
    }
}

impl JobTicket {
    /// `happened` is the first sentence of the message.
    pub(crate) fn new(
        job_id: JobId,
        status: JobStatus,
        happened: &str,
        tool: &str,
        follow_up: &FollowUp,
        pace: JobPace,
    ) -> Self {
        let mut message = String::with_capacity(TICKET);
        message.extend([happened, " ", &pace.sentence(), " Do not call ", tool, " again."]);
        if let Some(follower) = follow_up.follower() {
            message.extend([" Next: ", follower, " with job_id"]);
        }
        let poll_after_seconds = follow_up.polls().then_some(pace.poll_after_seconds);
        Self { job_id, status, message, poll_after_seconds }
    }

    /// The ticket of work that waits for an answer.
    pub(crate) fn asking(
        job_id: JobId,
        happened: &str,
        tool: &str,
        (key, question): (&str, &Question),
        follow_up: &FollowUp,
    ) -> Self {
        let asked = truncated(question.message().unwrap_or(key), QUESTION);
        let next = follow_up.answer(job_id, key, question);
        let next = next.or_else(|| follow_up.next(&[job_id]));
        let next = next.map(|next| format!(" Next: {next}")).unwrap_or_default();
        let message =
            format!("{happened} It asks the user: {asked:?} Do not call {tool} again.{next}");
        Self { job_id, status: JobStatus::InputRequired, message, poll_after_seconds: None }
    }
}

/// The usual length of a ticket's message, in bytes.
const TICKET: usize = 160;
/// The longest question that a ticket quotes, in bytes.
const QUESTION: usize = 300;
/// The longest call that an answer spells out with a blank for each field of a question, in bytes.
const ANSWER_CALL: usize = 1024;

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
    /// `list_jobs`, unless it is hidden.
    pub(crate) list: Option<String>,
}

impl FollowUp {
    /// The names for a call of a server that is not wrapped: those without a prefix, where the program has the job tools in a router
    /// of its own, else none.
    pub(crate) fn unwrapped() -> Arc<Self> {
        static USUAL: LazyLock<Arc<FollowUp>> = LazyLock::new(Arc::default);
        static NONE: LazyLock<Arc<FollowUp>> = LazyLock::new(|| {
            Arc::new(FollowUp { wait: None, status: None, result: None, answer: None, list: None })
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
            list: named("list_jobs"),
        }
    }
}

impl FollowUp {
    /// The tool that follows a job, where there is one.
    fn follower(&self) -> Option<&str> {
        self.wait.as_deref().or(self.status.as_deref())
    }

    /// Returns whether a caller follows a job by asking for it again and again.
    pub(crate) const fn polls(&self) -> bool {
        self.wait.is_none() && self.status.is_some()
    }

    /// The call that finds a job whose id is not known, where there is a tool for that.
    pub(crate) fn find(&self) -> Option<String> {
        self.list.as_ref().map(|list| format!("{list} {{}}"))
    }

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
        let answer = self.answer.as_ref()?;
        let call = |arguments: Value| format!("{answer} {arguments}");
        let properties = question.schema().and_then(|schema| schema.get("properties"));
        let Some(properties) = properties.and_then(Value::as_object) else {
            return Some(call(json!({"job_id": id, "key": key, "action": "accept"})));
        };
        let blanks = properties.iter().map(|(name, property)| {
            let kind = property.get("type").and_then(Value::as_str);
            (name.clone(), format!("<{}>", kind.unwrap_or("value")).into())
        });
        let content: Map<String, Value> = blanks.collect();
        let whole = call(json!({"job_id": id, "key": key, "content": content}));
        if whole.len() <= ANSWER_CALL {
            return Some(whole);
        }
        Some(call(json!({"job_id": id, "key": key, "content": {}})))
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

    const PACE: JobPace = JobPace { usual: None, poll_after_seconds: 2 };

    fn ticket(follow_up: &FollowUp, pace: JobPace) -> JobTicket {
        JobTicket::new(JobId::new(), JobStatus::Running, "It goes on.", "count", follow_up, pace)
    }

    /// No test of this binary makes a router of the job tools.
    #[test]
    fn a_ticket_names_no_tools_that_are_not_there() {
        let (id, unwrapped) = (JobId::new(), FollowUp::unwrapped());
        assert_eq!((unwrapped.next(&[id]), unwrapped.result(id, 0)), (None, None));
        let ticket = ticket(&unwrapped, PACE);
        assert_eq!(ticket.message, "It goes on. This is normal. Do not call count again.");
        assert_eq!(ticket.poll_after_seconds, None);
    }

    #[test]
    fn a_ticket_says_how_long_the_tool_usually_takes() {
        let pace = JobPace { usual: Some(Duration::from_millis(3200)), ..PACE };
        assert_eq!(
            ticket(&FollowUp::default(), pace).message,
            "It goes on. Normal: usually 3 s. Do not call count again. Next: wait_job with job_id"
        );
    }

    #[test]
    fn a_ticket_says_when_to_poll_only_where_nothing_waits() {
        let polls = FollowUp { wait: None, ..FollowUp::default() };
        let ticket = ticket(&polls, PACE);
        assert!(ticket.message.ends_with("Next: job_status with job_id"), "{}", ticket.message);
        assert_eq!(ticket.poll_after_seconds, Some(2));
        assert_eq!(self::ticket(&FollowUp::default(), PACE).poll_after_seconds, None);
    }

    #[test]
    fn the_call_that_answers_a_very_long_form_leaves_its_blanks_out() {
        let form = |fields: usize| {
            let properties: Map<_, _> = (0..fields)
                .map(|field| (format!("field_{field}"), json!({"type": "string"})))
                .collect();
            let request = json!({"params": {"requestedSchema": {"properties": properties}}});
            let now = crate::core::job::Timestamp::UNIX_EPOCH;
            FollowUp::default()
                .answer(JobId::new(), "form", &Question::new(request, now, now))
                .unwrap()
        };
        assert!(form(2).contains("\"field_1\":\"<string>\""));
        let long = form(500);
        assert!(long.contains("\"content\":{}") && long.len() <= ANSWER_CALL, "{long}");
    }
}
