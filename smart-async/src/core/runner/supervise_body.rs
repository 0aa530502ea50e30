//! Watching over a body until it has ended, and stopping it when it has to stop. This is what a job's task holds for hours, so
//! it is small: whoever wants something of it sets a flag and wakes it, and it has one timer, where it has to wait for a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{Body, Ended};
use crate::core::job::{FailureKind, JobEvent, JobFailure};
use crate::core::local::active::{LiveJob, Watched};
use crate::core::manager::JobManager;

/// Why a body has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core) enum Stop {
    Cancelled,
    Deadline,
}

impl Stop {
    /// How the job ends that was stopped.
    pub(in crate::core) fn ending(self) -> JobEvent {
        match self {
            Self::Cancelled => JobEvent::Cancel,
            Self::Deadline => JobEvent::Fail(JobFailure::new(
                FailureKind::Deadline,
                "the work ran longer than its deadline and was stopped",
            )),
        }
    }
}

/// A body that is watched over.
pub(in crate::core) struct Watch {
    job: Watched,
    body: Body,
    phase: Phase,
    timer: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    Runs {
        /// When it has run for as long as it may, if it never waits for an answer.
        deadline: Option<Instant>,
    },
    /// It was told to stop.
    Stops {
        why: Stop,
        /// When its grace is over; nothing, once it was.
        abort_at: Option<Instant>,
    },
}

/// Why a body is watched over no more.
pub(in crate::core) enum Seen {
    Ended(Ended),
    /// The manager ends, and the body may still run.
    Halted(Body),
}

impl Watch {
    pub(in crate::core) const fn new(job: Watched, body: Body, deadline: Option<Instant>) -> Self {
        Self { job, body, phase: Phase::Runs { deadline }, timer: None }
    }

    /// Whether there is nothing more to watch; then [`end`](Self::end) says more.
    pub(in crate::core) fn poll(
        &mut self,
        manager: &JobManager,
        context: &mut Context<'_>,
    ) -> Poll<Option<Ended>> {
        let job = Arc::clone(self.job.job());
        // Before anything is looked at: whatever changes after the look wakes us.
        job.context.questions.watch(context.waker());
        manager.keep_ticking();
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut self.body).poll(context) {
                return Poll::Ready(Some(ended));
            }
            if manager.is_halted() {
                return Poll::Ready(None);
            }
            if self.stop().is_none() && job.is_to_be_cancelled() {
                self.tell_to_stop(Stop::Cancelled, manager);
            }
            let due = match self.phase {
                Phase::Runs { deadline } => deadline.and_then(|it| job.context.questions.due(it)),
                Phase::Stops { abort_at, .. } => abort_at,
            };
            if !self.is_over(due, context) {
                break;
            }
            match &mut self.phase {
                Phase::Runs { .. } => self.tell_to_stop(Stop::Deadline, manager),
                Phase::Stops { abort_at, .. } => {
                    *abort_at = None;
                    self.body.abort();
                }
            }
        }
        if job.context.questions.has_changed() {
            manager.exchange(&job);
        }
        Poll::Pending
    }

    fn tell_to_stop(&mut self, why: Stop, manager: &JobManager) {
        let abort_at = Instant::now().checked_add(manager.cancel_grace());
        self.phase = Phase::Stops { why, abort_at };
        self.job.job().context.cancellation.cancel();
    }

    /// Whether this moment has come. If not, it wakes us.
    fn is_over(&mut self, moment: Option<Instant>, context: &mut Context<'_>) -> bool {
        let Some(moment) = moment else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        if timer.deadline() != moment {
            timer.as_mut().reset(moment);
        }
        let is_over = timer.as_mut().poll(context).is_ready();
        if is_over {
            self.timer = None;
        }
        is_over
    }

    const fn stop(&self) -> Option<Stop> {
        match self.phase {
            Phase::Runs { .. } => None,
            Phase::Stops { why, .. } => Some(why),
        }
    }

    /// The job, why its body was told to stop, if it was, and how it ended, if it did.
    pub(in crate::core) fn end(self, ended: Option<Ended>) -> (Arc<LiveJob>, Option<Stop>, Seen) {
        let (job, stop) = (Arc::clone(self.job.job()), self.stop());
        let seen = match ended {
            Some(ended) => Seen::Ended(ended),
            None => Seen::Halted(self.body),
        };
        (job, stop, seen)
    }
}
