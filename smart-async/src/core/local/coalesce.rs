//! Who joins what: the runs that the same call finds, so that its work is not begun a second time. The same call has the same server,
//! tool and arguments, and a caller that can be told to be the same: a local user, an identity, a session, or a connection.
//!
//! | A run | is found by the same call | |
//! |---|---|---|
//! | whose ticket or result reached no caller | of the same caller | always (`remember_undelivered`) |
//! | whose call has been open for [`LONG_OPEN`](super::callers::LONG_OPEN) | on the same connection | unless the tool says `repeatable` (`share_open`) |
//! | of a tool with `coalesce` | of the same caller | from its beginning to its end (`share_or_join`, `share_again`) |
//! | of a caller that cannot be told from another | by none | its call has no key |
//!
//! A run that callers have joined is found until the last of them has its answer.
//!
//! The second row has a consequence: the client of the later call has given up the earlier one. So where it cancels the later call,
//! the work is cancelled for both, as `on_cancel` says, also where the earlier one has its ticket by then. A client that made both on
//! purpose, over ten seconds apart, reads in the answer of the earlier call why it ended, and can call again; the other way round, work
//! that a person stopped would go on, and no one would know of it. Where the earlier call is cancelled, the later one keeps the work.

use std::sync::Arc;

use super::active::{LiveJob, LiveJobs, Origin};
use super::attachments::Attachment;
use crate::core::call_key::CallKey;
use crate::core::context::JobContext;
use crate::core::job::JobEvent;

/// A run that calls share. Held by everything that can still turn the first call into a job. When the last holder drops it and
/// no job exists, the waiting callers are released with `Cancel`.
pub(crate) struct SharedRun {
    jobs: LiveJobs,
    job: Arc<LiveJob>,
}

impl LiveJobs {
    /// Starts a run that the same calls share; or, where the same call runs already, attaches the caller to that run. Of calls
    /// that come at once, exactly one starts the run.
    pub(crate) fn share_or_join(
        &self,
        origin: Origin,
        context: &Arc<JobContext>,
    ) -> Result<(Arc<SharedRun>, Attachment), Attachment> {
        let job = LiveJob::new(Arc::clone(context), Some(origin));
        let attachment = self.find_or_share(&job)?;
        Ok((Arc::new(SharedRun { jobs: self.clone(), job }), attachment))
    }
}

impl LiveJobs {
    /// Lets the same call on the same connection join a run whose call has been open for long; `None` where that call finds
    /// another run already.
    pub(crate) fn share_open(
        &self,
        origin: Origin,
        context: &Arc<JobContext>,
    ) -> Option<(Arc<SharedRun>, Attachment)> {
        let key = origin.key_on_connection?;
        let job = LiveJob::new(Arc::clone(context), Some(origin));
        let mut jobs = self.jobs.lock();
        if jobs.by_call.contains_key(&key) {
            return None;
        }
        let attachment = Attachment::of_new_run(self.clone(), &job);
        jobs.by_call.insert(key, Arc::clone(&job));
        drop(jobs);
        Some((Arc::new(SharedRun { jobs: self.clone(), job }), attachment))
    }

    /// The run that the same call finds, by its key or by its key on its connection.
    pub(crate) fn called(&self, keys: [Option<CallKey>; 2]) -> Option<Arc<LiveJob>> {
        let jobs = self.jobs.lock();
        keys.into_iter().flatten().find_map(|key| jobs.by_call.get(&key)).cloned()
    }

    /// Lets the same call find a job whose ticket reached no caller. A job that has been removed is not found any more.
    pub(in crate::core) fn remember_undelivered(&self, job: &Arc<LiveJob>) {
        let Some(key) = job.key() else { return };
        let mut jobs = self.jobs.lock();
        if jobs.by_id.contains_key(&job.id()) {
            jobs.by_call.insert(key, Arc::clone(job));
        }
    }

    /// Lets the same call find a run that an earlier process began, unless it finds another one. A caller of that process has
    /// the ticket, so no departure stops the work.
    pub(in crate::core) fn share_again(&self, job: &Arc<LiveJob>) {
        job.callers.set_delivered();
        let Some(key) = job.key() else { return };
        self.jobs.lock().by_call.entry(key).or_insert_with(|| Arc::clone(job));
    }

    /// A caller has the ticket of this job, or its end: the same call finds it no more, unless it still runs and calls share it.
    pub(super) fn forget_undelivered(&self, job: &LiveJob) {
        if !job.is_shared() || job.has_ended() {
            self.forget(job);
        }
    }

    /// A caller has gone without an answer. Where another one had the ticket, and no further one waits, the same call finds the
    /// run no more.
    pub(super) fn forget_unawaited(&self, job: &LiveJob) {
        if !job.is_shared() && job.callers.was_delivered() {
            self.forget(job);
        }
    }

    /// The work has ended, while its record does not say so yet. Where a caller has the ticket, the same call starts a new run
    /// from now on; else it gets this end.
    pub(in crate::core) fn forget_delivered(&self, job: &LiveJob) {
        if job.callers.was_delivered() {
            self.forget(job);
        }
    }

    /// Lets the same call find `job` from now on; or, where it finds a run already that takes callers, attaches the caller to that.
    fn find_or_share(&self, job: &Arc<LiveJob>) -> Result<Attachment, Attachment> {
        let mut jobs = self.jobs.lock();
        let Some(key) = job.key() else { return Ok(Attachment::of_new_run(self.clone(), job)) };
        if let Some(known) = jobs.by_call.get(&key)
            && let Some(caller) = known.take_caller(job.key_on_connection(), job.context.began)
        {
            return Err(Attachment::new(self.clone(), Arc::clone(known), caller));
        }
        // The call that starts the run is counted before another one can find it.
        let attachment = Attachment::of_new_run(self.clone(), job);
        jobs.by_call.insert(key, Arc::clone(job));
        Ok(attachment)
    }
}

impl LiveJob {
    /// Returns whether callers share the run: those of a tool that says so, and those that have joined it and wait.
    fn is_shared(&self) -> bool {
        let repeatable = self.site().is_some_and(|site| site.repeatable);
        self.coalesces() || (!repeatable && self.callers.is_any_waiting())
    }
}

impl SharedRun {
    /// The run, as the same calls find it.
    pub(crate) const fn job(&self) -> &Arc<LiveJob> {
        &self.job
    }

    /// The call was answered without becoming a job: the callers that share it get the same answer.
    pub(crate) fn answered(&self, ending: &JobEvent) {
        // The supervisor of a job says how that ended.
        if !self.jobs.holds(&self.job) && !self.job.has_ended() {
            self.job.ends_with(ending);
            self.jobs.forget(&self.job);
        }
    }
}

impl Drop for SharedRun {
    fn drop(&mut self) {
        self.answered(&JobEvent::Cancel);
    }
}
