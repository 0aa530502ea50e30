//! The manager: what runs as a job, who waits for it, who stops it, and the store behind all that.
//!
//! A job's truth is its record in the store. The manager adds what only the process that runs it can have: the running
//! body, its progress of this very moment, and those who wait.

mod admission;
mod body;
mod builder;
mod cancel;
mod follow;
mod history;
mod hydration;
mod in_doubt;
mod kept_back;
mod lead;
mod live;
mod news;
mod open_calls;
mod questions;
mod readers;
mod recovery;
mod rerun;
mod retention;
mod running;
mod shutdown;
mod state;
mod supervisor;
mod termination;
mod wait;
mod watch;
mod work;

use std::fmt;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, broadcast};
use tokio_util::sync::CancellationToken;

pub(crate) use self::admission::{Adopted, Adoption, Origin};
pub(crate) use self::body::{Body, panic_message};
use self::builder::Settings;
pub use self::builder::{JobManagerBuilder, OpenError, Retention};
pub use self::cancel::Cancelled;
pub(crate) use self::follow::Following;
use self::history::History;
pub(crate) use self::hydration::InlineCompletion;
use self::kept_back::KeptBack;
pub(crate) use self::lead::Lead;
use self::live::LiveJobs;
pub(crate) use self::live::{Left, LiveJob};
pub(crate) use self::open_calls::OpenCallGuard;
use self::open_calls::OpenCalls;
pub use self::questions::AnswerError;
use self::readers::Readers;
pub(crate) use self::readers::Reading;
use self::rerun::Servers;
pub(crate) use self::rerun::{Answer, CallsAgain, Has};
pub(crate) use self::running::{Carrier, Running, Stop, Unfinished};
pub use self::state::{State, StateError};
pub use self::wait::{WaitFor, Waited};
pub use self::work::{Job, JobRequest, job_fn};
use crate::context::{self, Host};
use crate::job::{
    JobEvent, JobFailure, JobId, JobOutput, JobPage, JobQuery, JobRecord, JobState, JobStatus,
    JobSummary, Listed, Prune, ResultKept,
};
use crate::store::{JobStore, Pruned, StoreError};
use crate::{clock, observe};

/// Runs jobs and knows about them. Cheap to clone; all clones are the same manager.
///
/// A program needs one. The folder where it keeps its records is shared with other processes.
#[derive(Clone)]
pub struct JobManager {
    inner: Arc<Inner>,
}

