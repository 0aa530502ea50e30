//! Coalescing: calls that share one run. The first call starts the run, and the same call finds it from its very beginning,
//! before it is a job and also where it never becomes one.

use std::sync::Arc;

use super::active::{LiveJob, LiveJobs, Origin};
use super::attachments::Attachment;
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
        // The call that starts the run is counted before another one can find it.
        job.take_caller();
        if let Some(shared) = self.find_or_share(&job) {
            return Err(Attachment::new(self.clone(), shared));
        }
        let attachment = Attachment::new(self.clone(), Arc::clone(&job));
        Ok((Arc::new(SharedRun { jobs: self.clone(), job }), attachment))
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
