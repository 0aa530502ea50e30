//! The beginning of a job that is `pending`: it waits for its turn, its record says that it begins, and its body starts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::body::Body;
use super::engine::{Engine, false_start};
use super::record;
use super::supervise::{Recorded, end, see_through};
use super::turn::{Needs, Turn};
use crate::core::context::JobContext;
use crate::core::job::JobEvent;
use crate::core::local::LiveJob;
use crate::core::queue::Heaviness;

/// The turn of a job.
pub(super) enum StartTurn {
    /// It has come.
    Now(Turn),
    /// It comes when the body has what it needs. The job is in the queue, where its context says so.
    ToCome(Needs),
}

impl StartTurn {
    /// The turn of a job that has its slot and does not wait yet. Where the job has to, its context says so from now on.
    pub(super) fn of(needs: Needs, engine: &Engine, context: &JobContext) -> Self {
        if needs == Needs::Nothing {
            return Self::Now(Turn::default());
        }
        match engine.slots.try_take() {
            Some(thread) => Self::Now(Turn { thread: Some(thread), ..Turn::default() }),
            None => {
                context.turn.wait();
                Self::ToCome(needs)
            }
        }
    }
}

/// Starts a job that is `pending`, and supervises it. Where its record is still being written, `recorded` returns whether it was.
pub(super) fn launch(
    engine: &Arc<Engine>,
    live: Arc<LiveJob>,
    turn: StartTurn,
    start: impl FnOnce(&Arc<JobContext>, Turn) -> Body + Send + 'static,
    limit: Option<Duration>,
    recorded: Option<Recorded>,
) {
    let (engine, span) = (Arc::clone(engine), live.span());
    let supervisor = async move {
        let _manager = engine.host.keep_alive();
        let Some(turn) = Box::pin(begin(&engine, &live, turn, recorded.clone())).await else {
            return;
        };
        live.set_began(Instant::now());
        live.context.turn.come();
        let body = start(&live.context, turn);
        // The limit is on the run, not on the wait before it.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        see_through(&engine, live, body, deadline, recorded).await;
    };
    tokio::spawn(span.around(supervisor));
}

/// Waits for the turn of a job, and writes that the job begins. Returns the turn, or `None` where the job has ended by then.
async fn begin(
    engine: &Arc<Engine>,
    live: &LiveJob,
    turn: StartTurn,
    recorded: Option<Recorded>,
) -> Option<Turn> {
    let turn = async {
        let is_recorded = match recorded.clone() {
            Some(recorded) => recorded.await,
            None => true,
        };
        let turn = match turn {
            StartTurn::Now(turn) => turn,
            StartTurn::ToCome(needs) => wait(engine, live, needs, is_recorded).await,
        };
        (is_recorded, turn)
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
    if let Some((is_recorded, turn)) = came {
        // The store does not have the job; its callers in this process do.
        if !is_recorded {
            return Some(turn);
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
            return Some(turn);
        }
    }
    let event = if live.is_to_be_cancelled() { JobEvent::Cancel } else { false_start() };
    end(engine, live, event, recorded).await;
    None
}

/// Waits for what a job needs to begin: its slot, where it is in the queue, and its thread.
async fn wait(engine: &Arc<Engine>, live: &LiveJob, needs: Needs, is_recorded: bool) -> Turn {
    let tool = &live.context.tool;
    let mut heavy = None;
    if live.context.turn.is_queued() && is_recorded {
        let heaviness = match needs {
            Needs::Thread => Heaviness::Heavy,
            Needs::Nothing => Heaviness::Light,
        };
        heavy = engine.queue.turn(live.id(), engine.server(), heaviness).await;
    }
    let permit = match live.site().and_then(|site| site.max_concurrent) {
        Some(limit) if live.context.turn.is_queued() => {
            Some(engine.permits.take(tool, limit).await)
        }
        _ => None,
    };
    let thread = match needs {
        Needs::Nothing => None,
        Needs::Thread => Some(Arc::clone(&engine.slots).take().await),
    };
    Turn { thread, heavy, permit }
}

/// Another process has the job, or ended it before it began.
fn lost(engine: &Engine, live: &LiveJob) {
    live.ends_with(&JobEvent::Cancel);
    engine.local.live.remove(live);
}
