//! One task for each job of this process, from its start to its end: the one place where a job is started, the one
//! that takes its progress to the store, stops it when it has to stop, and writes down how it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::Span;

use super::JobManager;
use super::body::{Body, Ended};
use super::kept_back::progress_for_the_store;
use super::live::LiveJob;
use crate::backoff::Backoff;
use crate::context::JobContext;
use crate::job::{Change, FailureKind, JobEvent, JobFailure, JobRecord};
use crate::store::StoreError;
use crate::{clock, observe};

/// How often a job's progress goes to the store, so that others see it as of that long ago at most, and how often its
/// record is looked at for another process's wish to stop it.
const TICK: Duration = Duration::from_millis(250);

/// Why a body has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Deadline,
}

impl Stop {
    /// How the job ends that was stopped.
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

impl JobManager {
    /// Starts a job that is `pending`, and sees it through.
    pub(super) async fn launch(
        self,
        live: Arc<LiveJob>,
        start: impl FnOnce(&Arc<JobContext>) -> Body + Send,
        deadline: Option<Duration>,
    ) {
        let refused = |live: &LiveJob| {
            if live.cancel_requested.is_cancelled() {
                Some(JobEvent::Cancel)
            } else {
                self.is_stopping().then(Self::interruption)
            }
        };
        let mut refusal = refused(&live);
        if refusal.is_none() {
            // Boxed, here and below: a job that runs for an hour need not carry the size of what takes a moment.
            let Some(job) = Box::pin(self.record(&live, JobEvent::Start)).await else {
                // It ended by another hand before it began.
                live.ends_with(&JobEvent::Cancel);
                self.live().remove(&live);
                return;
            };
            if job.cancel_requested {
                live.cancel_requested.cancel();
            }
            // Writing may have taken its time.
            refusal = refused(&live);
        }
        match refusal {
            Some(event) => Box::pin(self.conclude(&live, event)).await,
            None => {
                // The limit is on the run, not on what came before it.
                let deadline = deadline.and_then(|deadline| Instant::now().checked_add(deadline));
                let body = start(&live.context);
                self.supervise(live, body, deadline).await;
            }
        }
    }

    /// Sees a running job through.
    pub(super) async fn supervise(self, live: Arc<LiveJob>, body: Body, deadline: Option<Instant>) {
        let event = self.watch(&live, body, deadline).await;
        Box::pin(self.conclude(&live, event)).await;
    }

    /// Writes down how a live job ended, and lets go of it.
    async fn conclude(&self, live: &LiveJob, event: JobEvent) {
        live.ends_with(&event);
        // Writing may take its time; who was told of the job does not make the same call to hear of its end.
        if live.was_delivered() {
            self.live().forget(live);
        }
        self.record(live, event).await;
        self.live().remove(live);
    }

    /// Watches over a body until it has ended, and says how; stops it when it has to stop.
    pub(super) async fn watch(
        &self,
        live: &Arc<LiveJob>,
        mut body: Body,
        deadline: Option<Instant>,
    ) -> JobEvent {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset(); // The record that was just written needs no news.
        let mut news: Option<JoinHandle<()>> = None;
        let mut stop: Option<Stop> = None;
        let mut abort_at = None;
        let ended = loop {
            let wanted = tokio::select! {
                biased;
                ended = body.ended() => break ended,
                () = self.halted() => return Box::pin(self.halt(live, body, stop)).await,
                () = live.cancel_requested.cancelled(), if stop.is_none() => Stop::Cancelled,
                () = past(live, deadline), if stop.is_none() => Stop::Deadline,
                () = at(abort_at) => {
                    body.abort();
                    abort_at = None;
                    continue;
                }
                () = async {
                    tokio::select! {
                        _ = tick.tick() => {}
                        () = live.context.desk.has_changed() => {}
                    }
                } => {
                    // In a task of its own: a store that hangs must not keep the job from being stopped.
                    if news.as_ref().is_none_or(JoinHandle::is_finished) {
                        let (manager, live) = (self.clone(), Arc::clone(live));
                        news = Some(observe::spawn(async move { manager.exchange_news(&live).await }));
                    }
                    continue;
                }
            };
            stop = Some(wanted);
            abort_at = Instant::now().checked_add(self.cancel_grace());
            live.context.cancellation.cancel();
        };
        match (stop, ended) {
            // Whoever asked for the stop decided how it ends, whatever the body made of its last moments.
            (Some(stop), _) => stop.ending(),
            (None, Ended::Concluded(Ok(output))) => JobEvent::Complete(output),
            (None, Ended::Concluded(Err(failure))) => JobEvent::Fail(failure),
            // Only the end of the runtime aborts a body that nobody told to stop.
            (None, Ended::Aborted) => Self::interruption(),
        }
    }

