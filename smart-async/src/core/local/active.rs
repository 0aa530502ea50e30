//! The jobs that this process runs: what only it knows of them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use super::attachments::{Attachment, Attachments};
use crate::core::call_key::CallKey;
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::job::{JobEvent, JobId};

/// The call that a job comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) site: &'static CallSite,
    /// What the same call would have in common with it.
    pub(crate) key: Option<CallKey>,
}

/// Work that is a job of this process, or is about to become one. There may be many of them, so it is kept small.
#[derive(Debug)]
pub(crate) struct LiveJob {
    pub(crate) context: Arc<JobContext>,
    /// Wakes those who wait for the next change of the record, and for the end.
    changed: Notify,
    /// How often the record has changed.
    changes: AtomicU32,
    /// Set when somebody wants the job stopped.
    cancel_requested: AtomicBool,
    /// The runtime that its body is watched over on, while it is.
    watched_on: Mutex<Option<runtime::Id>>,
    /// Set while its news are exchanged with the record.
    exchanging: AtomicBool,
    /// How it ended, from that moment on: the record may say so later, while the store fails.
    ending: Mutex<Option<Arc<JobEvent>>>,
    origin: Option<Origin>,
    pub(super) attachments: Attachments,
}

impl LiveJob {
    pub(crate) fn new(context: Arc<JobContext>, origin: Option<Origin>) -> Arc<Self> {
        Arc::new(Self {
            context,
            changed: Notify::new(),
            changes: AtomicU32::new(0),
            cancel_requested: AtomicBool::new(false),
            watched_on: Mutex::default(),
            exchanging: AtomicBool::new(false),
            ending: Mutex::default(),
            origin,
            attachments: Attachments::default(),
        })
    }

    pub(crate) fn id(&self) -> JobId {
        self.context.id()
    }

    /// The span of everything that happens to the job from now on.
    pub(in crate::core) fn span(&self) -> Span {
        tracing::debug_span!("job", job_id = %self.id(), tool = %self.context.tool, outcome = Empty, elapsed_seconds = Empty)
    }

    /// The annotated function that the job comes from, where it comes from one.
    pub(crate) fn site(&self) -> Option<&'static CallSite> {
        self.origin.map(|origin| origin.site)
    }

    /// Whether the store may know nothing of what the work says.
    pub(in crate::core) fn redacts(&self) -> bool {
        self.site().is_some_and(|site| site.redact)
    }

    /// When the work has run for as long as it may, where it began as a call.
    pub(in crate::core) fn deadline(&self, limit: Option<Duration>) -> Option<Instant> {
        limit.and_then(|limit| self.context.began.checked_add(limit))
    }

    fn key(&self) -> Option<CallKey> {
        self.origin.and_then(|origin| origin.key)
    }

    /// Returns whether the same calls share the run.
    pub(super) fn coalesces(&self) -> bool {
        self.site().is_some_and(|site| site.coalesce)
    }

    /// Has the job stopped.
    pub(in crate::core) fn request_cancel(&self) {
        self.cancel_requested.store(true, Ordering::Release);
        self.context.questions.wake_supervisor();
    }

    /// Whether somebody wants the job stopped.
    pub(in crate::core) fn is_to_be_cancelled(&self) -> bool {
        self.cancel_requested.load(Ordering::Acquire)
    }

    fn watched_on(&self) -> MutexGuard<'_, Option<runtime::Id>> {
        self.watched_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its body is watched over just now.
    pub(in crate::core) fn is_watched(&self) -> bool {
        self.watched_on().is_some()
    }

    /// Says that its news are being exchanged, until the guard is dropped; `None` where they are already.
    pub(in crate::core) fn exchanges(self: &Arc<Self>) -> Option<Exchanging> {
        let free = !self.exchanging.swap(true, Ordering::AcqRel);
        free.then(|| Exchanging(Arc::clone(self)))
    }

    /// Wakes those who wait for a change.
    pub(in crate::core) fn touch(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits for the next change, from this call on and not only from the first poll on.
    fn next_change(self: Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let seen = self.changes.load(Ordering::Acquire);
        async move {
            loop {
                let changed = self.changed.notified();
                if self.changes.load(Ordering::Acquire) != seen {
                    return;
                }
                changed.await;
            }
        }
    }

    pub(in crate::core) fn ends_with(&self, event: &JobEvent) {
        *self.how_it_ended() = Some(Arc::new(event.clone()));
        self.changed.notify_waiters();
    }

    pub(in crate::core) fn has_ended(&self) -> bool {
        self.how_it_ended().is_some()
    }

    fn how_it_ended(&self) -> MutexGuard<'_, Option<Arc<JobEvent>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the job ends, and says how.
    pub(crate) async fn ending(&self) -> Arc<JobEvent> {
        loop {
            // Waits from here on: an end that comes after the look is not missed.
            let ended = self.changed.notified();
            if let Some(event) = self.how_it_ended().clone() {
                return event;
            }
            ended.await;
        }
    }
}

