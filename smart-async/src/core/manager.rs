//! The manager: what runs as a job, who waits for it, who stops it, and the store behind all that.
//!
//! A job's truth is its record in the store. The manager adds what only the process that runs it can have: the running
//! body, its progress of this very moment, and those who wait.

mod builder;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, broadcast};
use tokio_util::sync::CancellationToken;

use self::builder::Settings;
pub use self::builder::{JobManagerBuilder, OpenError, Retention};
use crate::core::clock;
use crate::core::context::{self, JobHost};
use crate::core::job::{JobEvent, JobId, JobRecord, JobStatus};
pub use crate::core::jobs::{AnswerError, Cancelled, Error, State, StateError, WaitFor, Waited};
use crate::core::local::pins::{Readers, Reading};
use crate::core::local::redaction::KeptBack;
use crate::core::local::run_times::History;
use crate::core::local::{LiveJob, LiveJobs};
use crate::core::runner::open_calls::{OpenCallGuard, OpenCalls};
use crate::core::runner::rerun::Servers;
pub use crate::core::runner::{Job, JobRequest, job_fn};
use crate::core::runner::{recover, sigterm};
use crate::core::spawn::try_spawn;
use crate::core::store::{JobStore, StoreError};

/// Runs jobs and knows about them. Cheap to clone; all clones are the same manager.
///
/// A program needs one. The folder where it keeps its records is shared with other processes.
#[derive(Clone)]
pub struct JobManager {
    pub(in crate::core) inner: Arc<Inner>,
}

pub(in crate::core) struct Inner {
    /// This manager, as its jobs carry it along.
    pub(in crate::core) host: Arc<dyn JobHost>,
    pub(in crate::core) store: Arc<dyn JobStore>,
    pub(in crate::core) settings: Settings,
    /// The server whose jobs these are; set once, by the builder or by the server that is wrapped.
    pub(in crate::core) server: OnceLock<String>,
    /// Whether ids may leave the process: not where a restart would break the promise that they make.
    pub(in crate::core) hands_out_ids: bool,
    pub(in crate::core) live: LiveJobs,
    pub(in crate::core) open_calls: OpenCalls,
    /// Who can make calls again.
    pub(in crate::core) servers: Servers,
    pub(in crate::core) readers: Readers,
    pub(in crate::core) kept_back: KeptBack,
    pub(in crate::core) history: History,
    pub(in crate::core) changes: broadcast::Sender<JobChange>,
    /// What the store last failed at, while it fails.
    pub(in crate::core) trouble: Mutex<Option<String>>,
    pub(in crate::core) recovered: OnceCell<()>,
    pub(in crate::core) listening: Once,
    /// Set when no new work is taken.
    pub(in crate::core) stopping: CancellationToken,
    /// Set when what still runs has to stop.
    pub(in crate::core) halted: CancellationToken,
}

/// A change of a job's status, as [`JobManager::subscribe`] tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobChange {
    /// The job.
    pub id: JobId,
    /// Its status from now on.
    pub status: JobStatus,
}

/// How the manager is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether jobs outlive the process.
    pub durable: bool,
    /// What the store fails at, while it fails.
    pub store_error: Option<String>,
}

impl JobManager {
    /// Sets up a manager: folder, server name, retention, grace times.
    pub fn builder() -> JobManagerBuilder {
        JobManagerBuilder::default()
    }

    /// Opens the manager over `~/.job_mcp`, or over the folder that `JOB_MCP_HOME` names.
    ///
    /// # Errors
    /// [`OpenError`] where the folder cannot be found or used; it says what to do.
    pub async fn open() -> Result<Self, OpenError> {
        Self::builder().open().await
    }

    /// A manager that keeps its jobs in memory: for tests, and for those who want no disk.
    pub fn in_memory() -> Self {
        Self::builder().in_memory()
    }

