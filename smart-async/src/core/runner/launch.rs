//! The beginning of a job that is `pending`: it waits for its turn, its record says that it begins, and its body starts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::body::Body;
use super::engine::{Engine, false_start};
use super::record;
use super::supervise::{Recorded, end, see_through};
use crate::core::blocking::BodySlot;
use crate::core::context::JobContext;
use crate::core::job::JobEvent;
use crate::core::local::LiveJob;

/// The condition under which a body can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// It needs a thread of the manager's share of blocking bodies.
    Thread,
}

/// The turn of a job.
pub(super) enum StartTurn {
    /// It has come; with the slot, where the body needs one.
    Now(Option<BodySlot>),
    /// It comes when a slot is free.
    ToCome,
}

impl Needs {
    /// The turn of a job that does not wait yet. Where the job has to, its context says so from now on.
    pub(super) fn turn(self, engine: &Engine, context: &JobContext) -> StartTurn {
        if self == Self::Nothing {
            return StartTurn::Now(None);
        }
        let slot = engine.slots.try_take();
        match slot {
            Some(slot) => StartTurn::Now(Some(slot)),
            None => {
                context.turn.wait();
                StartTurn::ToCome
            }
        }
    }
}

/// Starts a job that is `pending`, and supervises it. Where its record is still being written, `recorded` returns whether it was.
pub(super) fn launch(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    turn: StartTurn,
    start: impl FnOnce(&Arc<JobContext>, Option<BodySlot>) -> Body + Send + 'static,
    limit: Option<Duration>,
    recorded: Option<Recorded>,
) {
    let (engine, span) = (Arc::clone(engine), live.span());
    let supervisor = async move {
        let _manager = engine.host.keep_alive();
        let Some(slot) = Box::pin(begin(&engine, &live, turn, recorded.clone())).await else {
            return;
        };
        live.set_began(Instant::now());
        let body = start(&live.context, slot);
        // The limit is on the run, not on the wait before it.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        see_through(&engine, live, body, deadline, recorded).await;
    };
    tokio::spawn(span.around(supervisor));
}

/// Waits for the turn of a job, and writes that the job begins. Returns the slot of the turn, or `None` where the job has ended by
/// then.
async fn begin(
    engine: &Arc<Engine>,
    live: &LiveJob,
    turn: StartTurn,
    recorded: Option<Recorded>,
) -> Option<Option<BodySlot>> {
    let turn = async {
        let is_recorded = match recorded.clone() {
            Some(recorded) => recorded.await,
            None => true,
        };
        let slot = match turn {
            StartTurn::Now(slot) => slot,
            StartTurn::ToCome => Some(Arc::clone(&engine.slots).take().await),
        };
        (is_recorded, slot)
    };
    let came = tokio::select! {
        biased;
        () = live.stop_requested() => None,
        () = engine.stopping.cancelled() => None,
        () = live.taken_over() => {
            lost(engine, live);
            return None;
        }
        came = turn => Some(came),
        // Another process may request a stop while the job waits.
        () = engine.remote.keep_running() => None,
    };
    if let Some((is_recorded, slot)) = came {
        // The store does not have the job; its callers in this process do.
        if !is_recorded {
            return Some(slot);
        }
        let Some(job) = record::write(engine, live, JobEvent::Start).await else {
            lost(engine, live);
            return None;
        };
        if job.cancel_requested {
            live.request_cancel();
        }
        // The write may have taken its time.
        if !live.is_to_be_cancelled() && !engine.is_stopping() {
            return Some(slot);
        }
    }
    let event = if live.is_to_be_cancelled() { JobEvent::Cancel } else { false_start() };
    end(engine, live, event, recorded).await;
    None
}

/// Another process has the job, or ended it before it began.
fn lost(engine: &Engine, live: &LiveJob) {
    live.ends_with(&JobEvent::Cancel);
    engine.local.live.remove(live);
}
