//! A caller that waits for the answer of a run, from its arrival to its answer or departure.

use std::sync::Arc;

use tokio::time::Instant;

use super::active::{LiveJob, LiveJobs};
use super::callers::{Detach, Leave, RunCaller};
use crate::core::call_key::CallKey;
use crate::core::call_site::OnDisconnect;

/// One caller that waits for the answer of a run. Dropped, it is a caller whose connection was lost.
#[must_use = "dropped, it counts as a caller that was disconnected"]
pub(crate) struct Attachment {
    jobs: LiveJobs,
    job: Arc<LiveJob>,
    caller: RunCaller,
    is_settled: bool,
}

impl LiveJobs {
    /// Counts the caller of the call that this run comes from, which waits for the answer; `None` where the work is being stopped.
    pub(crate) fn attach(&self, job: &Arc<LiveJob>) -> Option<Attachment> {
        let caller = job.take_caller(job.key_on_connection(), job.context.began)?;
        Some(Attachment::new(self.clone(), Arc::clone(job), caller))
    }

    /// Counts one more caller that waits for the answer of this run, of a call with this key on its connection; `None` where the
    /// work is being stopped.
    pub(crate) fn join(&self, job: &Arc<LiveJob>, call: Option<CallKey>) -> Option<Attachment> {
        let caller = job.take_caller(call, Instant::now())?;
        Some(Attachment::new(self.clone(), Arc::clone(job), caller))
    }
}

impl Attachment {
    /// A caller that the run counts already.
    pub(super) const fn new(jobs: LiveJobs, job: Arc<LiveJob>, caller: RunCaller) -> Self {
        Self { jobs, job, caller, is_settled: false }
    }

    /// The caller of the call that the run comes from, while no other one knows the run.
    pub(super) fn of_new_run(jobs: LiveJobs, job: &Arc<LiveJob>) -> Self {
        let caller = job.take_first_caller();
        Self::new(jobs, Arc::clone(job), caller)
    }

    /// The run.
    pub(crate) const fn job(&self) -> &Arc<LiveJob> {
        &self.job
    }

    /// The caller has the answer, or the ticket of the job.
    pub(crate) fn deliver(mut self) {
        self.is_settled = true;
        self.job.callers.release(&self.caller, true);
        self.jobs.forget_undelivered(&self.job);
    }

    /// The caller was asked a question, and may come back with the answer. Where callers share the run, this counts as
    /// delivered: the departure of another one must not stop the work before this one comes back.
    pub(crate) fn asked(mut self) {
        self.is_settled = true;
        self.job.callers.release(&self.caller, self.job.coalesces());
        self.jobs.forget_undelivered(&self.job);
    }

    /// The caller got an error that is none of the work's, and may try again. Its departure decides nothing.
    pub(crate) fn release(mut self) {
        self.is_settled = true;
        self.job.callers.release(&self.caller, false);
        self.jobs.forget_unawaited(&self.job);
    }

    /// The caller left without an answer. Where it was the last one, `how` decides; the caller of this method has to stop
    /// the work where the answer is [`Detach::Stop`].
    pub(crate) fn leave(mut self, how: Leave) -> Detach {
        self.is_settled = true;
        self.detach(how)
    }

    fn detach(&self, how: Leave) -> Detach {
        let detach = self.job.callers.leave(&self.caller, how);
        match detach {
            Detach::Nothing => self.jobs.forget_unawaited(&self.job),
            Detach::Keep => self.jobs.remember_undelivered(&self.job),
            Detach::Stop => {
                self.jobs.forget(&self.job);
                // Its call may be open, where an earlier caller waits that its client has given up.
                self.job.request_cancel();
            }
        }
        detach
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let keeps = self.job.site().is_none_or(|site| site.on_disconnect == OnDisconnect::Keep);
        let how = if keeps { Leave::Keep } else { Leave::Stop };
        if self.detach(how) == Detach::Stop
            && let Some(host) = self.job.context.host()
        {
            host.request_stop(self.job.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::call_site::CallSite;
    use crate::core::context::JobContext;
    use crate::core::local::Origin;

    static ALONE: CallSite = CallSite::new("saw").on_disconnect(OnDisconnect::Cancel);
    static SHARED: CallSite = CallSite::new("saw").coalesce();

    fn run(site: &'static CallSite) -> (LiveJobs, Arc<LiveJob>) {
        let origin = Origin { site, key: None, key_on_connection: None };
        let context = Arc::new(JobContext::new("saw", None));
        (LiveJobs::default(), LiveJob::new(context, Some(origin)))
    }

    #[test]
    fn the_departure_of_the_last_caller_decides() {
        let (jobs, job) = run(&ALONE);
        let (first, last) = (jobs.attach(&job).unwrap(), jobs.attach(&job).unwrap());
        assert_eq!(first.leave(Leave::Keep), Detach::Nothing);
        assert_eq!(last.leave(Leave::Stop), Detach::Stop);
        assert!(jobs.attach(&job).is_none(), "it is being stopped");
    }

    #[test]
    fn no_departure_stops_work_whose_ticket_a_caller_has() {
        let (jobs, job) = run(&ALONE);
        jobs.attach(&job).unwrap().deliver();
        assert_eq!(jobs.attach(&job).unwrap().leave(Leave::Stop), Detach::Nothing);
    }

    #[test]
    fn a_caller_that_was_asked_may_come_back_and_leave() {
        let (jobs, job) = run(&ALONE);
        jobs.attach(&job).unwrap().asked();
        assert_eq!(jobs.attach(&job).unwrap().leave(Leave::Stop), Detach::Stop);
        let (jobs, job) = run(&SHARED);
        jobs.attach(&job).unwrap().asked();
        assert_eq!(
            jobs.attach(&job).unwrap().leave(Leave::Stop),
            Detach::Nothing,
            "others share it"
        );
    }

    #[test]
    fn an_attachment_that_is_dropped_is_a_caller_that_was_disconnected() {
        let (jobs, job) = run(&ALONE);
        drop(jobs.attach(&job));
        assert!(job.is_to_be_cancelled());
        let (jobs, job) = run(&SHARED);
        drop(jobs.attach(&job));
        assert!(!job.is_to_be_cancelled());
    }
}
