//! Everything about its jobs that only this process knows: which of them run here, which callers and readers they have, and
//! the parts of their results that the store may not have. Readers ([`Jobs`](crate::jobs::Jobs)) and the runner share it.

pub(in crate::core) mod active;
mod attachments;
mod callers;
mod coalesce;
mod events;
mod health;
mod looks;
mod pins;
mod quota;
mod recovery;
pub(in crate::core) mod redaction;
mod run_times;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(crate) use self::active::{LiveJob, LiveJobs, Origin};
pub(crate) use self::attachments::Attachment;
pub(crate) use self::callers::{Detach, LONG_OPEN, Leave};
pub(crate) use self::coalesce::SharedRun;
pub use self::events::JobChange;
use self::events::JobEvents;
use self::health::StoreHealth;
use self::looks::SharedLooks;
pub(in crate::core) use self::looks::{Need, TICK};
use self::pins::Pins;
pub(crate) use self::pins::ReadPin;
pub(crate) use self::quota::OpenWait;
use self::quota::OpenWaits;
pub(in crate::core) use self::quota::WAITS;
pub(in crate::core) use self::recovery::{DeadOwners, LostJobs, recovered};
use self::redaction::WithheldOutputs;
use self::run_times::RunTimes;
use crate::core::clock;
use crate::core::job::{Change, JobEvent, JobId, JobRecord, JobStatus, Timestamp};
use crate::core::observe;
use crate::core::store::{JobStore, StoreError};

/// A store, and the knowledge of this process about its jobs.
pub(crate) struct Local {
    pub(in crate::core) store: Arc<dyn JobStore>,
    /// One moment by the clock of the records and by the runtime's.
    opened: (Timestamp, Instant),
    /// The jobs that run in this process.
    pub(in crate::core) live: LiveJobs,
    /// The jobs that code of this process is about to read.
    pub(in crate::core) pins: Pins,
    /// The parts of ends that the store may not have.
    pub(in crate::core) withheld: WithheldOutputs,
    pub(in crate::core) run_times: RunTimes,
    pub(in crate::core) events: JobEvents,
    health: StoreHealth,
    is_owner_lost: AtomicBool,
    /// Calls that are open, jobs that run, and writes in the background: everything that a shutdown waits for.
    pub(in crate::core) in_flight: TaskTracker,
    lost_jobs: OnceLock<Weak<dyn LostJobs>>,
    pub(in crate::core) dead_owners: DeadOwners,
    /// The looks at the jobs that are watched.
    pub(in crate::core) looks: SharedLooks,
    /// The waits that clients have open.
    pub(in crate::core) open_waits: OpenWaits,
    /// How many more large results may be read at the same time.
    pub(in crate::core) result_reads: Semaphore,
}

/// How many large results are read at the same time at most; the others wait. A reader of a whole one holds several times its
/// size in memory.
const RESULT_READS: usize = 4;

impl Local {
    pub(in crate::core) fn new(store: Arc<dyn JobStore>) -> Self {
        let in_flight = TaskTracker::new();
        Self {
            opened: (store.now(), Instant::now()),
            store,
            live: LiveJobs::new(in_flight.clone()),
            pins: Pins::default(),
            withheld: WithheldOutputs::default(),
            run_times: RunTimes::default(),
            events: JobEvents::default(),
            health: StoreHealth::default(),
            is_owner_lost: AtomicBool::new(false),
            in_flight,
            lost_jobs: OnceLock::new(),
            dead_owners: DeadOwners::default(),
            looks: SharedLooks::default(),
            open_waits: OpenWaits::default(),
            result_reads: Semaphore::new(RESULT_READS),
        }
    }

    /// The present time. Every time in a record comes from here.
    pub(in crate::core) fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// The present time by the clock of the records, and by it as it was when this process opened the store: they differ by the
    /// jumps since.
    pub(in crate::core) fn now_with_and_without_jumps(&self) -> [Timestamp; 2] {
        let (then, opened) = self.opened;
        [self.now(), clock::after(then, opened.elapsed())]
    }

    /// The moment that lies `elapsed` before now; the beginning of time where that is longer ago.
    pub(in crate::core) fn ago(&self, elapsed: Duration) -> Timestamp {
        clock::before(self.now(), elapsed)
    }

    /// Counts something among the work that a shutdown waits for, until the token is dropped.
    pub(in crate::core) fn in_flight(&self) -> TaskTrackerToken {
        self.in_flight.token()
    }

    /// Keeps jobs from being pruned by this process, until the pin is dropped.
    pub(in crate::core) fn pin(&self, ids: &[JobId]) -> ReadPin {
        self.pins.pin(ids)
    }

    /// Lets the runner account for the jobs that dead owners left behind.
    pub(in crate::core) fn set_lost_jobs(&self, runner: Weak<dyn LostJobs>) {
        let _ = self.lost_jobs.set(runner);
    }

    /// The runner of this process, where it has one that accounts for the jobs of dead owners.
    pub(in crate::core) fn lost_jobs(&self) -> Option<Arc<dyn LostJobs>> {
        self.lost_jobs.get()?.upgrade()
    }

    /// Waits until the runner knows which owners have died, so that the jobs that an earlier process of its server left behind are
    /// shown as recovery leaves them. Without a runner there is nothing to wait for.
    pub(in crate::core) async fn ready(&self) {
        if let Some(runner) = self.lost_jobs() {
            runner.ready().await;
        }
    }

    /// A change that the owner of a job makes. A store refuses it where another process has taken the job over.
    pub(in crate::core) fn own_change(&self, event: JobEvent) -> Change {
        Change::new(event, self.now()).owned_by(Some(self.store.owner()))
    }

    /// Applies a change, and takes note of whether the store works.
    pub(in crate::core) async fn update(
        &self,
        id: JobId,
        change: Change,
    ) -> Result<Arc<JobRecord>, StoreError> {
        self.observed(self.store.update(id, change).await)
    }

    /// Takes note of whether the store works, as the outcome of a write shows it.
    pub(in crate::core) fn observed<T>(
        &self,
        write: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.health.observe(write.as_ref().err());
        if matches!(write, Err(StoreError::OwnerLost)) {
            self.owner_lost();
        }
        write
    }

    /// This process counts as dead to the store: the supervisors of its jobs stop the work and write nothing more.
    fn owner_lost(&self) {
        self.is_owner_lost.store(true, Ordering::SeqCst);
        for live in self.live.all() {
            live.set_taken_over();
        }
    }

    /// Returns whether this process counts as dead to the store.
    pub(in crate::core) fn is_owner_lost(&self) -> bool {
        self.is_owner_lost.load(Ordering::SeqCst)
    }

    /// The failure of the store, while it fails.
    pub(in crate::core) fn store_error(&self) -> Option<String> {
        self.store.trouble().or_else(|| self.health.store_error())
    }

    /// Publishes that a job's record has changed, and remembers how long a job ran that completed.
    pub(in crate::core) fn announce(&self, job: &JobRecord) {
        observe::debug!(job_id = %job.id, tool = %job.spec.tool, status = %job.status(), "job changed");
        self.events.publish(job);
        if job.status() == JobStatus::Completed
            && let Some(ran) = job.elapsed(self.now())
        {
            self.run_times.remember(&job.spec.tool, ran);
        }
    }
}
