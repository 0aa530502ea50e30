//! Jobs whose owner has died: how such a job goes on is decided here, for the runner that accounts for it in the store and for
//! a reader that only shows it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::core::job::{
    Actor, Change, FailureKind, JobEvent, JobFailure, JobId, JobRecord, JobStatus, OwnerId,
    Timestamp,
};
use crate::core::sync::Mutex;

/// A runner that accounts for the jobs of its server which dead owners left behind. Readers come across such jobs, and cannot
/// name the runner, which stands above them.
pub(in crate::core) trait LostJobs: Send + Sync {
    /// The server whose jobs the runner accounts for.
    fn server(&self) -> &str;

    /// Waits until the runner knows which owners have died: from then on their jobs can be shown as recovery will leave them.
    fn ready(self: Arc<Self>) -> BoxFuture<'static, ()>;

    /// Waits until the first recovery is done.
    fn recovered(&self) -> BoxFuture<'_, ()>;

    /// Returns whether the first recovery is under way.
    fn is_recovering(&self) -> bool;

    /// Accounts for jobs that were lost since. Returns those whose records have changed. While the first recovery is under way it
    /// only looks for owners that have died.
    fn recover(&self) -> BoxFuture<'_, Vec<JobId>>;

    /// Does the same in the background.
    fn look_for_lost(self: Arc<Self>);

    /// Takes on, in the background, jobs that wait for this server.
    fn look_for_waiting(&self);
}

/// The owners that the runner found dead, and when it did. The name of an owner is used by one process only, so that a dead owner
/// stays dead.
#[derive(Debug, Default)]
pub(in crate::core) struct DeadOwners(Mutex<HashMap<OwnerId, Timestamp>>);

impl DeadOwners {
    /// Takes note of the owners of jobs that a store calls abandoned.
    pub(in crate::core) fn add_owners_of(&self, abandoned: &[Arc<JobRecord>], at: Timestamp) {
        let mut owners = self.0.lock();
        for owner in abandoned.iter().filter_map(|job| job.owner) {
            owners.entry(owner).or_insert(at);
        }
    }

    /// When the owner of a job was found dead.
    pub(in crate::core) fn found_at(&self, job: &JobRecord) -> Option<Timestamp> {
        self.0.lock().get(&job.owner?).copied()
    }

    /// The job as recovery will leave it, where its owner is dead and the job has not ended.
    pub(in crate::core) fn shown(&self, job: &JobRecord) -> Option<Arc<JobRecord>> {
        if job.status().is_terminal() {
            return None;
        }
        let at = self.found_at(job)?;
        job.apply(recovered(job, at)).ok().map(Arc::new)
    }
}

/// The change by which a job goes on whose owner has died: it has failed, is cancelled, or waits to run again. A store refuses
/// it where another process was faster.
pub(in crate::core) fn recovered(job: &JobRecord, at: Timestamp) -> Change {
    let reason = match job.status() {
        _ if job.call_open => {
            "the server that ran this call ended before its answer was kept; the work may be done, or done in part"
        }
        JobStatus::Pending => "the server that was to run this job ended before the work began",
        _ => "the server that ran this job ended before the work did",
    };
    let failure = JobFailure::new(FailureKind::Interrupted, reason);
    Change::new(JobEvent::Interrupt(failure), at).by(Actor::System).owned_by(job.owner)
}
