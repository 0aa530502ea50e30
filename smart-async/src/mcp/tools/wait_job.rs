//! `wait_job`: answers when a job ends or asks a question, or when the time is over.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::arguments::Arguments;
use super::job_view::{job_view, next_answer, seconds, with_shown_result};
use super::response::{ToolResult, failed, success};
use super::{ANSWER_BYTES, Definition, Effect};
use crate::call::reply::FollowUp;
use crate::core::env_vars::{self, Lookup};
use crate::core::job::{JobId, JobRecord};
use crate::core::jobs::{Error, WaitFor};
use crate::mcp::client::access::Access;
use crate::mcp::client::host_timeouts::HostTimeout;

/// The longest wait for an unknown host: half a minute, less five seconds for the answer to travel.
const CAP: Duration = Duration::from_secs(25);

/// The largest result that the answer shows, in bytes.
const RESULT_BYTES: usize = 16 * 1024;

/// The room that is kept for the shortest view of a job, in bytes.
const BRIEF_BYTES: usize = 256;

pub(super) fn definition() -> Definition {
    Definition {
        title: "Wait for jobs",
        description: "Wait until a background job ends or asks a question, and get its result. \
                      Prefer this to polling {prefix}job_status. Returns before your host loses patience; call it again then.",
        arguments: json!({
            "job_ids": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "mode": {"type": "string", "enum": ["any", "all"], "default": "any"},
            "timeout_seconds": {"type": "number", "minimum": 0},
            "progress": {"type": "boolean", "default": false, "description": "return on progress too"}
        }),
        required: &["job_ids"],
        answer: json!({
            "jobs": {"type": "array", "items": {"type": "object"}},
            "not_found": {"type": "array", "items": {"type": "string"}},
            "waited_seconds": {"type": "number"},
            "stopped_by": {"type": "string", "enum": ["change", "timeout", "cap"]},
            "next": {"type": "string"}
        }),
        effect: Effect::ReadOnly,
    }
}

pub(super) async fn call(
    access: &Access,
    follow_up: &FollowUp,
    host: Option<HostTimeout>,
    mut arguments: Arguments,
) -> ToolResult<CallToolResult> {
    let ids = arguments.job_ids()?;
    let mode = arguments.one_of("mode", &["any", "all"])?;
    let timeout = arguments.time("timeout_seconds", Duration::from_secs(1))?;
    let progress = arguments.flag("progress")?.unwrap_or(false);
    arguments.finish("job_ids, mode, timeout_seconds, progress")?;

    let cap = cap(host, &env_vars::process);
    let limit = timeout.map_or(cap, |timeout| timeout.min(cap));
    let what = WaitFor { all: mode.as_deref() == Some("all"), progress };
    let began = Instant::now();
    // Retention must not remove an ended job before the answer is complete, which reads it more than once.
    let reading = access.manager().jobs().pin(&ids);
    let (known, unknown) = partition(access, &ids).await?;
    let _reading = access.manager().jobs().pin(&known);
    // This client holds no job of another client back.
    drop(reading);
    let waited = access.wait(&known, what, limit).await.map_err(failed)?;
    let stopped_by = match (waited.timed_out, timeout) {
        (false, _) => "change",
        (true, Some(timeout)) if timeout <= cap => "timeout",
        (true, _) => "cap",
    };
    let mut jobs = Vec::with_capacity(waited.jobs.len());
    let mut left = ANSWER_BYTES;
    for (shown, job) in waited.jobs.iter().enumerate() {
        let after_it = waited.jobs.len() - shown - 1;
        let (view, bytes) =
            view_within(access, follow_up, job, left.saturating_sub(after_it * BRIEF_BYTES)).await;
        left = left.saturating_sub(bytes);
        jobs.push(view);
    }
    let next_question = waited.jobs.iter().find_map(|job| next_answer(follow_up, job));
    let live: Vec<_> =
        waited.jobs.iter().filter(|job| !job.status().is_terminal()).map(|job| job.id).collect();
    Ok(success(json!({
        "jobs": jobs,
        "not_found": (!unknown.is_empty()).then_some(unknown),
        "waited_seconds": seconds(began.elapsed()),
        "stopped_by": stopped_by,
        "next": next_question.or_else(|| follow_up.next(&live).filter(|_| !live.is_empty())),
    })))
}

/// The job in at most `room` bytes: with its result, else with the size of that in its place, else the status alone. Returns the
/// number of bytes too.
async fn view_within(
    access: &Access,
    follow_up: &FollowUp,
    job: &Arc<JobRecord>,
    room: usize,
) -> (Value, usize) {
    for limit in [RESULT_BYTES.min(room), 0] {
        let job = with_shown_result(access.manager(), Arc::clone(job), limit).await;
        let view = job_view(access.manager(), follow_up, &job, limit);
        let bytes = view.to_string().len();
        if bytes <= room {
            return (view, bytes);
        }
    }
    let is_terminal = job.status().is_terminal();
    let mut brief = Map::new();
    brief.insert("id".to_owned(), job.id.to_string().into());
    brief.insert("status".to_owned(), job.status().as_str().into());
    brief.insert("terminal".to_owned(), is_terminal.into());
    let next = if is_terminal { follow_up.result(job.id, 0) } else { follow_up.next(&[job.id]) };
    if let Some(next) = next {
        brief.insert("next".to_owned(), next.into());
    }
    (Value::Object(brief), BRIEF_BYTES)
}

/// The longest wait of one call: the operator's variable, or else the longest that the host waits for an answer.
fn cap(host: Option<HostTimeout>, lookup: Lookup<'_>) -> Duration {
    env_vars::duration(lookup, env_vars::WAIT_SECONDS)
        .unwrap_or_else(|| host.map_or(CAP, HostTimeout::wait))
}

/// The jobs that exist for this client, and the ids that do not. A pruned job must not hide the results of the others.
async fn partition(access: &Access, ids: &[JobId]) -> ToolResult<(Vec<JobId>, Vec<JobId>)> {
    let (mut known, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        match access.status(*id).await {
            Ok(_) => known.push(*id),
            Err(Error::NotFound(id)) => unknown.push(id),
            Err(error) => return Err(failed(error)),
        }
    }
    match (known.is_empty(), unknown.first()) {
        (true, Some(id)) => Err(failed(Error::NotFound(*id))),
        _ => Ok((known, unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::client::host_timeouts::HostTimeouts;

    fn seconds(host: &str, said: Option<&str>) -> u64 {
        cap(HostTimeouts::default().of(host), &|_| said.map(str::to_owned)).as_secs()
    }

    #[test]
    fn a_wait_ends_before_the_host_times_out() {
        assert_eq!(seconds("claude-ai", None), 55);
        assert_eq!(seconds("spring-ai-mcp-client", None), 15);
        assert_eq!(seconds("unknown", None), 25);
    }

    #[test]
    fn the_operator_has_the_last_word_on_waits() {
        assert_eq!(seconds("claude-ai", Some("90")), 90);
        assert_eq!(seconds("unknown", Some("5")), 5);
        assert_eq!(seconds("claude-ai", Some("soon")), 55);
    }
}
