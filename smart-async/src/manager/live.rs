//! The jobs that this process runs: what only it knows of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
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
    /// Counts the changes of the record, for those who wait for the next one.
    changed: watch::Sender<u64>,
    /// How it ended, from that moment on: the record may say so later, while the store fails.
    ending: watch::Sender<Option<Arc<JobEvent>>>,
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
            changed: watch::Sender::new(0),
            ending: watch::Sender::new(None),
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
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn ends_with(&self, event: &JobEvent) {
        self.ending.send_replace(Some(Arc::new(event.clone())));
    }

    /// Waits until the job ends, and says how.
    pub(crate) async fn ending(&self) -> Arc<JobEvent> {
        let mut ending = self.ending.subscribe();
        match ending.wait_for(Option::is_some).await.map(|ending| ending.clone()) {
            Ok(Some(event)) => event,
            // The sender is a field of this very job.
            _ => std::future::pending().await,
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
