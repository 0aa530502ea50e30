//! The jobs that run in this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, SetOnce};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::field::Empty;

use super::callers::{Callers, RunCaller};
use crate::core::call_key::CallKey;
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::job::{JobEvent, JobId};
use crate::core::observe::Span;
use crate::core::sync::Mutex;

/// The call that a job comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) site: &'static CallSite,
    /// The key that the same call would have, made again.
    pub(crate) key: Option<CallKey>,
    /// The key that the same call would have, made again on the same connection.
    pub(crate) key_on_connection: Option<CallKey>,
}

/// A run that is a job of this process, or may become one.
#[derive(Debug)]
pub(crate) struct LiveJob {
    pub(crate) context: Arc<JobContext>,
    /// Wakes the tasks that wait for the next change of the record.
    changed: Notify,
    /// How often the record has changed.
    changes: AtomicU32,
    /// Tells the supervisor that a stop was requested.
    stop_requested: CancellationToken,
    /// Tells the supervisor that the job is another process's by now, or was ended by one.
    taken_over: CancellationToken,
    /// How the job ended, from that moment on. The record may say so later, while the store fails.
    ending: SetOnce<Arc<JobEvent>>,
    origin: Option<Origin>,
    /// When the run began, once it has.
    began: OnceLock<Instant>,
    pub(super) callers: Callers,
}

impl LiveJob {
    pub(crate) fn new(context: Arc<JobContext>, origin: Option<Origin>) -> Arc<Self> {
        Arc::new(Self {
            context,
            changed: Notify::new(),
            changes: AtomicU32::new(0),
            stop_requested: CancellationToken::new(),
            taken_over: CancellationToken::new(),
            ending: SetOnce::new(),
            origin,
            began: OnceLock::new(),
            callers: Callers::default(),
        })
    }

    pub(crate) fn id(&self) -> JobId {
        self.context.id()
    }

    /// The span of everything that happens to the job from now on.
    pub(in crate::core) fn span(&self) -> Span {
        Span::new(
            || tracing::debug_span!("job", job_id = %self.id(), tool = %self.context.tool, outcome = Empty, elapsed_seconds = Empty),
        )
    }

    /// The annotated function that the job comes from, where it comes from one.
    pub(crate) fn site(&self) -> Option<&'static CallSite> {
        self.origin.map(|origin| origin.site)
    }

    /// Returns whether the store may not have the texts of the work.
    pub(in crate::core) fn redacts(&self) -> bool {
        self.site().is_some_and(|site| site.redact)
    }

    /// When the run is over this limit, which counts from the beginning of its call.
    pub(in crate::core) fn deadline(&self, limit: Option<Duration>) -> Option<Instant> {
        limit.and_then(|limit| self.context.began.checked_add(limit))
    }

    /// Takes note of the beginning of the run.
    pub(in crate::core) fn set_began(&self, moment: Instant) {
        let _ = self.began.set(moment);
    }

    /// For how long the run has taken, to the millisecond; `None` before it begins.
    pub(in crate::core) fn ran(&self) -> Option<Duration> {
        let ran = self.began.get()?.elapsed();
        Some(Duration::new(ran.as_secs(), ran.subsec_millis() * 1_000_000))
    }

    /// Returns whether the work has begun and has not ended.
    pub(in crate::core) fn is_working(&self) -> bool {
        self.began.get().is_some() && !self.has_ended()
    }

    pub(super) fn key(&self) -> Option<CallKey> {
        self.origin.and_then(|origin| origin.key)
    }

    pub(super) fn key_on_connection(&self) -> Option<CallKey> {
        self.origin.and_then(|origin| origin.key_on_connection)
    }

    /// Returns whether the same calls share the run.
    pub(super) fn coalesces(&self) -> bool {
        self.site().is_some_and(|site| site.coalesce)
    }

    /// Requests the stop of the job in this process; the record does not say so by that.
    pub(in crate::core) fn request_cancel(&self) {
        self.stop_requested.cancel();
        self.touch();
    }

    /// Returns whether a stop of the job was requested.
    pub(in crate::core) fn is_to_be_cancelled(&self) -> bool {
        self.stop_requested.is_cancelled()
    }

    /// Waits until a stop of the job is requested.
    pub(crate) async fn stop_requested(&self) {
        self.stop_requested.cancelled().await;
    }

    /// Counts one more caller, of a call that has this key on its connection; `None` where the work is being stopped, and takes none.
    pub(super) fn take_caller(&self, call: Option<CallKey>, came: Instant) -> Option<RunCaller> {
        if self.is_to_be_cancelled() {
            return None;
        }
        self.callers.attach(self.of_one_client(call), came)
    }

    /// Counts the caller of the call that the run comes from, while no other one knows the run.
    pub(super) fn take_first_caller(&self) -> RunCaller {
        let call = self.of_one_client(self.key_on_connection());
        self.callers.attach_first(call, self.context.began)
    }

    /// The key, where the same call, made long after, is the same client's that has given up the earlier one.
    fn of_one_client(&self, call: Option<CallKey>) -> Option<CallKey> {
        call.filter(|_| self.site().is_some_and(CallSite::is_joined_when_long_open))
    }

    /// Tells the supervisor that another process has the job by now, or has ended it.
    pub(in crate::core) fn set_taken_over(&self) {
        self.taken_over.cancel();
    }

    /// Waits until another process has the job, or has ended it.
    pub(in crate::core) async fn taken_over(&self) {
        self.taken_over.cancelled().await;
    }

    /// Wakes the tasks that wait for a change.
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

    /// Publishes how the job ends. The first end counts.
    pub(in crate::core) fn ends_with(&self, event: &JobEvent) {
        let _ = self.ending.set(Arc::new(event.clone()));
    }

    pub(in crate::core) fn has_ended(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Waits until the job ends, and returns how.
    pub(crate) async fn ending(&self) -> Arc<JobEvent> {
        Arc::clone(self.ending.wait().await)
    }
}

