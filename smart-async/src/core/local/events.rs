//! The changes of jobs, as this process publishes them.

use tokio::sync::broadcast;

use crate::core::job::{JobId, JobRecord, JobStatus};

/// How many changes a slow receiver may fall behind before it loses the oldest.
const CAPACITY: usize = 1024;

/// A change of a job's status; see [`Jobs::subscribe`](crate::jobs::Jobs::subscribe).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobChange {
    /// The job.
    pub id: JobId,
    /// Its status from now on.
    pub status: JobStatus,
}

#[derive(Debug)]
pub(in crate::core) struct JobEvents(broadcast::Sender<JobChange>);

impl Default for JobEvents {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl JobEvents {
    pub(super) fn publish(&self, job: &JobRecord) {
        // An error only means that there is no receiver.
        let _ = self.0.send(JobChange { id: job.id, status: job.status() });
    }

    pub(in crate::core) fn subscribe(&self) -> broadcast::Receiver<JobChange> {
        self.0.subscribe()
    }
}
