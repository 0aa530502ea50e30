//! Reads of jobs, and requests about them, over a store. Nothing here runs a job.

mod answer;
mod cancel;
mod change_signal;
mod error;
mod keyed;
mod list;
mod lost;
mod metrics;
mod prune;
mod state;
mod status;
mod wait;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

pub use self::answer::AnswerError;
pub(crate) use self::cancel::CancelRequest;
pub use self::cancel::Cancelled;
pub use self::error::Error;
pub use self::metrics::{JobMetrics, RunTimeStatistics, SlotsInUse};
pub use self::state::{State, StateError};
pub(crate) use self::status::why_gone;
pub use self::wait::{WaitFor, Waited};
pub(crate) use self::watch::JobWatcher;
use crate::core::job::{JobId, JobRecord, JobScope, Timestamp};
pub use crate::core::local::JobChange;
pub(crate) use crate::core::local::ReadPin;
use crate::core::local::{Local, OpenWait, WAITS};
use crate::core::store::{JobStore, JournalStore, ShieldedStore, StoreError};

/// For how long [`Jobs::cancel`] waits for the work to stop, unless the manager sets another time.
pub(in crate::core) const CANCEL_ANSWER: Duration = Duration::from_secs(10);

/// The jobs of a store: their records, and requests to their owners. Cheap to clone; all clones are the same.
///
/// It runs no job, accounts for none and sweeps none away, so a command or a web page can use it beside the servers whose jobs
/// these are. A live job whose owner has died is shown as its server will find it at the next start: as `failed`
/// (`interrupted`), as `cancelled`, or as `pending` where it waits to run again. The record itself stays as it is.
///
/// A server gets its own from [`JobManager::jobs`](crate::JobManager::jobs); that one also accounts for the jobs of its server
/// that a dead process left behind.
#[derive(Clone)]
pub struct Jobs {
    local: Arc<Local>,
    /// For how long `cancel` waits for the work to stop.
    cancel_answer: Duration,
}

impl Jobs {
    /// Opens the jobs of a folder.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be used.
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self::of_store(JournalStore::open(folder.into()).await?))
    }

    /// The jobs of a store of the program's own. Where the store panics, that counts as a failure of the store.
    pub fn over(store: impl JobStore) -> Self {
        Self::of_store(ShieldedStore::new(store))
    }

    fn of_store(store: impl JobStore) -> Self {
        Self::of(Arc::new(Local::new(Arc::new(store))), CANCEL_ANSWER)
    }

    pub(in crate::core) const fn of(local: Arc<Local>, cancel_answer: Duration) -> Self {
        Self { local, cancel_answer }
    }

    /// The store.
    pub fn store(&self) -> &dyn JobStore {
        &*self.local.store
    }

    /// Receives every change of a job's status that this process makes from now on. A receiver that falls more than 1,024
    /// changes behind loses the oldest, and learns that it did.
    pub fn subscribe(&self) -> broadcast::Receiver<JobChange> {
        self.local.events.subscribe()
    }

    /// The present time, by the clock of the records.
    pub(crate) fn now(&self) -> Timestamp {
        self.local.now()
    }

    /// The moment that lies `elapsed` before now, by the clock of the records.
    pub(crate) fn ago(&self, elapsed: Duration) -> Timestamp {
        self.local.ago(elapsed)
    }

    /// Keeps jobs from being pruned by this process, until the pin is dropped.
    pub(crate) fn pin(&self, ids: &[JobId]) -> ReadPin {
        self.local.pin(ids)
    }

    /// Counts one wait or stream of a client until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::TooManyWaits`].
    pub(crate) fn open_wait(&self, client: Option<JobScope>) -> Result<OpenWait, Error> {
        self.local.open_waits.open(client).ok_or(Error::TooManyWaits(WAITS))
    }

    /// The time after which it makes sense to ask for a job of `tool` again, in whole seconds from 2 to 30: a tenth of the
    /// tool's usual run, or a quarter of the time that this run has taken where the usual one is not known.
    pub(crate) fn poll_after(&self, tool: &str, elapsed: Duration) -> u64 {
        let advice = self.usual_run(tool).map_or(elapsed / 4, |usual| usual / 10);
        advice.as_secs().clamp(2, 30)
    }

    /// For how long a job has run, or ran. Of a job of this process, no change of the wall clock moves it. For a live job of another
    /// process the wall clock is all that both have: its start was dated before a jump or after it, so that of the times with and
    /// without the jumps the smaller one counts that is possible at all.
    pub(crate) fn elapsed(&self, job: &JobRecord) -> Option<Duration> {
        let live = self.local.live.get(job.id).filter(|_| job.state.started_at().is_some());
        let measured = live.filter(|_| !job.status().is_terminal()).and_then(|live| live.ran());
        let dated = self.local.now_with_and_without_jumps().map(|now| job.elapsed(now));
        measured.or_else(|| dated.into_iter().flatten().min())
    }

    /// The median of the tool's last 20 completed runs.
    pub(crate) fn usual_run(&self, tool: &str) -> Option<Duration> {
        self.local.run_times.usual(tool)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("store", &self.local.store).finish_non_exhaustive()
    }
}
