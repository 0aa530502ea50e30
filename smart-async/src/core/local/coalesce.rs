//! Calls that share one run (`coalesce`): the first of them leads, and the same call finds it from its very beginning,
//! before there is a job and where none ever comes of it.

use std::fmt;
use std::sync::Arc;

use super::active::{LiveJob, Origin};
use crate::core::context::JobContext;
use crate::core::job::JobEvent;
use crate::core::manager::JobManager;

/// The call that runs what others share. Whatever may still make a job of it holds this; when the last of them is gone,
/// and there is no job, nothing comes any more, and those who wait are told so.
pub(crate) struct Lead {
    manager: JobManager,
    live: Arc<LiveJob>,
}

impl JobManager {
    /// Takes the lead in a call, unless the same call runs already: then its work is returned, and counts one more
    /// who waits. Of those who come at once, exactly one leads.
    pub(crate) fn lead(
        &self,
        origin: Origin,
        context: &Arc<JobContext>,
    ) -> Result<Arc<Lead>, Arc<LiveJob>> {
        let live = LiveJob::new(Arc::clone(context), Some(origin));
        self.live().lead(&live)?;
        Ok(Arc::new(Lead { manager: self.clone(), live }))
    }
}

impl Lead {
    /// The work, as others find it.
    pub(crate) const fn live(&self) -> &Arc<LiveJob> {
        &self.live
    }

    /// The call was answered without becoming a job: those who share it get the same.
    pub(crate) fn answered(&self, ending: &JobEvent) {
        let jobs = self.manager.live();
        // Of a job, its supervisor says how it ended.
        if !jobs.holds(&self.live) && !self.live.has_ended() {
            self.live.ends_with(ending);
            jobs.forget(&self.live);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.answered(&JobEvent::Cancel);
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lead").field(&self.live).finish()
    }
}