    /// As [`open`](Self::open), but goes on in memory where the folder cannot be used.
    ///
    /// It says so in the log and in [`health`](Self::health), and then hands out no job ids, because a restart would
    /// break the promise that they make: calls that outlive their budget are waited for instead.
    pub async fn open_or_memory() -> Self {
        Self::builder().open_or_memory().await
    }

    /// The manager that annotated functions use where no [`JobServer`](crate::JobServer) brings one: the one that
    /// [`make_global`](Self::make_global) set, else one that is opened when it is first needed (a call that ends within its
    /// budget needs none), as by [`open_or_memory`](Self::open_or_memory).
    pub async fn global() -> Self {
        GLOBAL.get_or_init(|| Box::pin(Self::open_or_memory())).await.clone()
    }

    /// Makes this the [`global`](Self::global) manager.
    ///
    /// # Errors
    /// Gives this manager back where there is a global one already.
    pub fn make_global(self) -> Result<(), Self> {
        GLOBAL.set(self).map_err(|error| match error {
            tokio::sync::SetError::AlreadyInitializedError(manager)
            | tokio::sync::SetError::InitializingError(manager) => manager,
        })
    }

    fn new(store: Arc<dyn JobStore>, settings: Settings, hands_out_ids: bool) -> Self {
        let server = settings.server.clone().map_or_else(OnceLock::new, OnceLock::from);
        let inner = Arc::new_cyclic(|inner| Inner {
            host: Arc::new(WeakManager(inner.clone())),
            store,
            settings,
            server,
            hands_out_ids,
            live: LiveJobs::default(),
            open_calls: OpenCalls::default(),
            servers: Servers::default(),
            readers: Readers::default(),
            kept_back: KeptBack::default(),
            history: History::default(),
            changes: broadcast::Sender::new(1024),
            trouble: Mutex::default(),
            recovered: OnceCell::new(),
            listening: Once::new(),
            stopping: CancellationToken::new(),
            halted: CancellationToken::new(),
        });
        Self { inner }
    }

    /// The server whose jobs these are.
    pub fn server(&self) -> &str {
        self.inner.server.get_or_init(builder::program_name)
    }

    /// Names the server, unless it has a name; and looks after what an earlier life of it left behind.
    pub(crate) fn serve_as(&self, server: Option<&str>) {
        if let Some(server) = server {
            let _ = self.inner.server.set(server.to_owned());
        }
        let manager = self.clone();
        try_spawn(async move { manager.ready().await });
    }

    /// Waits until the jobs of an earlier life of this server are accounted for. Every method waits for it.
    pub(crate) async fn ready(&self) {
        // Boxed: every method would carry its size along, and it is done once.
        self.inner.recovered.get_or_init(|| Box::pin(recover::recover(self))).await;
    }

    /// The store.
    pub fn store(&self) -> &dyn JobStore {
        &*self.inner.store
    }

    /// How the manager is.
    pub fn health(&self) -> Health {
        let trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Health {
            durable: self.inner.store.is_durable(),
            store_error: trouble.or_else(|| self.inner.settings.fallback_reason.clone()),
        }
    }

    /// Keeps these jobs from being pruned by this process, until the guard is dropped.
    pub(crate) fn reading(&self, ids: &[JobId]) -> Reading {
        self.inner.readers.enter(ids)
    }

