//! One task for each job of this process, from its start to its end: the one place where a job is started and stopped, and
//! where it is written down how it ended. What is new of it meanwhile is taken to the store by `news`.
//!
//! A job may run for hours beside thousands of others, so its task is small for as long as it only watches over a body (see
//! `watch`). What comes before that and after it has a box of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::body::{Body, Ended};
use super::supervise_body::{Seen, Stop, Watch};
use crate::core::backoff::Backoff;
use crate::core::context::JobContext;
use crate::core::job::{Change, FailureKind, JobEvent, JobFailure, JobRecord};
use crate::core::local::LiveJob;
use crate::core::manager::JobManager;
use crate::core::store::StoreError;
use crate::core::{clock, observe};

/// A job of this process, as its task sees it through.
struct Supervision {
    manager: JobManager,
    stage: Stage,
    /// Whether its record was written, where that began with the work.
    recorded: Option<JoinHandle<bool>>,
}

enum Stage {
    /// The work is about to begin; where it does not, that is the end.
    Begins(Pin<Box<dyn Future<Output = Option<Watch>> + Send>>),
    Runs(Watch),
    /// It is written down how it ended.
    Ends(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

impl Future for Supervision {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { manager, stage, recorded } = &mut *self;
        loop {
            let next = match stage {
                Stage::Begins(begins) => {
                    ready!(begins.as_mut().poll(context)).map_or(Stage::Over, Stage::Runs)
                }
                Stage::Runs(watch) => {
                    let ended = ready!(watch.poll(manager, context));
                    let Stage::Runs(watch) = std::mem::replace(stage, Stage::Over) else {
                        continue;
                    };
                    let (manager, recorded) = (manager.clone(), recorded.take());
                    Stage::Ends(Box::pin(async move {
                        manager.end(watch, ended, recorded).await;
                    }))
                }
                Stage::Ends(ends) => {
                    ready!(ends.as_mut().poll(context));
                    Stage::Over
                }
                Stage::Over => return Poll::Ready(()),
            };
            *stage = next;
        }
    }
}

impl JobManager {
    /// Starts a job that is `pending`, and sees it through.
    pub(in crate::core) fn launch(
        &self,
        live: Arc<LiveJob>,
        start: impl FnOnce(&Arc<JobContext>) -> Body + Send + 'static,
        deadline: Option<Duration>,
    ) {
        let (manager, span) = (self.clone(), live.span());
        let begins = async move {
            manager.begin(&live).await?;
            // The limit is on the run, not on what came before it.
            let deadline = deadline.and_then(|deadline| Instant::now().checked_add(deadline));
            let body = start(&live.context);
            Some(Watch::new(manager.live().watch(live), body, deadline))
        };
        self.see_through(Stage::Begins(Box::pin(begins)), None, span);
    }

    /// Sees a running job through. Where its record is being written only now, `recorded` says whether it was.
    pub(in crate::core) fn supervise(
        &self,
        live: Arc<LiveJob>,
        body: Body,
        deadline: Option<Duration>,
        recorded: Option<JoinHandle<bool>>,
    ) {
        let (span, deadline) = (live.span(), live.deadline(deadline));
        let watch = Watch::new(self.live().watch(live), body, deadline);
        self.see_through(Stage::Runs(watch), recorded, span);
    }

    fn see_through(&self, stage: Stage, recorded: Option<JoinHandle<bool>>, span: Span) {
        let supervision = Supervision { manager: self.clone(), stage, recorded };
        tokio::spawn(supervision.instrument(span));
    }

    /// Writes down that a job begins. Where it does not, it has ended by then.
    async fn begin(&self, live: &LiveJob) -> Option<()> {
        let refused = || {
            if live.is_to_be_cancelled() {
                Some(JobEvent::Cancel)
            } else {
                self.is_stopping().then(Self::interruption)
            }
        };
        let mut refusal = refused();
        if refusal.is_none() {
            let Some(job) = self.record(live, JobEvent::Start).await else {
                // It ended by another hand before it began.
                live.ends_with(&JobEvent::Cancel);
                self.live().remove(live);
                return None;
            };
            if job.cancel_requested {
                live.request_cancel();
            }
            // Writing may have taken its time.
            refusal = refused();
        }
        match refusal {
            Some(event) => {
                self.conclude(live, event).await;
                None
            }
            None => Some(()),
        }
    }

