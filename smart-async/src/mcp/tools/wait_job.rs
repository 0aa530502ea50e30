//! `wait_job`: answers when a job ends or asks a question, or when the time is over. Meanwhile it notifies its caller of progress,
//! which holds some hosts off their time-out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::job_view::{JobFields, OUTCOME, how_far, job_view, next_result, with_shown_result};
use super::question_view::next_answer;
use super::response::{ToolResult, failed, in_band_error, success};
use super::{ANSWER_BYTES, Definition, Effect};
use crate::call::Caller;
use crate::call::reply::FollowUp;
use crate::core::env_vars::{self, Lookup};
use crate::core::job::{JobId, JobRecord, Progress};
use crate::core::jobs::{Error, WaitFor};
use crate::mcp::client::access::Access;
use crate::mcp::client::host_timeouts::HostTimeout;
use crate::mcp::client::session::came_over_http;
use crate::mcp::progress_notifications::{ProgressNotifier, with_heartbeat};

/// The longest wait for an unknown host: half a minute, less five seconds for the answer to travel.
const CAP: Duration = Duration::from_secs(25);

/// The longest wait for an unknown host whose call has a progress token: a minute, less five seconds. The SDKs send a token where
/// the host listens to progress, and the shortest time-out that they come with is that of the TypeScript SDK, 60 s.
const CAP_WITH_TOKEN: Duration = Duration::from_secs(55);

/// The largest result that the answer shows, in bytes.
const RESULT_BYTES: usize = 16 * 1024;

/// The room that is kept for the shortest view of a job, in bytes.
const BRIEF_BYTES: usize = 256;

/// The fields of a job that goes on, beside its id, its status and how far it is.
const LIVE: &[&str] = &["questions", "questions_omitted", "waits_for"];

pub(super) fn definition() -> Definition {
    Definition {
        title: "Wait for jobs",
        description: "Wait until a background job ends or asks something, and get its result. Cheaper than polling \
                      {prefix}job_status. Where it has not ended, make the call in `next`.",
        arguments: json!({
            "job_ids": {"type": "array", "items": {"type": "string"}},
            "mode": {"type": "string", "enum": ["any", "all"]},
            "timeout_seconds": {"type": "number"},
            "progress": {"type": "boolean", "description": "return on progress too"}
        }),
        required: &["job_ids"],
        answer: json!({
            "jobs": {"type": "array", "items": {"type": "object"}},
            "not_found": {"type": "array", "items": {"type": "string"}},
            "stopped_by": {"type": "string", "enum": ["change", "timeout", "cap"]},
            "terminal": {"type": "boolean"},
            "next": {"type": "string"}
        }),
        effect: Effect::ReadOnly,
    }
}

/// The client that waits.
#[derive(Default)]
pub(in crate::mcp) struct Waiter {
    caller: Caller,
    /// How long the client waits for an answer, where that is known.
    timeout: Option<HostTimeout>,
    over_http: bool,
    notifier: Option<Box<ProgressNotifier>>,
}

impl Waiter {
    pub(in crate::mcp) fn new(
        caller: Caller,
        timeout: Option<HostTimeout>,
        context: &RequestContext<RoleServer>,
    ) -> Self {
        let (over_http, notifier) = (came_over_http(context), ProgressNotifier::of(context));
        Self { caller, timeout, over_http, notifier }
    }

    /// The longest wait of one call: the operator's variable, or else the longest that the client waits for an answer.
    fn cap(&self, lookup: Lookup<'_>) -> Duration {
        let has_token = self.notifier.is_some();
        env_vars::duration(lookup, env_vars::WAIT_SECONDS).unwrap_or_else(|| match self.timeout {
            Some(timeout) => timeout.wait(has_token, self.over_http),
            None => unknown_cap(has_token),
        })
    }
}

const fn unknown_cap(has_token: bool) -> Duration {
    if has_token { CAP_WITH_TOKEN } else { CAP }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    mut waiter: Waiter,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let ids = arguments.job_ids()?;
    let mode = arguments.one_of("mode", &["any", "all"])?;
    let timeout = arguments.time("timeout_seconds", Duration::from_secs(1))?;
    let progress = arguments.flag("progress")?.unwrap_or(false);
    arguments.finish("job_ids, mode, timeout_seconds, progress")?;

    let cap = waiter.cap(&env_vars::process);
    let limit = timeout.map_or(cap, |timeout| timeout.min(cap));
    let what = WaitFor { all: mode.as_deref() == Some("all"), progress };
    // Retention must not remove an ended job before the answer is complete, which reads it more than once.
    let reading = access.manager().jobs().pin(&ids);
    let (known, unknown) = partition(access, follow_up, &ids).await?;
    let _reading = access.manager().jobs().pin(&known);
    // This client holds no job of another client back.
    drop(reading);
    let waiting = pin!(access.wait(&known, what, limit));
    let look = || async { in_progress(access, &known).await };
    let waited = tokio::select! {
        biased;
        waited = with_heartbeat(&mut waiter.notifier, look, waiting) => {
            waited.map_err(|error| failed(follow_up, error))?
        }
        // The request is in flight until its reason has come, by which the patience of the client is learned.
        _ = waiter.caller.departure() => return Err(in_band_error("the caller has left", None)),
    };
    let stopped_by = match (waited.timed_out, timeout) {
        (false, _) => "change",
        (true, Some(timeout)) if timeout <= cap => "timeout",
        (true, _) => "cap",
    };
    let mut jobs = Vec::with_capacity(waited.jobs.len());
    let mut left = ANSWER_BYTES;
    for (shown, job) in waited.jobs.iter().enumerate() {
        let after_it = waited.jobs.len() - shown - 1;
        let room = left.saturating_sub(after_it * BRIEF_BYTES);
        let (view, bytes) = view_within(access, follow_up, job, progress, room).await;
        left = left.saturating_sub(bytes);
        jobs.push(view);
    }
    let live: Vec<_> =
        waited.jobs.iter().filter(|job| !job.status().is_terminal()).map(|job| job.id).collect();
    let next_question = waited.jobs.iter().find_map(|job| next_answer(follow_up, job));
    let next = next_question.or_else(|| follow_up.next(&live).filter(|_| !live.is_empty()));
    // The call that gets the result of the only job stands where the calls of live jobs stand.
    let next = match (next, jobs.as_mut_slice()) {
        (None, [only]) => only.remove("next").and_then(|next| next.as_str().map(str::to_owned)),
        (next, _) => next,
    };
    let not_found = !unknown.is_empty();
    Ok(success(json!({
        "jobs": jobs,
        "not_found": not_found.then_some(unknown),
        "stopped_by": stopped_by,
        "terminal": live.is_empty(),
        "next": next.or_else(|| follow_up.find().filter(|_| not_found)),
    })))
}