/// A job whose body is watched over, until this is dropped.
#[derive(Debug)]
pub(in crate::core) struct Watched(Arc<LiveJob>);

impl Watched {
    pub(in crate::core) const fn job(&self) -> &Arc<LiveJob> {
        &self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *self.0.watched_on() = None;
        self.0.context.questions.unwatch();
    }
}

/// A job whose news are exchanged with the record, until this is dropped.
#[derive(Debug)]
pub(in crate::core) struct Exchanging(Arc<LiveJob>);

impl Exchanging {
    pub(in crate::core) const fn job(&self) -> &Arc<LiveJob> {
        &self.0
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.0.exchanging.store(false, Ordering::Release);
    }
}

/// The live jobs by id; and by what was called, those that the same call gets: the ones whose ticket never reached a
/// caller, and the ones that calls share, these from the beginning of the call on.
#[derive(Debug, Default, Clone)]
pub(crate) struct LiveJobs {
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Debug, Default)]
struct Jobs {
    by_id: HashMap<JobId, Arc<LiveJob>>,
    by_call: HashMap<CallKey, Arc<LiveJob>>,
    /// The runtimes on which somebody looks from time to time for what is new of those that are watched over there.
    ticking: HashSet<runtime::Id>,
}

impl LiveJobs {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the body of a job is watched over from now on, on the runtime that this is called on.
    pub(in crate::core) fn watch(&self, job: Arc<LiveJob>) -> Watched {
        // Under the lock: whoever finds nobody watched over stops looking, and does not miss this one.
        let _jobs = self.jobs();
        *job.watched_on() = Handle::try_current().ok().map(|runtime| runtime.id());
        Watched(job)
    }

    /// The jobs whose bodies are watched over on this runtime. Where there is none, nobody looks there any more.
    pub(in crate::core) fn watched(&self, runtime: runtime::Id) -> Vec<Arc<LiveJob>> {
        let mut jobs = self.jobs();
        let is_there = |job: &&Arc<LiveJob>| *job.watched_on() == Some(runtime);
        let watched: Vec<_> = jobs.by_id.values().filter(is_there).map(Arc::clone).collect();
        if watched.is_empty() {
            jobs.ticking.remove(&runtime);
        }
        watched
    }

    /// Whether somebody has to begin to look on this runtime, who is from now on said to do so.
    pub(in crate::core) fn begins_to_tick(&self, runtime: runtime::Id) -> bool {
        self.jobs().ticking.insert(runtime)
    }

    /// Whoever looked on this runtime is gone. Those who watch over a body see to it that another one looks.
    pub(in crate::core) fn ticks_no_more(&self, runtime: runtime::Id) {
        self.jobs().ticking.remove(&runtime);
        self.wake_supervisors();
    }

    /// Wakes those who watch over a body: something has changed for all of them.
    pub(in crate::core) fn wake_supervisors(&self) {
        let jobs: Vec<_> = self.jobs().by_id.values().map(Arc::clone).collect();
        for job in jobs {
            job.context.questions.wake_supervisor();
        }
    }

    pub(in crate::core) fn insert(&self, job: &Arc<LiveJob>) {
        self.jobs().by_id.insert(job.id(), Arc::clone(job));
    }

