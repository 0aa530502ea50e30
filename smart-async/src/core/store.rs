//! Where job records are kept: the trait that every store fulfils, its errors, and the two stores that come with
//! the crate.
//!
//! A store keeps records and guards their transitions. It runs nothing. Its clock is the one by which records are dated, so that
//! the processes which share a store agree on the time.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "conformance")]
pub mod faults;
mod journal;
mod memory;
mod news;
mod shielded;
mod table;
mod transaction;
mod usual_run;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub use error::StoreError;
pub use journal::JournalStore;
pub use memory::MemoryStore;
pub use news::{News, NewsStream};
pub(in crate::core) use shielded::ShieldedStore;
pub use usual_run::UsualRun;

pub use crate::core::job::HydratedState;
use crate::core::job::{
    Change, ClaimQuery, JobEvent, JobId, JobPage, JobQuery, JobRecord, OwnerId, ProgressReport,
    Prune, ResultPage, StateName, Timestamp,
};
use crate::core::{clock, env_vars};

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
    /// Keeps a new job, and gives it its number ([`JobRecord::sequence`]): higher than that of every job and of every end that
    /// was kept before, whichever process kept it. One that has ended already gets [`JobRecord::end_sequence`] as well.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] where a job of this id is there already; else [`StoreError::KeyTaken`] where another one
    /// [holds the key](JobRecord::holds_key) of this one, or [`StoreError::KeysFull`] where it has a key and the store keeps no
    /// more of them. A call that has let its key go ([`JobRecord::call_open`]) is removed in the same write.
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>>;

    /// Applies `change` to the job, and returns it as it is then. An end gets its number ([`JobRecord::end_sequence`]). Where the change carries a state, the store makes that the
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

    /// A part of the text of the outcome of an ended job, as [`ResultPage::of`] cuts it. `None` where there is no such job, where it
    /// has not ended, or where its result is lost.
    ///
    /// The provided method reads the whole result.
    fn result_page(
        &self,
        id: JobId,
        offset: u64,
        max_bytes: usize,
    ) -> StoreFuture<'_, Option<ResultPage>> {
        Box::pin(async move {
            let job = self.get_with_result(id).await?;
            let job = job.filter(|job| !job.result_location.is_in_file());
            Ok(job.and_then(|job| ResultPage::of(&job, offset, max_bytes)))
        })
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

    /// The jobs that `query` asks for, newest first. They are counted only where the query asks for that
    /// ([`JobQuery::with_total`]).
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

    /// The jobs of `server`, or of all servers, that have not ended and have no owner that lives.
    fn abandoned(&self, server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>>;

    /// How long the tools of `server` usually take, by their newest completed runs.
    ///
    /// The provided method reads the newest 1,000 completed jobs.
    fn usual_runs(&self, server: String) -> StoreFuture<'_, Vec<UsualRun>> {
        Box::pin(async move {
            let page = self.list(UsualRun::query(server)).await?;
            Ok(UsualRun::of(page.jobs.iter().map(|job| &**job)))
        })
    }

    /// The news of this store from now on: each change that a process makes to it, this one or another. `None` where the store
    /// has none; readers look at it from time to time then.
    ///
    /// A store may do work for as long as such a stream is there, as to look for the changes of other processes. The provided
    /// method has no news.
    fn news(&self) -> Option<NewsStream> {
        None
    }

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

    /// The present time, by which records are dated. The provided method reads the system's clock.
    fn now(&self) -> Timestamp {
        clock::now()
    }

    /// The name under which this process marks the jobs that it runs. A store takes the name where other processes can see it
    /// with the first job, or large result, that this process writes, so a process that only reads has none.
    fn owner(&self) -> OwnerId;

    /// The size of the largest result that the store keeps, in bytes of JSON. The runner lets a job fail whose result is larger, and
    /// leaves larger details of a failure out; a result that is not stored is as large as it is.
    /// `None`, as by the provided method, where the store has no limit.
    fn max_result_bytes(&self) -> Option<u64> {
        None
    }

    /// Why the store takes no changes at the moment, where it knows that by itself. The provided method knows of nothing.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Returns whether the jobs of this store outlive the process.
    fn is_durable(&self) -> bool;

    /// Brings everything to rest and gives up the name: jobs of this owner that have not ended count as abandoned
    /// from then on.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// The size of the largest result that the stores of this crate keep: as the operator's variable says, else 64 MiB.
fn max_result_bytes() -> u64 {
    const DEFAULT: u64 = 64 * 1024 * 1024;
    env_vars::bytes(&env_vars::process, env_vars::MAX_RESULT_BYTES).unwrap_or(DEFAULT)
}

/// The most idempotency keys that the stores of this crate keep, and the most bytes of answers for them: as the operator's
/// variables say, else 10,000 and 64 MiB.
fn key_limits() -> (usize, u64) {
    const DEFAULT: (usize, u64) = (10_000, 64 * 1024 * 1024);
    let keys = env_vars::count(&env_vars::process, env_vars::MAX_KEYS).unwrap_or(DEFAULT.0);
    let bytes = env_vars::bytes(&env_vars::process, env_vars::MAX_KEY_BYTES).unwrap_or(DEFAULT.1);
    (keys, bytes)
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