struct Inner {
    /// This manager, as its jobs carry it along.
    host: Host,
    store: Arc<dyn JobStore>,
    settings: Settings,
    /// The server whose jobs these are; set once, by the builder or by the server that is wrapped.
    server: OnceLock<String>,
    /// Whether ids may leave the process: not where a restart would break the promise that they make.
    hands_out_ids: bool,
    live: LiveJobs,
    open_calls: OpenCalls,
    /// Who can make calls again.
    servers: Servers,
    readers: Readers,
    kept_back: KeptBack,
    history: History,
    changes: broadcast::Sender<JobChange>,
    /// What the store last failed at, while it fails.
    trouble: Mutex<Option<String>>,
    recovered: OnceCell<()>,
    listening: Once,
    /// Set when no new work is taken.
    stopping: CancellationToken,
    /// Set when what still runs has to stop.
    halted: CancellationToken,
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

/// Why the manager could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such job; it never was, or it was pruned.
    #[error("Job {0} not found")]
    NotFound(JobId),
    /// The job has ended, so that there is nothing to stop.
    #[error("Job {id} is already {status}")]
    AlreadyEnded {
        /// The job.
        id: JobId,
        /// How it ended.
        status: JobStatus,
    },
    /// The job has not ended, so that there is no result.
    #[error("Job {id} is {status} and has no result yet")]
    NotEnded {
        /// The job.
        id: JobId,
        /// Where it stands.
        status: JobStatus,
    },
    /// The job ended without a result.
    #[error("Job {id} ended without a result: {failure}")]
    Failed {
        /// The job.
        id: JobId,
        /// Why.
        failure: Box<JobFailure>,
    },
    /// The job was cancelled.
    #[error("Job {0} was cancelled")]
    Cancelled(JobId),
    /// The job completed, and its result cannot be had here.
    #[error("Job {id} completed, but {reason}")]
    ResultGone {
        /// The job.
        id: JobId,
        /// Why.
        reason: &'static str,
    },
    /// The manager has been shut down, or is about to be.
    #[error("the server is ending and takes no new work")]
    Stopping,
    /// Jobs are kept in memory in place of a disk that failed, so that no job can be promised.
    #[error("jobs cannot be kept on disk at the moment: {0}")]
    NotDurable(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(id) => Self::NotFound(id),
            other => Self::Store(other),
        }
    }
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
            host: Host::new(WeakManager(inner.clone())),
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
        observe::try_spawn(async move { manager.ready().await });
    }

    /// Waits until the jobs of an earlier life of this server are accounted for. Every method waits for it.
    pub(crate) async fn ready(&self) {
        // Boxed: every method would carry its size along, and it is done once.
        self.inner.recovered.get_or_init(|| Box::pin(recovery::recover(self))).await;
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

    /// Where a job stands, with its progress of this moment. A large result may be left out of it: then
    /// [`JobRecord::result_kept`] says so, and [`status_with_result`](Self::status_with_result) has it.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        self.ready().await;
        let mut job = self.inner.store.get(id).await?.ok_or(Error::NotFound(id))?;
        if self.may_be_abandoned(&job) && recovery::account_for_abandoned(self).await.contains(&id)
        {
            job = self.inner.store.get(id).await?.ok_or(Error::NotFound(id))?;
        }
        Ok(self.as_of_now(job))
    }

    /// As [`status`](Self::status), with what the job ended with, however large that is. Where
    /// [`JobRecord::result_kept`] says of this one that it is elsewhere, it cannot be had here.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Store`].
    pub async fn status_with_result(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        let _reading = self.reading(&[id]);
        let job = self.status(id).await?;
        if !job.result_kept.is_in_file() {
            return Ok(job);
        }
        let job = self.inner.store.get_with_result(id).await?.ok_or(Error::NotFound(id))?;
        Ok(self.as_of_now(job))
    }

    /// The result of a job that completed.
    ///
    /// # Errors
    /// [`Error::NotEnded`], [`Error::Failed`] or [`Error::Cancelled`] where it has none; [`Error::ResultGone`] where it
    /// cannot be had here; [`Error::NotFound`]; [`Error::Store`].
    pub async fn result(&self, id: JobId) -> Result<JobOutput, Error> {
        let job = self.status_with_result(id).await?;
        match &job.state {
            JobState::Completed { output, .. } => match why_gone(&job) {
                None => Ok(output.clone()),
                Some(reason) => Err(Error::ResultGone { id, reason }),
            },
            JobState::Failed { failure, .. } => {
                Err(Error::Failed { id, failure: Box::new(failure.clone()) })
            }
            JobState::Cancelled { .. } => Err(Error::Cancelled(id)),
            JobState::Pending | JobState::Running { .. } | JobState::InputRequired { .. } => {
                Err(Error::NotEnded { id, status: job.status() })
            }
        }
    }

    /// The jobs that `query` asks for, newest first: of every server over the same folder, unless it names one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        self.ready().await;
        let mut page = self.inner.store.list(query.clone()).await?;
        if page.jobs.iter().any(|job| self.may_be_abandoned(job))
            && !recovery::account_for_abandoned(self).await.is_empty()
        {
            page = self.inner.store.list(query).await?;
        }
        for job in &mut page.jobs {
            *job = self.as_of_now(Arc::clone(job));
        }
        Ok(page)
    }

    /// As [`list`](Self::list), in short.
    pub(crate) async fn list_in_short(
        &self,
        query: JobQuery,
    ) -> Result<(Vec<JobSummary>, usize), Error> {
        self.ready().await;
        let mut page = self.inner.store.list_in_short(query.clone()).await?;
        if page.jobs.iter().filter_map(Listed::record).any(|job| self.may_be_abandoned(job))
            && !recovery::account_for_abandoned(self).await.is_empty()
        {
            page = self.inner.store.list_in_short(query).await?;
        }
        let jobs = page.jobs.into_iter().map(|job| match job {
            Listed::Record(job) => JobSummary::from(&*self.as_of_now(job)),
            // What is kept back of an end is nothing that a list shows.
            Listed::Ended(summary) => summary,
        });
        Ok((jobs.collect(), page.total))
    }

    /// Removes ended jobs: of every server over the same folder, unless `prune` names one. Never touches a live job, nor
    /// one that somebody in this process waits for or reads just now.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        self.ready().await;
        Ok(self.prune_unread(prune).await?)
    }

    /// Prunes, but spares those that somebody in this process is about to read.
    async fn prune_unread(&self, mut prune: Prune) -> Result<Pruned, StoreError> {
        prune.spare.extend(self.inner.readers.jobs());
        let pruned = self.inner.store.prune(prune).await?;
        self.forget_the_gone().await;
        Ok(pruned)
    }

    /// Forgets what was kept back of jobs that are gone, whoever removed them.
    async fn forget_the_gone(&self) {
        for id in self.inner.kept_back.jobs() {
            if matches!(self.inner.store.get(id).await, Ok(None)) {
                self.inner.kept_back.forget(id);
            }
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
            self.inner.listening.call_once(|| termination::listen(self));
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    fn is_halted(&self) -> bool {
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

    /// Whether a job of this server seems to run elsewhere. Whoever comes across one whose owner is dead accounts for it.
    fn may_be_abandoned(&self, job: &JobRecord) -> bool {
        !job.status().is_terminal()
            && job.server == self.server()
            && job.owner != Some(self.inner.store.owner())
    }

    /// Remembers whether the store takes what it is given, for `health`.
    fn note<T>(&self, write: Result<T, StoreError>) -> Result<T, StoreError> {
        let trouble = match &write {
            Err(error) if error.is_transient() || matches!(error, StoreError::Closed) => {
                Some(error.to_string())
            }
            _ => None,
        };
        *self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        write
    }

    /// The record with the progress that the body has made by now, if it runs here, or with what was kept back of its
    /// end, if it ran here. The record itself is not touched.
    fn as_of_now(&self, job: Arc<JobRecord>) -> Arc<JobRecord> {
        if job.status().is_terminal() {
            return self.inner.kept_back.put_back(job);
        }
        let Some(live) = self.inner.live.get(job.id) else { return job };
        let job = questions::with_questions_of(&live, job);
        match live.context.progress.read() {
            Some(progress) => Arc::new(JobRecord { progress: Some(progress), ..(*job).clone() }),
            None => job,
        }
    }

    /// Tells everybody that a job's record has changed.
    fn announce(&self, job: &JobRecord) {
        tracing::debug!(job_id = %job.id, tool = %job.tool, status = %job.status(), "job changed");
        let _ = self.inner.changes.send(JobChange { id: job.id, status: job.status() });
        if job.status() == JobStatus::Completed
            && let Some(ran) = job.elapsed(clock::now())
        {
            self.inner.history.remember(&job.tool, ran);
        }
    }

    pub(crate) fn remember_run(&self, tool: &str, ran: Duration) {
        self.inner.history.remember(tool, ran);
    }

    /// This manager, for the work that runs in it: calls made within it become jobs here as well.
    pub(crate) fn host(&self) -> Host {
        self.inner.host.clone()
    }

    /// The manager that the work that this code runs in belongs to.
    pub(crate) fn of_current_work() -> Option<Self> {
        context::current_host()?.downcast_ref::<WeakManager>()?.upgrade()
    }

    /// A reference that does not keep the manager alive.
    pub(crate) fn downgrade(&self) -> WeakManager {
        WeakManager(Arc::downgrade(&self.inner))
    }
}

/// Why the result of a job that completed cannot be had, where it cannot.
pub(crate) fn why_gone(job: &JobRecord) -> Option<&'static str> {
    match job.result_kept {
        _ if job.status() != JobStatus::Completed => None,
        ResultKept::InRecord => None,
        ResultKept::InFile { .. } => Some("the file with its result is missing or damaged"),
        ResultKept::InMemory => Some(
            "the result was not kept on disk (store_result = false or redact), and the server that had it has ended or \
             is another one",
        ),
    }
}

static GLOBAL: OnceCell<JobManager> = OnceCell::const_new();

/// A reference that does not keep its manager alive, for what the manager itself holds, and for tasks that
/// run in the background for ever.
pub(crate) struct WeakManager(std::sync::Weak<Inner>);

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