    pub(in crate::core) fn remove(&self, job: &LiveJob) {
        let mut jobs = self.jobs();
        // Where it was removed from the store already, another one may have its id by now.
        if jobs.by_id.get(&job.id()).is_some_and(|known| std::ptr::eq(&**known, job)) {
            jobs.by_id.remove(&job.id());
        }
        drop(jobs);
        self.forget(job);
        job.touch();
    }

    pub(crate) fn get(&self, id: JobId) -> Option<Arc<LiveJob>> {
        self.jobs().by_id.get(&id).cloned()
    }

    /// Waits for the next change of a live job, from this call on and not only from the first poll on. That the job is let
    /// go of is one: it is told of after the job was removed, so whoever finds it here is told.
    pub(in crate::core) fn next_change(
        &self,
        id: JobId,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.jobs().by_id.get(&id).map(|job| Arc::clone(job).next_change())
    }

    pub(in crate::core) fn is_empty(&self) -> bool {
        self.jobs().by_id.is_empty()
    }

    /// Counts one more caller that waits for the answer of this run; `None` where the work is being stopped.
    pub(crate) fn attach(&self, job: &Arc<LiveJob>) -> Option<Attachment> {
        let attached = !job.is_to_be_cancelled() && job.attachments.attach();
        attached.then(|| Attachment::new(self.clone(), Arc::clone(job)))
    }

    /// Lets the same call find a job whose ticket reached no caller. A job that has been removed is not found any more.
    pub(in crate::core) fn remember_undelivered(&self, job: &Arc<LiveJob>) {
        let Some(key) = job.key() else { return };
        let mut jobs = self.jobs();
        if jobs.by_id.contains_key(&job.id()) {
            jobs.by_call.insert(key, Arc::clone(job));
        }
    }

    /// Lets the same call find a run that an earlier process began, unless it finds another one. A caller of that process has
    /// the ticket, so no departure stops the work.
    pub(in crate::core) fn share_again(&self, job: &Arc<LiveJob>) {
        job.attachments.set_delivered();
        let Some(key) = job.key() else { return };
        self.jobs().by_call.entry(key).or_insert_with(|| Arc::clone(job));
    }

    /// A caller has the ticket of this job, or its end: the same call finds it no more, unless it still runs and calls share it.
    pub(super) fn forget_undelivered(&self, job: &LiveJob) {
        if !job.coalesces() || job.has_ended() {
            self.forget(job);
        }
    }

    /// The work has ended, while its record does not say so yet. Where a caller has the ticket, the same call starts a new run
    /// from now on; else it gets this end.
    pub(in crate::core) fn forget_delivered(&self, job: &LiveJob) {
        if job.attachments.was_delivered() {
            self.forget(job);
        }
    }

    /// The same call does not find this run any more.
    pub(super) fn forget(&self, job: &LiveJob) {
        let Some(key) = job.key() else { return };
        let mut jobs = self.jobs();
        if jobs.by_call.get(&key).is_some_and(|known| std::ptr::eq(&**known, job)) {
            jobs.by_call.remove(&key);
        }
    }

    /// The run that the same call finds.
    pub(crate) fn called(&self, key: CallKey) -> Option<Arc<LiveJob>> {
        self.jobs().by_call.get(&key).cloned()
    }

    /// Attaches a caller to the run that the same call finds; where there is none that takes callers, lets the same call find
    /// `job` from now on, to which its own caller is attached.
    pub(super) fn find_or_share(&self, job: &Arc<LiveJob>) -> Result<(), Attachment> {
        if let Some(key) = job.key() {
            let mut jobs = self.jobs();
            if let Some(known) = jobs.by_call.get(&key)
                && let Some(attachment) = self.attach(known)
            {
                return Err(attachment);
            }
            jobs.by_call.insert(key, Arc::clone(job));
        }
        job.attachments.attach();
        Ok(())
    }

    /// Returns whether this run is a job of this process, or is kept as one.
    pub(crate) fn holds(&self, job: &LiveJob) -> bool {
        let known = self.get(job.id());
        known.is_some_and(|known| std::ptr::eq(&*known, job))
    }
}
