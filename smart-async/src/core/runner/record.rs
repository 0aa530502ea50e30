//! The record of a job of this process, as its supervisor writes it: its start and its end, however long the store fails.

use std::sync::Arc;

use super::engine::Engine;
use super::hydrate;
use super::idempotency::already_applied;
use crate::core::backoff::Backoff;
use crate::core::call_site::CallSite;
use crate::core::job::{FailureKind, JobEvent, JobFailure, JobRecord};
use crate::core::local::LiveJob;
use crate::core::observe;
use crate::core::store::StoreError;

/// The end of a job as the store can keep it: a completion with a larger result becomes a failure.
pub(super) fn within_limit(engine: &Engine, site: Option<&CallSite>, event: JobEvent) -> JobEvent {
    let limit = engine.local.store.max_result_bytes();
    let is_stored = site.is_none_or(|site| !site.withholds_results());
    match (&event, limit.filter(|_| is_stored)) {
        (JobEvent::Complete(output), Some(limit)) if output.is_larger_than(limit) => {
            let message = format!(
                "the work ended, but its result takes more than {limit} bytes, the most that the job store keeps; \
                 let the tool write it to a file and return where that is, or return less"
            );
            JobEvent::Fail(JobFailure::new(FailureKind::ResultTooLarge, message))
        }
        (JobEvent::Fail(failure), Some(limit)) => JobEvent::Fail(failure.within(limit)),
        _ => event,
    }
}

/// Writes that a live job has started or ended, and tries until it is written; `None` where it cannot be any more.
pub(super) async fn write(
    engine: &Arc<Engine>,
    live: &LiveJob,
    event: JobEvent,
) -> Option<Arc<JobRecord>> {
    let local = &engine.local;
    let mut change = local.own_change(event);
    if !matches!(change.event, JobEvent::Start) {
        change = change.with_progress(live.context.progress.read());
    }
    change.ran = live.ran();
    change.state = hydrate::state_of(engine, live, &change);
    let stored = local.withheld.redact(live.site(), live.id(), &change);
    let mut backoff = Backoff::default();
    let (mut is_last, mut in_doubt) = (false, false);
    loop {
        let answer = match local.update(live.id(), stored.clone()).await {
            Err(error @ StoreError::Illegal { .. }) if in_doubt => {
                already_applied(local, live.id(), &stored).await.ok_or(error)
            }
            answer => answer,
        };
        match answer {
            Ok(job) => {
                let elapsed_seconds = live.context.began.elapsed().as_secs_f64();
                observe::Span::current()
                    .record("outcome", job.status().as_str())
                    .record("elapsed_seconds", elapsed_seconds);
                local.announce(&job);
                live.touch();
                return Some(job);
            }
            Err(error) if error.is_transient() && !is_last => {
                observe::error!(job_id = %live.id(), %error, "a job's change could not be stored; trying again");
                in_doubt |= error.is_in_doubt();
                is_last = engine.pause(&mut backoff).await.is_err();
            }
            Err(error) => {
                // Another process has the job or has ended it, or the store fails or is closed.
                // A job whose start is lost does not begin, so that its end is lost as well.
                engine.count_unwritten(&error);
                observe::warn!(job_id = %live.id(), event = change.event.name(), %error, "a job's change was lost");
                local.withheld.forget(live.id());
                return None;
            }
        }
    }
}