/// The live jobs by id; and by call the runs that the same call finds, by the rules of `coalesce`. Clones are the same register.
#[derive(Debug, Default, Clone)]
pub(crate) struct LiveJobs {
    pub(super) jobs: Arc<Mutex<Registered>>,
    /// Counts the registered jobs among the work that a shutdown waits for.
    in_flight: TaskTracker,
}

#[derive(Debug, Default)]
pub(super) struct Registered {
    pub(super) by_id: HashMap<JobId, (Arc<LiveJob>, TaskTrackerToken)>,
    pub(super) by_call: HashMap<CallKey, Arc<LiveJob>>,
    /// Those whose records were not read since they are registered.
    unread: Vec<JobId>,
}

impl LiveJobs {
    pub(super) fn new(in_flight: TaskTracker) -> Self {
        Self { jobs: Arc::default(), in_flight }
    }

    /// All jobs of this process.
    pub(in crate::core) fn all(&self) -> Vec<Arc<LiveJob>> {
        self.jobs.lock().by_id.values().map(|(job, _)| Arc::clone(job)).collect()
    }

    pub(in crate::core) fn insert(&self, job: &Arc<LiveJob>) {
        let entry = (Arc::clone(job), self.in_flight.token());
        let mut jobs = self.jobs.lock();
        jobs.by_id.insert(job.id(), entry);
        jobs.unread.push(job.id());
    }

    /// The jobs that were registered since this was asked last.
    pub(in crate::core) fn take_unread(&self) -> Vec<Arc<LiveJob>> {
        let mut jobs = self.jobs.lock();
        let unread = std::mem::take(&mut jobs.unread);
        let live = |id| jobs.by_id.get(&id).map(|(job, _)| Arc::clone(job));
        unread.into_iter().filter_map(live).collect()
    }

    pub(in crate::core) fn remove(&self, job: &LiveJob) {
        let mut jobs = self.jobs.lock();
        // Where it was removed from the store already, another one may have its id by now.
        if jobs.by_id.get(&job.id()).is_some_and(|(known, _)| std::ptr::eq(&**known, job)) {
            jobs.by_id.remove(&job.id());
        }
        if jobs.by_id.is_empty() {
            jobs.unread.clear();
        }
        drop(jobs);
        self.forget(job);
        job.touch();
    }

    pub(crate) fn get(&self, id: JobId) -> Option<Arc<LiveJob>> {
        self.jobs.lock().by_id.get(&id).map(|(job, _)| Arc::clone(job))
    }

    /// Waits for the next change of a live job, from this call on and not only from the first poll on. The removal of the job
    /// counts as a change, and `remove` publishes it after it took the job out, so a waiter that found the job is always woken.
    pub(in crate::core) fn next_change(
        &self,
        id: JobId,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.get(id).map(LiveJob::next_change)
    }

    pub(in crate::core) fn is_empty(&self) -> bool {
        self.jobs.lock().by_id.is_empty()
    }

    /// How many there are.
    pub(in crate::core) fn count(&self) -> usize {
        self.jobs.lock().by_id.len()
    }

    /// The same call does not find this run any more.
    pub(super) fn forget(&self, job: &LiveJob) {
        let keys = [job.key(), job.key_on_connection()];
        if keys == [None; 2] {
            return;
        }
        let mut jobs = self.jobs.lock();
        for key in keys.into_iter().flatten() {
            if jobs.by_call.get(&key).is_some_and(|known| std::ptr::eq(&**known, job)) {
                jobs.by_call.remove(&key);
            }
        }
    }

    /// Returns whether this run is a job of this process, or is kept as one.
    pub(crate) fn holds(&self, job: &LiveJob) -> bool {
        let known = self.get(job.id());
        known.is_some_and(|known| std::ptr::eq(&*known, job))
    }
}