/// The job in at most `room` bytes: with its result, else with the size of that in its place, else the status alone. Returns the
/// number of bytes too.
async fn view_within(
    access: &Access,
    follow_up: &FollowUp,
    job: &Arc<JobRecord>,
    progress: bool,
    room: usize,
) -> (JobFields, usize) {
    for limit in [RESULT_BYTES.min(room), 0] {
        let job = with_shown_result(access.manager(), Arc::clone(job), limit).await;
        let view = job_view(access.manager(), &job, limit).await;
        let mut shown = brief(&job);
        let is_terminal = job.status().is_terminal();
        if is_terminal && let Some(next) = next_result(follow_up, &job, &view) {
            shown.insert("next".to_owned(), next.into());
        }
        match view.get("progress").filter(|_| progress) {
            Some(progress) => {
                shown.insert("progress".to_owned(), progress.clone());
            }
            None if is_terminal => {}
            None => shown.extend(
                how_far(&job, access.manager()).map(|(field, value)| (field.to_owned(), value)),
            ),
        }
        if job.cancel_requested {
            shown.insert("cancel_requested".to_owned(), true.into());
        }
        let fields = if is_terminal { OUTCOME } else { LIVE };
        shown.extend(view.into_iter().filter(|(field, _)| fields.contains(&field.as_str())));
        let bytes = Value::from(shown.clone()).to_string().len();
        if bytes <= room {
            return (shown, bytes);
        }
    }
    let mut shown = brief(job);
    let is_terminal = job.status().is_terminal();
    if is_terminal {
        shown.insert("terminal".to_owned(), true.into());
    }
    if let Some(next) = follow_up.result(job.id, 0).filter(|_| is_terminal) {
        shown.insert("next".to_owned(), next.into());
    }
    (shown, BRIEF_BYTES)
}

fn brief(job: &JobRecord) -> JobFields {
    let mut brief = Map::new();
    brief.insert("id".to_owned(), job.id.to_string().into());
    brief.insert("status".to_owned(), job.status().as_str().into());
    brief
}

/// The progress of the only job; of several, how many have ended. `None` where they cannot be read now.
async fn in_progress(access: &Access, ids: &[JobId]) -> Option<Progress> {
    let jobs = access.manager().wait(ids, WaitFor::any(), Duration::ZERO).await.ok()?.jobs;
    if let [job] = jobs.as_slice() {
        let unknown =
            || Progress::new(0.0, None, Some(format!("{} is {}", job.spec.tool, job.status())));
        return Some(job.progress.clone().unwrap_or_else(unknown));
    }
    let ended = jobs.iter().filter(|job| job.status().is_terminal()).count() as f64;
    Some(Progress::new(ended, Some(jobs.len() as f64), Some("jobs have ended".to_owned())))
}

/// The jobs that exist for this client, and the ids that do not. A pruned job must not hide the results of the others.
async fn partition(
    access: &Access,
    follow_up: &FollowUp,
    ids: &[JobId],
) -> ToolResult<(Vec<JobId>, Vec<JobId>)> {
    let (mut known, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        match access.status(*id).await {
            Ok(_) => known.push(*id),
            Err(Error::NotFound(id)) => unknown.push(id),
            Err(error) => return Err(failed(follow_up, error)),
        }
    }
    match (known.is_empty(), unknown.first()) {
        (true, Some(id)) => Err(failed(follow_up, Error::NotFound(*id))),
        _ => Ok((known, unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::client::host_timeouts::HostTimeouts;

    fn seconds(host: &str, said: Option<&str>) -> u64 {
        let waiter = Waiter { timeout: HostTimeouts::default().of(host), ..Waiter::default() };
        waiter.cap(&|_| said.map(str::to_owned)).as_secs()
    }

    #[test]
    fn a_wait_ends_before_the_host_times_out() {
        assert_eq!(seconds("claude-ai", None), 235);
        assert_eq!(seconds("spring-ai-mcp-client", None), 15);
        assert_eq!(seconds("unknown", None), 25);
        assert_eq!(unknown_cap(true).as_secs(), 55);
    }

    #[test]
    fn the_operator_has_the_last_word_on_waits() {
        assert_eq!(seconds("claude-ai", Some("900")), 900);
        assert_eq!(seconds("unknown", Some("5")), 5);
        assert_eq!(seconds("claude-ai", Some("soon")), 235);
    }
}
