//! The supervisor of a job: one task from the start of the job to its end, which starts the body, stops it, and writes how it
//! ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::body::{Body, BodyEnd};
use super::engine::{Engine, interruption};
use super::{record, sync};
use crate::core::clock;
use crate::core::context::JobContext;
use crate::core::job::{FailureKind, JobEvent, JobFailure};
use crate::core::local::LiveJob;
use crate::core::observe;

/// Starts a job that is `pending`, and supervises it.
pub(super) fn launch(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    start: impl FnOnce(&Arc<JobContext>) -> Body + Send + 'static,
    limit: Option<Duration>,
) {
    let (engine, span) = (Arc::clone(engine), live.span());
    let supervisor = async move {
        let _manager = engine.host.keep_alive();
        if !begin(&engine, &live).await {
            return;
        }
        live.set_began(Instant::now());
        let body = start(&live.context);
        // The limit is on the run, not on the wait before it.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        see_through(&engine, live, body, deadline, None).await;
    };
    tokio::spawn(span.around(supervisor));
}

/// Supervises a job whose body runs already. Where its record is still being written, `recorded` returns whether it was.
pub(super) fn supervise(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    body: Body,
    limit: Option<Duration>,
    recorded: Option<JoinHandle<bool>>,
) {
    let (engine, span, deadline) = (Arc::clone(engine), live.span(), live.deadline(limit));
    live.set_began(live.context.began);
    let supervisor = async move {
        let _manager = engine.host.keep_alive();
        see_through(&engine, live, body, deadline, recorded).await;
    };
    tokio::spawn(span.around(supervisor));
}

/// Writes that a job begins. Returns whether it does; if not, it has ended by then.
async fn begin(engine: &Arc<Engine>, live: &LiveJob) -> bool {
    let refusal = || {
        if live.is_to_be_cancelled() {
            Some(JobEvent::Cancel)
        } else {
            engine.is_stopping().then(interruption)
        }
    };
    let mut refused = refusal();
    if refused.is_none() {
        let Some(job) = record::write(engine, live, JobEvent::Start).await else {
            // Another process ended it before it began.
            live.ends_with(&JobEvent::Cancel);
            engine.local.live.remove(live);
            return false;
        };
        if job.cancel_requested {
            live.request_cancel();
        }
        // The write may have taken its time.
        refused = refusal();
    }
    let Some(event) = refused else { return true };
    end(engine, live, event, None).await;
    false
}

/// Watches the body until it has ended or has to be left alone, and writes how the job ended. Boxes all but the watch, so that
/// the supervisor of a running job has the size of that and no more.
async fn see_through(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    mut body: Body,
    deadline: Option<Instant>,
    recorded: Option<JoinHandle<bool>>,
) {
    let (seen, stop) = watch(engine, &live, &mut body, deadline).await;
    let event = match (seen, stop) {
        (Seen::TakenOver, _) => return Box::pin(abandon(engine, &live, body)).await,
        (Seen::Halted, stop) => Box::pin(halt(&live, body, stop)).await,
        // The reason of the stop decides how the job ends, whatever the body returns in its last moments.
        (Seen::Ended(_), Some(stop)) => stop.ending(),
        (Seen::Ended(BodyEnd::Returned(Ok(output))), None) => JobEvent::Complete(output),
        (Seen::Ended(BodyEnd::Returned(Err(failure))), None) => JobEvent::Fail(failure),
        // Only the end of the runtime aborts a body that was not told to stop.
        (Seen::Ended(BodyEnd::Aborted), None) => interruption(),
    };
    Box::pin(end(engine, &live, event, recorded)).await;
}

/// Why a supervisor watches a body no longer.
enum Seen {
    Ended(BodyEnd),
    /// The runner ends, and the body may still run.
    Halted,
    /// Another process has the job, or has ended it. The body may still run.
    TakenOver,
}

/// Why a body was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopReason {
    Cancelled,
    Deadline,
}

impl StopReason {
    /// How the job ends.
    fn ending(self) -> JobEvent {
        match self {
            Self::Cancelled => JobEvent::Cancel,
            Self::Deadline => JobEvent::Fail(JobFailure::new(
                FailureKind::Deadline,
                "the work ran longer than its deadline and was stopped",
            )),
        }
    }
}

/// Watches a body: tells it to stop when a stop is requested or its deadline is over, aborts it after the grace, and writes to
/// the record what it reports and asks. Returns also why it was told to stop, where it was.
async fn watch(
    engine: &Engine,
    live: &LiveJob,
    body: &mut Body,
    deadline: Option<Instant>,
) -> (Seen, Option<StopReason>) {
    let mut syncing = std::pin::pin!(async {
        tokio::select! {
            () = sync::write_to_record(&engine.local, live) => {}
            () = engine.remote.keep_running() => {}
        }
    });
    let mut stop = None;
    let mut abort_at = None;
    loop {
        let reason = tokio::select! {
            // The end of the body is looked at first: when it is there, nothing else counts.
            biased;
            ended = &mut *body => return (Seen::Ended(ended), stop),
            () = engine.halted.cancelled() => return (Seen::Halted, stop),
            () = &mut syncing => return (Seen::TakenOver, stop),
            () = live.stop_requested(), if stop.is_none() => StopReason::Cancelled,
            () = live.context.questions.past(deadline), if stop.is_none() => StopReason::Deadline,
            () = clock::past(abort_at) => {
                abort_at = None;
                body.abort();
                continue;
            }
        };
        stop = Some(reason);
        abort_at = Instant::now().checked_add(engine.settings.cancel_grace);
        live.context.cancellation.cancel();
    }
}

/// Writes how a live job ended, and removes it from the jobs of this process. Where its record is still being written,
/// `recorded` returns whether it was.
async fn end(
    engine: &Arc<Engine>,
    live: &LiveJob,
    event: JobEvent,
    recorded: Option<JoinHandle<bool>>,
) {
    let event = record::within_limit(engine, live, event);
    live.ends_with(&event);
    // The same call gets this end for as long as no caller has the ticket, however long the store takes.
    engine.local.live.forget_delivered(live);
    let is_recorded = match recorded {
        Some(recorded) => recorded.await.unwrap_or(false),
        None => true,
    };
    if is_recorded {
        record::write(engine, live, event).await;
    }
    engine.local.live.remove(live);
}

/// Stops a body because the runner ends, and returns how its job ends. The body's end is not waited for, because the process is
/// about to end as well. But a job is `cancelled` only once its work has stopped, and work that may run again must not run
/// twice at once: such a job is left as it is until its body has stopped, and if the body never does, the end of the process
/// decides.
async fn halt(live: &LiveJob, body: Body, stop: Option<StopReason>) -> JobEvent {
    live.context.cancellation.cancel();
    body.abort();
    if stop == Some(StopReason::Deadline) {
        return StopReason::Deadline.ending();
    }
    if live.is_to_be_cancelled() {
        body.await;
        return JobEvent::Cancel;
    }
    if live.site().is_some_and(|site| site.max_reruns > 0)
        && let BodyEnd::Returned(Ok(output)) = body.await
    {
        return JobEvent::Complete(output);
    }
    interruption()
}

/// Stops a body whose job another process has or has ended. This process writes nothing more of the job.
async fn abandon(engine: &Engine, live: &LiveJob, body: Body) {
    observe::warn!(job_id = %live.id(), "another process has the job or has ended it; stopping the work");
    live.ends_with(&interruption());
    body.wind_down(&live.context, engine.settings.cancel_grace).await;
    engine.local.withheld.forget(live.id());
    engine.local.live.remove(live);
}
