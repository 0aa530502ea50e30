//! The supervisor of a job: one task from the start of the job to its end, which watches the body, stops it, and writes how it
//! ended, once it has.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::body::{Body, BodyEnd};
use super::engine::{Engine, interruption};
use super::{record, sync};
use crate::core::clock;
use crate::core::job::{FailureKind, JobEvent, JobFailure};
use crate::core::local::LiveJob;
use crate::core::observe;

/// Returns whether the record of a job was written that was still being written when its supervisor began.
pub(super) type Recorded = Shared<BoxFuture<'static, bool>>;

/// Supervises a job whose body runs already. Where its record is still being written, `recorded` returns whether it was.
pub(super) fn supervise(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    body: Body,
    limit: Option<Duration>,
    recorded: Option<Recorded>,
) {
    let (engine, span, deadline) = (Arc::clone(engine), live.span(), live.deadline(limit));
    live.set_began(live.context.run_began());
    let supervisor = async move {
        let _manager = engine.host.keep_alive();
        see_through(&engine, live, body, deadline, recorded).await;
    };
    tokio::spawn(span.around(supervisor));
}

/// Watches the body until it has ended or has to be left alone, and writes how the job ended. Boxes all but the watch, so that
/// the supervisor of a running job has the size of that and no more.
pub(super) async fn see_through(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    mut body: Body,
    deadline: Option<Instant>,
    recorded: Option<Recorded>,
) {
    let (seen, stop) = watch(engine, &live, &mut body, deadline).await;
    let event = match (seen, stop) {
        (Seen::TakenOver, _) => return Box::pin(abandon(engine, &live, body)).await,
        (Seen::Halted, stop) => Box::pin(halt(&live, body, stop)).await,
        (Seen::Ended(ended), Some(stop)) => stop.ending(&live, ended, body.is_on_thread()),
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
    /// The work reported no progress for too long.
    Stalled,
    /// The runner ends.
    Halted,
}

impl StopReason {
    /// How the job ends, now that its body has. The reason of the stop decides, whatever the body returns in its last moments. But a
    /// body that cannot be aborted, and went on to its end without a look at whether it should stop, has done its work; and so has
    /// any body that is done when the runner ends.
    fn ending(self, live: &LiveJob, ended: BodyEnd, is_on_thread: bool) -> JobEvent {
        match ended {
            BodyEnd::Returned(Ok(output))
                if (is_on_thread || self == Self::Halted)
                    && live.context.cancellation.went_unnoticed() =>
            {
                JobEvent::Complete(output)
            }
            _ => self.event(),
        }
    }

    fn event(self) -> JobEvent {
        match self {
            Self::Cancelled => JobEvent::Cancel,
            Self::Deadline => JobEvent::Fail(JobFailure::new(
                FailureKind::Deadline,
                "the work ran longer than its deadline and was stopped",
            )),
            Self::Stalled => JobEvent::Fail(JobFailure::new(
                FailureKind::Stalled,
                "the work reported no progress for too long and was stopped",
            )),
            Self::Halted => interruption(),
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
    let mut stalled = std::pin::pin!(live.context.stalled());
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
            () = &mut stalled, if stop.is_none() => StopReason::Stalled,
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
pub(super) async fn end(
    engine: &Arc<Engine>,
    live: &LiveJob,
    event: JobEvent,
    recorded: Option<Recorded>,
) {
    let event = record::within_limit(engine, live.site(), event);
    live.ends_with(&event);
    // The same call gets this end for as long as no caller has the ticket, however long the store takes.
    engine.local.live.forget_delivered(live);
    let is_recorded = match recorded {
        Some(recorded) => recorded.await,
        None => true,
    };
    if is_recorded {
        record::write(engine, live, event).await;
    }
    engine.local.live.remove(live);
}

/// Stops a body because the runner ends, and returns how its job ends, once the body has. Of a body that never ends, the end of the
/// process decides: until then its record says that it runs, and other processes see that its owner lives.
async fn halt(live: &LiveJob, body: Body, stop: Option<StopReason>) -> JobEvent {
    live.context.cancellation.cancel();
    body.abort();
    let is_on_thread = body.is_on_thread();
    let ended = body.await;
    let cancelled = live.is_to_be_cancelled().then_some(StopReason::Cancelled);
    stop.or(cancelled).unwrap_or(StopReason::Halted).ending(live, ended, is_on_thread)
}

/// Stops a body whose job another process has or has ended. This process writes nothing more of the job.
async fn abandon(engine: &Engine, live: &LiveJob, body: Body) {
    observe::warn!(job_id = %live.id(), "another process has the job or has ended it; stopping the work");
    live.ends_with(&interruption());
    body.wind_down(&live.context, engine.settings.cancel_grace).await;
    engine.local.withheld.forget(live.id());
    engine.local.live.remove(live);
}
