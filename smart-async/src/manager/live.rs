//! The jobs that this process runs: what only it knows of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing::field::Empty;

use crate::call_key::CallKey;
use crate::call_site::CallSite;
use crate::context::JobContext;
use crate::job::{JobEvent, JobId};

/// The call that a job comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) site: &'static CallSite,
    /// What the same call would have in common with it.
    pub(crate) key: Option<CallKey>,
}

/// Work that is a job of this process, or is about to become one.
#[derive(Debug)]
pub(crate) struct LiveJob {
    pub(crate) context: Arc<JobContext>,
    /// Set when somebody wants the job stopped.
    pub(super) cancel_requested: CancellationToken,
    /// Wakes those who wait for the next change of the record.
    changed: Arc<Notify>,
    /// How it ended, from that moment on: the record may say so later, while the store fails.
    ending: Mutex<Option<Arc<JobEvent>>>,
    /// Wakes those who wait for that.
    ended: Notify,
    origin: Option<Origin>,
    delivery: Mutex<Delivery>,
}

/// Who waits for the answer of a call that was made again, and whether one of them has got it.
#[derive(Debug, Default)]
struct Delivery {
    waiting: usize,
    delivered: bool,
}

impl LiveJob {
    pub(super) fn new(context: Arc<JobContext>, origin: Option<Origin>) -> Arc<Self> {
        Arc::new(Self {
            context,
            cancel_requested: CancellationToken::new(),
            changed: Arc::default(),
            ending: Mutex::default(),
            ended: Notify::new(),
            origin,
            delivery: Mutex::default(),
        })
    }

    pub(crate) fn id(&self) -> JobId {
        self.context.id()
    }

    /// The span of everything that happens to the job from now on.
    pub(super) fn span(&self) -> Span {
        tracing::debug_span!("job", job_id = %self.id(), tool = %self.context.tool, outcome = Empty, elapsed_seconds = Empty)
    }

    /// The annotated function that the job comes from, where it comes from one.
    pub(crate) fn site(&self) -> Option<&'static CallSite> {
        self.origin.map(|origin| origin.site)
    }

    /// When the work has run for as long as it may, where it began as a call.
    pub(super) fn deadline(&self, limit: Option<Duration>) -> Option<Instant> {
        limit.and_then(|limit| self.context.began.checked_add(limit))
    }

    fn key(&self) -> Option<CallKey> {
        self.origin.and_then(|origin| origin.key)
    }

    fn delivery(&self) -> MutexGuard<'_, Delivery> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody made the same call again, and waits for its answer.
    pub(crate) fn attached(&self) {
        self.delivery().waiting += 1;
    }

    /// One of them has its answer.
    pub(crate) fn delivered(&self) {
        let mut delivery = self.delivery();
        delivery.waiting = delivery.waiting.saturating_sub(1);
        delivery.delivered = true;
    }

    /// One of them left without an answer. Says whether nobody is left who waits for one or has got one: then it is for
    /// the last one's departure to say what becomes of the work.
    pub(crate) fn left(&self) -> bool {
        let mut delivery = self.delivery();
        delivery.waiting = delivery.waiting.saturating_sub(1);
        delivery.waiting == 0 && !delivery.delivered
    }

    /// Wakes those who wait for a change.
    pub(super) fn touch(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn ends_with(&self, event: &JobEvent) {
        *self.how_it_ended() = Some(Arc::new(event.clone()));
        self.ended.notify_waiters();
    }

    fn how_it_ended(&self) -> MutexGuard<'_, Option<Arc<JobEvent>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the job ends, and says how.
    pub(crate) async fn ending(&self) -> Arc<JobEvent> {
        loop {
            // Waits from here on: an end that comes after the look is not missed.
            let ended = self.ended.notified();
            if let Some(event) = self.how_it_ended().clone() {
                return event;
            }
            ended.await;
        }
    }
}

/// The live jobs by id, and those among them whose ticket never reached a caller, by what was called.
#[derive(Debug, Default)]
pub(crate) struct LiveJobs(Mutex<Jobs>);

#[derive(Debug, Default)]
struct Jobs {
    by_id: HashMap<JobId, Arc<LiveJob>>,
    undelivered: HashMap<CallKey, Arc<LiveJob>>,
}

impl LiveJobs {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, job: &Arc<LiveJob>) {
        self.jobs().by_id.insert(job.id(), Arc::clone(job));
    }

    pub(super) fn remove(&self, job: &LiveJob) {
        self.jobs().by_id.remove(&job.id());
        self.forget_undelivered(job);
        job.touch();
    }

    pub(crate) fn get(&self, id: JobId) -> Option<Arc<LiveJob>> {
        self.jobs().by_id.get(&id).cloned()
    }

    /// Waits for the next change of a live job, from this call on and not only from the first poll on. That the job is let
    /// go of is one: it is told of after the job was removed, so whoever finds it here is told.
    pub(super) fn next_change(&self, id: JobId) -> Option<OwnedNotified> {
        self.jobs().by_id.get(&id).map(|job| Arc::clone(&job.changed).notified_owned())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs().by_id.is_empty()
    }

    /// Remembers that nobody was told of this job, so that the same call gets it. A job that has been let go of is
    /// not remembered any more.
    pub(crate) fn remember_undelivered(&self, job: &Arc<LiveJob>) {
        let Some(key) = job.key() else { return };
        let mut jobs = self.jobs();
        if jobs.by_id.contains_key(&job.id()) {
            jobs.undelivered.insert(key, Arc::clone(job));
        }
    }

    /// Forgets it again: a caller has been told, or it has ended.
    pub(crate) fn forget_undelivered(&self, job: &LiveJob) {
        let Some(key) = job.key() else { return };
        let mut jobs = self.jobs();
        if jobs.undelivered.get(&key).is_some_and(|known| known.id() == job.id()) {
            jobs.undelivered.remove(&key);
        }
    }

    /// The job that the same call became, whose caller went away without its ticket.
    pub(crate) fn undelivered(&self, key: CallKey) -> Option<Arc<LiveJob>> {
        self.jobs().undelivered.get(&key).cloned()
    }
}
