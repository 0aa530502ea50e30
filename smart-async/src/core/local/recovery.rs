//! Jobs whose owner has died: how such a job goes on is decided here, for the runner that accounts for it in the store and for
//! a reader that only shows it.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::core::job::{
    Actor, Change, FailureKind, JobEvent, JobFailure, JobId, JobRecord, Timestamp,
};

/// A runner that accounts for the jobs of its server which dead owners left behind. Readers come across such jobs, and cannot
/// name the runner, which stands above them.
pub(in crate::core) trait LostJobs: Send + Sync {
    /// The server whose jobs the runner accounts for.
    fn server(&self) -> &str;

    /// Waits until the first recovery is done.
    fn ready(&self) -> BoxFuture<'_, ()>;

    /// Accounts for jobs that were lost since. Returns those whose records have changed.
    fn recover(&self) -> BoxFuture<'_, Vec<JobId>>;

    /// Does the same in the background.
    fn look_for_lost(self: Arc<Self>);

    /// Takes on, in the background, jobs that wait for this server.
    fn look_for_waiting(&self);
}

/// The change by which a job goes on whose owner has died: it has failed, is cancelled, or waits to run again. A store refuses
/// it where another process was faster.
pub(in crate::core) fn recovered(job: &JobRecord, at: Timestamp) -> Change {
    let reason = "the server that ran this job ended before the work did";
    let failure = JobFailure::new(FailureKind::Interrupted, reason);
    Change::new(JobEvent::Interrupt(failure), at).by(Actor::System).owned_by(job.owner)
}