    /// Stops a body because the manager ends, and says how its job ends. The body's end is not waited for: the process is
    /// about to end as well. But a job is `cancelled` only once its work has stopped, and work that may run again must not
    /// run twice at the same time: until it has stopped, nobody is told, and if it never does, the end of the process tells.
    async fn halt(&self, live: &LiveJob, mut body: Body, stop: Option<Stop>) -> JobEvent {
        live.context.cancellation.cancel();
        body.abort();
        if stop == Some(Stop::Deadline) {
            return Stop::Deadline.ending();
        }
        if live.cancel_requested.is_cancelled() {
            body.ended().await;
            return JobEvent::Cancel;
        }
        if live.site().is_some_and(|site| site.max_reruns > 0)
            && let Ended::Concluded(Ok(output)) = body.ended().await
        {
            return JobEvent::Complete(output);
        }
        Self::interruption()
    }

    /// Writes down what happened to a live job, and tries until it is written; `None` where it cannot be any more.
    pub(super) async fn record(&self, live: &LiveJob, event: JobEvent) -> Option<Arc<JobRecord>> {
        // Where another process has taken the job on, what happens here is none of its business.
        let mut change = Change::new(event, clock::now())
            .with_progress(live.context.progress.read())
            .owned_by(Some(self.store().owner()));
        if matches!(change.event, JobEvent::Start) {
            change.progress = None;
        }
        let kept_back = &self.inner.kept_back;
        let stored = kept_back.keep(live.site(), live.id(), &change);
        let mut backoff = Backoff::default();
        let mut last = false;
        loop {
            match self.note(self.store().update(live.id(), stored.clone()).await) {
                Ok(job) => {
                    let elapsed_seconds = live.context.began.elapsed().as_secs_f64();
                    Span::current()
                        .record("outcome", job.status().as_str())
                        .record("elapsed_seconds", elapsed_seconds);
                    // Before anybody is told, so that who waits for the job finds its state.
                    self.hydrate(&job, &change.event).await;
                    self.announce(&job);
                    live.touch();
                    return Some(job);
                }
                Err(error) if error.is_transient() && !last => {
                    tracing::error!(job_id = %live.id(), %error, "a job's change could not be stored; trying again");
                    last = self.pause(&mut backoff).await.is_err();
                }
                Err(error) => {
                    // It has ended by another hand, and ends no second time; or the store is gone for good.
                    tracing::warn!(job_id = %live.id(), event = change.event.name(), %error, "a job's change was lost");
                    kept_back.forget(live.id());
                    return None;
                }
            }
        }
    }

    /// Takes the body's progress to the store, and what others wish of the job from there.
    async fn exchange_news(&self, live: &LiveJob) {
        // What could not be told is told at the next tick.
        self.tell_questions(live).await;
        let stored = if let Some(progress) = live.context.progress.take_news() {
            let progress = match live.site() {
                Some(site) => progress_for_the_store(site, progress),
                None => progress,
            };
            let change = Change::new(JobEvent::Progress, clock::now())
                .with_progress(Some(progress))
                .owned_by(Some(self.store().owner()));
            self.note(self.store().update(live.id(), change).await).map(Some)
        } else {
            self.store().get(live.id()).await
        };
        match stored {
            Ok(Some(job)) => {
                if job.cancel_requested {
                    live.cancel_requested.cancel();
                }
                if !live.redacts() {
                    live.context.desk.learn(&job.questions);
                }
            }
            // It has ended meanwhile.
            Ok(None) | Err(StoreError::Illegal { .. }) => {}
            // Its record is still to be written, or is gone.
            Err(StoreError::NotFound(_)) => live.context.progress.put_back(),
            Err(error) => {
                live.context.progress.put_back();
                tracing::warn!(job_id = %live.id(), %error, "failed to store a job's progress");
            }
        }
    }
}

/// The failure of a job whose process ends before its work does.
pub(super) fn interrupted() -> JobFailure {
    JobFailure::new(FailureKind::Interrupted, "the server stopped before the work ended")
}

/// Waits until the work has run for longer than it may.
async fn past(live: &LiveJob, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => Box::pin(live.context.desk.past(deadline)).await,
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => Box::pin(sleep_until(moment)).await,
        None => std::future::pending().await,
    }
}