    /// Sees to the end of a job whose body is watched over no more.
    async fn end(&self, watch: Watch, ended: Option<Ended>, recorded: Option<JoinHandle<bool>>) {
        let (live, stop, seen) = watch.end(ended);
        let event = match (stop, seen) {
            (stop, Seen::Halted(body)) => self.halt(&live, body, stop).await,
            // Whoever asked for the stop decided how it ends, whatever the body made of its last moments.
            (Some(stop), Seen::Ended(_)) => stop.ending(),
            (None, Seen::Ended(Ended::Concluded(Ok(output)))) => JobEvent::Complete(output),
            (None, Seen::Ended(Ended::Concluded(Err(failure)))) => JobEvent::Fail(failure),
            // Only the end of the runtime aborts a body that nobody told to stop.
            (None, Seen::Ended(Ended::Aborted)) => Self::interruption(),
        };
        let Some(recorded) = recorded else { return self.conclude(&live, event).await };
        live.ends_with(&event);
        if recorded.await.unwrap_or(false) {
            self.record(&live, event).await;
        }
        self.live().remove(&live);
    }

    /// Writes down how a live job ended, and lets go of it.
    async fn conclude(&self, live: &LiveJob, event: JobEvent) {
        live.ends_with(&event);
        // The store may take its time.
        self.live().forget_delivered(live);
        self.record(live, event).await;
        self.live().remove(live);
    }

    /// Stops a body because the manager ends, and says how its job ends. The body's end is not waited for: the process is
    /// about to end as well. But a job is `cancelled` only once its work has stopped, and work that may run again must not
    /// run twice at the same time: until it has stopped, nobody is told, and if it never does, the end of the process tells.
    async fn halt(&self, live: &LiveJob, body: Body, stop: Option<Stop>) -> JobEvent {
        live.context.cancellation.cancel();
        body.abort();
        if stop == Some(Stop::Deadline) {
            return Stop::Deadline.ending();
        }
        if live.is_to_be_cancelled() {
            body.await;
            return JobEvent::Cancel;
        }
        if live.site().is_some_and(|site| site.max_reruns > 0)
            && let Ended::Concluded(Ok(output)) = body.await
        {
            return JobEvent::Complete(output);
        }
        Self::interruption()
    }

    /// Writes down what happened to a live job, and tries until it is written; `None` where it cannot be any more.
    async fn record(&self, live: &LiveJob, event: JobEvent) -> Option<Arc<JobRecord>> {
        // Where another process has taken the job on, what happens here is none of its business.
        let mut change = Change::new(event, clock::now())
            .with_progress(live.context.progress.read())
            .owned_by(Some(self.store().owner()));
        if matches!(change.event, JobEvent::Start) {
            change.progress = None;
        }
        change.state = self.state_of(live.id(), &change).await;
        let kept_back = &self.inner.kept_back;
        let stored = kept_back.keep(live.site(), live.id(), &change);
        let mut backoff = Backoff::default();
        let (mut last, mut in_doubt) = (false, false);
        loop {
            let answer = match self.note(self.store().update(live.id(), stored.clone()).await) {
                Err(error @ StoreError::Illegal { .. }) if in_doubt => {
                    self.already_made(live.id(), &stored).await.ok_or(error)
                }
                answer => answer,
            };
            match answer {
                Ok(job) => {
                    let elapsed_seconds = live.context.began.elapsed().as_secs_f64();
                    Span::current()
                        .record("outcome", job.status().as_str())
                        .record("elapsed_seconds", elapsed_seconds);
                    self.announce(&job);
                    live.touch();
                    return Some(job);
                }
                Err(error) if error.is_transient() && !last => {
                    observe::error!(job_id = %live.id(), %error, "a job's change could not be stored; trying again");
                    in_doubt |= error.is_in_doubt();
                    last = self.pause(&mut backoff).await.is_err();
                }
                Err(error) => {
                    // It has ended by another hand, and ends no second time; or the store is gone for good.
                    observe::warn!(job_id = %live.id(), event = change.event.name(), %error, "a job's change was lost");
                    kept_back.forget(live.id());
                    return None;
                }
            }
        }
    }
}

/// The failure of a job whose process ends before its work does.
pub(in crate::core) fn interrupted() -> JobFailure {
    JobFailure::new(FailureKind::Interrupted, "the server stopped before the work ended")
}
