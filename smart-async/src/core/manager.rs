//! The manager: the one thing that a server opens. It joins the reads of jobs ([`Jobs`]) with their execution.

mod builder;
mod default_folder;
mod open;
mod open_error;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::broadcast;

pub use self::builder::JobManagerBuilder;
pub use self::open_error::OpenError;
pub use crate::core::clock::WallClock;
use crate::core::context::{self, JobHost};
use crate::core::job::{
    Actor, InvalidStateName, JobId, JobOutput, JobPage, JobQuery, JobRecord, Prune, Timestamp,
};
use crate::core::jobs::Jobs;
pub use crate::core::jobs::{
    AnswerError, Cancelled, Error, JobChange, JobMetrics, RunTimeStatistics, SlotsInUse, State,
    StateError, WaitFor, Waited,
};
use crate::core::local::Local;
pub use crate::core::queue::load::{Load, LoadLimits, LoadSource};
pub use crate::core::runner::{Job, JobRequest, Retention, job_fn};
use crate::core::runner::{Runner, Settings};
use crate::core::store::{JobStore, Pruned};

/// Runs jobs and knows about them. Cheap to clone; all clones are the same manager.
///
/// A program needs one. It shares the folder of its records with other processes.
#[derive(Clone)]
pub struct JobManager {
    inner: Arc<Manager>,
}

struct Manager {
    jobs: Jobs,
    runner: Runner,
}

/// Whether jobs are safe at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether jobs outlive the process.
    pub durable: bool,
    /// The failure of the store, while it fails.
    pub store_error: Option<String>,
}

impl JobManager {
    fn new(store: Arc<dyn JobStore>, settings: Settings, cancel_answer: Duration) -> Self {
        let local = Arc::new(Local::new(store));
        let inner = Arc::new_cyclic(|inner: &Weak<Manager>| {
            let host = Arc::new(WeakManager(inner.clone()));
            Manager {
                jobs: Jobs::of(Arc::clone(&local), cancel_answer),
                runner: Runner::new(local, settings, host),
            }
        });
        Self { inner }
    }
}

/// The jobs and their execution.
impl JobManager {
    /// The jobs: reads, and requests to their owners.
    pub fn jobs(&self) -> &Jobs {
        &self.inner.jobs
    }

    /// The server whose jobs these are.
    pub fn server(&self) -> &str {
        self.inner.runner.server()
    }

    /// The store.
    pub fn store(&self) -> &dyn JobStore {
        self.inner.jobs.store()
    }

    /// Whether jobs are safe at the moment.
    pub fn health(&self) -> Health {
        Health { durable: self.store().is_durable(), store_error: self.inner.runner.store_error() }
    }

    /// See [`Jobs::subscribe`].
    pub fn subscribe(&self) -> broadcast::Receiver<JobChange> {
        self.inner.jobs.subscribe()
    }

    /// See [`Jobs::status`].
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        self.inner.jobs.status(id).await
    }

    /// See [`Jobs::status_with_result`].
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status_with_result(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        self.inner.jobs.status_with_result(id).await
    }

    /// See [`Jobs::result`].
    ///
    /// # Errors
    /// Those of [`Jobs::result`].
    pub async fn result(&self, id: JobId) -> Result<JobOutput, Error> {
        self.inner.jobs.result(id).await
    }

    /// See [`Jobs::list`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        self.inner.jobs.list(query).await
    }

    /// See [`Jobs::wait`].
    ///
    /// # Errors
    /// [`Error::NotFound`] where one of the jobs is not there, [`Error::Store`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only; the jobs run on.
    pub async fn wait(
        &self,
        ids: &[JobId],
        what: WaitFor,
        limit: Duration,
    ) -> Result<Waited, Error> {
        self.inner.jobs.wait(ids, what, limit).await
    }

    /// Stops a job for a client; see [`Jobs::cancel`].
    ///
    /// # Errors
    /// Those of [`Jobs::cancel`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only; the job is stopped all the same once this was polled.
    pub async fn cancel(&self, id: JobId) -> Result<Cancelled, Error> {
        self.inner.jobs.cancel(id, Actor::Client(None)).await
    }

    /// Answers a question of a job for a client; see [`Jobs::answer`].
    ///
    /// # Errors
    /// [`AnswerError`]; then the question was not answered by this call.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only; the question may be answered all the same.
    pub async fn answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        self.inner.jobs.answer(id, key, answer, Actor::Client(None)).await
    }

    /// See [`Jobs::prune`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        self.inner.jobs.prune(prune).await
    }

    /// See [`Jobs::state`].
    ///
    /// # Errors
    /// [`InvalidStateName`] where this can be no name of a state.
    pub fn state<T: DeserializeOwned>(&self, field: &str) -> Result<State<T>, InvalidStateName> {
        self.inner.jobs.state(field)
    }

    /// Runs `work` as a job. Its record is on disk, as `pending`, when this returns.
    ///
    /// # Errors
    /// [`Error::Store`] with [`StoreError::Duplicate`](crate::store::StoreError::Duplicate) where a job of this id is there
    /// already; [`Error::Stopping`]; [`Error::NotDurable`]; [`Error::Store`] where the record cannot be written. The work is
    /// not started then.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a job that is written and starts. Only a caller that chose the id knows it.
    pub async fn submit(&self, request: JobRequest, work: impl Job) -> Result<JobId, Error> {
        self.inner.runner.submit(request, work).await
    }

    /// Ends the manager: takes no new work from now on, gives jobs and open calls a moment to end by themselves (2
    /// seconds, see [`drain_grace`](JobManagerBuilder::drain_grace)), and writes down the rest: as `failed`, `interrupted`,
    /// with their last progress; or as `pending`, where the tool says that its calls may run again, once the work has stopped.
    /// Everything is on disk when it returns.
    ///
    /// Ending twice is no error.
    ///
    /// # Errors
    /// [`Error::StillRunning`] where work did not stop within 5 seconds, with the names of its tools and jobs.
    /// [`Error::NotDurable`] or [`Error::Store`] where something could not be written, with the number of jobs whose ends were
    /// not. Another process accounts for both once this one has ended. Return the error from `main`, so that the process exits
    /// with a code other than zero.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the manager without new work and the jobs running.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.inner.runner.shutdown().await
    }
}

/// For calls and for the protocol.
impl JobManager {
    /// The execution of the jobs.
    pub(crate) fn runner(&self) -> &Runner {
        &self.inner.runner
    }

    /// Requests that a job stops, without waiting for its end; see [`Runner::request_stop`].
    pub(crate) fn request_stop(&self, id: JobId) {
        self.inner.runner.request_stop(id, self.inner.jobs.clone());
    }

    /// The manager of the work that this code runs in.
    pub(crate) fn of_current_work() -> Option<Self> {
        let host: Arc<dyn Any + Send + Sync> = context::current_host()?;
        host.downcast_ref::<WeakManager>()?.upgrade()
    }
}

/// A reference that does not keep the manager alive, for the jobs that run in it.
struct WeakManager(Weak<Manager>);

impl WeakManager {
    fn upgrade(&self) -> Option<JobManager> {
        self.0.upgrade().map(|inner| JobManager { inner })
    }
}

impl JobHost for WeakManager {
    fn now(&self) -> Option<Timestamp> {
        self.upgrade().map(|manager| manager.jobs().now())
    }

    fn keep_alive(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self.0.upgrade()?)
    }

    fn request_stop(&self, id: JobId) {
        if let Some(manager) = self.upgrade() {
            manager.request_stop(id);
        }
    }
}

impl fmt::Debug for JobManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobManager").field("store", &self.store()).finish_non_exhaustive()
    }
}