    /// Tells of every change of a job's status in this process from now on. A receiver that falls more than 1,024
    /// changes behind loses the oldest, and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<JobChange> {
        self.inner.changes.subscribe()
    }

    /// When it makes sense to ask for a job of `tool` again, in whole seconds from 2 to 30: after a tenth of what the
    /// tool takes usually, or of a quarter of the time that this run has taken where that is not known.
    pub(crate) fn poll_after(&self, tool: &str, elapsed: Duration) -> u64 {
        let advice = self.inner.history.usual(tool).map_or(elapsed / 4, |usual| usual / 10);
        advice.as_secs().clamp(2, 30)
    }

    /// How long the tool takes usually: the median of its last 20 jobs that completed.
    pub(crate) fn usual_run(&self, tool: &str) -> Option<Duration> {
        self.inner.history.usual(tool)
    }

    pub(crate) fn hands_out_ids(&self) -> bool {
        self.inner.hands_out_ids
    }

    pub(crate) fn live(&self) -> &LiveJobs {
        &self.inner.live
    }

    /// Counts a call among those that the server's end waits for, until the guard is dropped.
    pub(crate) fn open_call(&self) -> OpenCallGuard {
        self.inner.open_calls.enter()
    }

    /// Forgets work that was taken in, and is not kept after all.
    pub(crate) fn let_go(&self, live: &LiveJob) {
        live.ends_with(&JobEvent::Cancel);
        self.inner.live.remove(live);
    }

    /// Ends with SIGTERM, where the program does not see to that itself.
    pub(crate) fn listen_for_the_end(&self) {
        if self.inner.settings.end_on_sigterm {
            self.inner.listening.call_once(|| sigterm::listen(self));
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    pub(in crate::core) fn is_halted(&self) -> bool {
        self.inner.halted.is_cancelled()
    }

    pub(crate) async fn halted(&self) {
        self.inner.halted.cancelled().await;
    }

    pub(crate) fn cancel_grace(&self) -> Duration {
        self.inner.settings.cancel_grace
    }

    pub(crate) fn retention(&self) -> Retention {
        self.inner.settings.retention
    }

    /// Remembers whether the store takes what it is given, for `health`.
    pub(in crate::core) fn note<T>(&self, write: Result<T, StoreError>) -> Result<T, StoreError> {
        let trouble = match &write {
            Err(error) if error.is_transient() || matches!(error, StoreError::Closed) => {
                Some(error.to_string())
            }
            _ => None,
        };
        *self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        write
    }

    /// Tells everybody that a job's record has changed.
    pub(in crate::core) fn announce(&self, job: &JobRecord) {
        tracing::debug!(job_id = %job.id, tool = %job.spec.tool, status = %job.status(), "job changed");
        let _ = self.inner.changes.send(JobChange { id: job.id, status: job.status() });
        if job.status() == JobStatus::Completed
            && let Some(ran) = job.elapsed(clock::now())
        {
            self.inner.history.remember(&job.spec.tool, ran);
        }
    }

    pub(crate) fn remember_run(&self, tool: &str, ran: Duration) {
        self.inner.history.remember(tool, ran);
    }

    /// This manager, for the work that runs in it: calls made within it become jobs here as well.
    pub(crate) fn host(&self) -> Arc<dyn JobHost> {
        Arc::clone(&self.inner.host)
    }

    /// The manager that the work that this code runs in belongs to.
    pub(crate) fn of_current_work() -> Option<Self> {
        let host: Arc<dyn Any + Send + Sync> = context::current_host()?;
        host.downcast_ref::<WeakManager>()?.upgrade()
    }

    /// A reference that does not keep the manager alive.
    pub(crate) fn downgrade(&self) -> WeakManager {
        WeakManager(Arc::downgrade(&self.inner))
    }
}

static GLOBAL: OnceCell<JobManager> = OnceCell::const_new();

/// A reference that does not keep its manager alive, for what the manager itself holds, and for tasks that
/// run in the background for ever.
pub(crate) struct WeakManager(std::sync::Weak<Inner>);

impl JobHost for WeakManager {
    fn request_stop(&self, id: JobId) {
        if let Some(manager) = self.upgrade() {
            manager.request_stop(id);
        }
    }
}

impl fmt::Debug for WeakManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakManager").finish_non_exhaustive()
    }
}

impl WeakManager {
    pub(crate) fn upgrade(&self) -> Option<JobManager> {
        self.0.upgrade().map(|inner| JobManager { inner })
    }
}

impl fmt::Debug for JobManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobManager")
            .field("server", &self.inner.server.get())
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}
