//! Where job records are kept: the trait that every store fulfils, its errors, and the two stores that come with
//! the crate.
//!
//! A store keeps records and guards their transitions. It runs nothing, and decides nothing about time: what
//! happened, and when, comes from the manager.

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
pub mod faults;
mod journal;
mod memory;
mod table;
mod transaction;

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

pub use journal::JournalStore;
pub use memory::MemoryStore;

pub use crate::core::job::HydratedState;
use crate::core::job::{
    Change, ClaimQuery, IllegalTransition, JobEvent, JobId, JobPage, JobQuery, JobRecord, OwnerId,
    ProgressReport, Prune, Refusal, StateName,
};

/// The return type of a store's methods: a boxed future, so that `dyn JobStore` can be had.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A keeper of job records.
///
/// The rules of every store:
///
/// - When a method that changes something returns `Ok`, the change survives whatever the store promises to survive.
///   When it returns an error, nothing has changed; where a store cannot be sure of that (its disk failed twice), its
///   documentation says what may stand.
/// - Every change goes through [`JobRecord::apply`] on the newest record, under the store's own lock: two changes at
///   once are applied one after the other, and the second sees the first.
/// - A record that has ended never changes again, and only [`prune`](Self::prune) removes it.
/// - What one process changed, the others that share the store see; nothing removed comes back.
///
/// # Cancel safety
/// Dropping a future that changes something stops the waiting only: the change may still be made.
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a new job.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] where a job of this id is there already.
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>>;

    /// Applies `change` to the job, and returns it as it is then. Where the change carries a state, the store makes that the
    /// value of its state in the same write, where it replaces the present value: both happen, or neither.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Illegal`] where the job's state does not allow the change.
    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>>;

    /// The job, if it is there.
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>>;

    /// The job as [`get`](Self::get) finds it, and with what it ended with, however large that is.
    ///
    /// A store may keep large results apart. Then what its other methods return says so in
    /// [`JobRecord::result_location`], and lacks the result; what this returns holds it, and says that. One that says
    /// otherwise still, has lost its result.
    fn get_with_result(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.get(id)
    }

    /// The jobs of these ids, in the order asked; those that are not there are left out.
    ///
    /// The provided method asks for one after the other.
    fn get_many(&self, ids: Vec<JobId>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        Box::pin(async move {
            let mut jobs = Vec::with_capacity(ids.len());
            for id in ids {
                jobs.extend(self.get(id).await?);
            }
            Ok(jobs)
        })
    }

    /// The jobs that `query` asks for, newest first.
    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage>;

    /// Gives waiting jobs that are due to this owner, at most as many as the query says: those of the highest priority, and
    /// of these the oldest. Each is given out once, under a claim of its own ([`JobRecord::claim`]), and leaves its queue in
    /// the same write.
    fn claim(&self, query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>>;

    /// Stores the progress of many jobs of this owner. Returns the ids of those that refused it: jobs that have ended, that
    /// belong to another owner by now, or that are gone.
    ///
    /// The provided method stores one after the other.
    fn record_progress(&self, reports: Vec<ProgressReport>) -> StoreFuture<'_, Vec<JobId>> {
        Box::pin(async move {
            let mut refused = Vec::new();
            for ProgressReport { id, progress, at } in reports {
                let change = Change::new(JobEvent::Progress, at)
                    .with_progress(Some(progress))
                    .owned_by(Some(self.owner()));
                match self.update(id, change).await {
                    Ok(_) => {}
                    Err(error) if error.is_transient() => return Err(error),
                    Err(_) => refused.push(id),
                }
            }
            Ok(refused)
        })
    }

    /// Removes the ended jobs that `prune` names.
    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned>;

    /// Removes a job, whatever its state, whose id has never left the process: the call that was about to become
    /// this job ended after all. Removing what is not there is no error.
    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()>;

    /// The jobs of `server` that have not ended and have no owner that lives.
    fn abandoned(&self, server: String) -> StoreFuture<'_, Vec<Arc<JobRecord>>>;

    /// Makes a completion the value of its state, where [`HydratedState::replaces`] says that it replaces the present value
    /// by the store's time; returns whether it does. To put the same completion again changes nothing.
    ///
    /// This is for a call that ended without becoming a job. A job's end carries its state in [`Change::state`].
    ///
    /// A state belongs to no job: it stays when its job is removed.
    fn put_state(&self, state: HydratedState) -> StoreFuture<'_, bool>;

    /// The value of a state, if it has one. As long as the state has not changed, the answer is the same `Arc`.
    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>>;

    /// The present value of each state, with the completion that it comes from.
    fn states(&self) -> StoreFuture<'_, Vec<Arc<HydratedState>>>;

    /// The name under which this process marks the jobs that it runs.
    fn owner(&self) -> OwnerId;

    /// Returns whether the jobs of this store outlive the process.
    fn is_durable(&self) -> bool;

    /// Brings everything to rest and gives up the name: jobs of this owner that have not ended count as abandoned
    /// from then on.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// The outcome of [`JobStore::prune`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// How many jobs it removed.
    pub removed: usize,
    /// How many jobs are left, of the server and the client that it was asked about, or of all.
    pub remaining: usize,
}

impl Pruned {
    /// Says what was done.
    pub const fn new(removed: usize, remaining: usize) -> Self {
        Self { removed, remaining }
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A job of this id is there already.
    #[error("there is a job {0} already")]
    Duplicate(JobId),
    /// There is no such job; it never was, or it was pruned.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// The job's state does not allow the change.
    #[error("job {id}: {source}")]
    Illegal {
        /// The job.
        id: JobId,
        /// The refused transition.
        source: IllegalTransition,
    },
    /// Another process owns the job by now, or it is under another claim: the change was meant for an earlier run.
    #[error("job {0} belongs to another owner by now")]
    NotOwner(JobId),
    /// The operating system refused a step; it may succeed another time.
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// The step that failed, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The error of the system.
        source: Arc<std::io::Error>,
    },
    /// The store does not know what of a failed write is on disk, and refuses changes until it has recovered, by itself.
    #[error("the job store has stopped after a failed write, and is trying to recover: {reason}")]
    Stopped {
        /// The failure.
        reason: Arc<Self>,
        /// Whether the refused change may stand all the same. A caller learns that by reading, once the store has recovered.
        in_doubt: bool,
    },
    /// The file was written by a later version of this library, and is left alone.
    #[error(
        "{} was written by a later version of smart-async (format {found}, this one knows up to {known}); \
         update this server, or name another folder with JOB_MCP_HOME",
        path.display()
    )]
    LaterVersion {
        /// The file.
        path: PathBuf,
        /// The version it says.
        found: u64,
        /// The newest version that is known here.
        known: u64,
    },
    /// The folder cannot be used, and will not be without a person's help.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The store has been closed.
    #[error("the job store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// The error for a change that the record of this job refused.
    pub(crate) const fn refused(id: JobId, refusal: Refusal) -> Self {
        match refusal {
            Refusal::Illegal(source) => Self::Illegal { id, source },
            Refusal::NotOwner => Self::NotOwner(id),
        }
    }

    pub(crate) fn stopped(reason: &Self, in_doubt: bool) -> Self {
        Self::Stopped { reason: Arc::new(reason.clone()), in_doubt }
    }

    /// Returns whether the same request may succeed another time.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Io { .. }
                | Self::Stopped { .. }
                | Self::LaterVersion { .. }
                | Self::Unusable { .. }
        )
    }

    /// Returns whether the refused change may stand all the same. Once the store has recovered, the caller learns that by
    /// reading.
    pub const fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Stopped { in_doubt: true, .. })
    }
}
