//! The set-up of a manager.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::default_folder::default_folder;
use super::open_error::OpenError;
use super::{JobManager, WallClock};
use crate::core::jobs::CANCEL_ANSWER;
use crate::core::observe;
use crate::core::queue::load::{LoadLimits, LoadSource};
use crate::core::runner::{Fallback, LoadProbe, Retention, Settings};
use crate::core::store::{JobStore, JournalStore, MemoryStore, ShieldedStore};

/// Sets up a [`JobManager`].
#[derive(Debug, Clone)]
pub struct JobManagerBuilder {
    folder: Option<PathBuf>,
    clock: WallClock,
    cancel_answer: Duration,
    settings: Settings,
}

impl Default for JobManagerBuilder {
    fn default() -> Self {
        let (clock, settings) = (WallClock::default(), Settings::default());
        Self { folder: None, clock, cancel_answer: CANCEL_ANSWER, settings }
    }
}

impl JobManagerBuilder {
    /// The folder that jobs are kept in. Unless set: the one that `JOB_MCP_HOME` names, else `~/.job_mcp`.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The server whose jobs these are. Unless set: the name by which the wrapped MCP server introduces itself, else
    /// the program's name. Servers that share a folder need names of their own.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>) -> Self {
        self.settings.server = Some(name.into());
        self
    }

    /// For how long, and how many, ended jobs are kept. The operator's variables `JOB_RETENTION_HOURS`, `JOB_RETENTION_JOBS` and
    /// `JOB_RETENTION_BYTES` win.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.settings.own_retention = retention;
        self
    }

    /// For how long a body may take its time after it was told to stop, before it is aborted. 5 seconds unless set.
    #[must_use]
    pub const fn cancel_grace(mut self, grace: Duration) -> Self {
        self.settings.cancel_grace = grace;
        self
    }

    /// For how long [`JobManager::cancel`] waits for the work to stop before it says that it still runs. 10 seconds
    /// unless set.
    #[must_use]
    pub const fn cancel_answer(mut self, patience: Duration) -> Self {
        self.cancel_answer = patience;
        self
    }

    /// For how long [`JobManager::shutdown`] lets jobs end by themselves. 2 seconds unless set.
    #[must_use]
    pub const fn drain_grace(mut self, grace: Duration) -> Self {
        self.settings.drain_grace = grace;
        self
    }

    /// How many [`blocking`](macro@crate::smart_async) bodies run at a time, each on a thread of its own; one at least. The others
    /// wait: their jobs are `pending`. 64 unless set.
    #[must_use]
    pub const fn blocking_bodies(mut self, at_most: usize) -> Self {
        self.settings.blocking_bodies = at_most;
        self
    }

    /// How many explicit jobs run at a time, in all processes that share the store: calls with `async_mode`, tools that are
    /// `always_job`, and submitted jobs. The others wait, as `pending`. 10 unless set; one at least. The operator's variable
    /// `MAX_CONCURRENT_JOBS` wins.
    #[must_use]
    pub fn max_concurrent_jobs(mut self, at_most: usize) -> Self {
        self.settings.max_jobs = at_most.max(1);
        self
    }

    /// How many explicit jobs of one session run at a time: those with the same `session` of the same client, or of a client over
    /// HTTP without one. 5 unless set; one at least. The operator's variable `MAX_CONCURRENT_JOBS_PER_SESSION` wins.
    #[must_use]
    pub fn max_concurrent_jobs_per_session(mut self, at_most: usize) -> Self {
        self.settings.max_jobs_per_session = at_most.max(1);
        self
    }

    /// The load of the machine from which on no [`blocking`](macro@crate::smart_async) work begins that waits in the queue, as of a call with
    /// `async_mode`; one such job always runs. 85 % of the memory, 90 % of the processors, less than 5 % or 500 MB of the disk free,
    /// unless set. The operator's variables `JOB_MAX_MEMORY_PERCENT`, `JOB_MAX_CPU_PERCENT`, `JOB_MIN_DISK_PERCENT` and
    /// `JOB_MIN_DISK_BYTES` win.
    #[must_use]
    pub const fn load_limits(mut self, limits: LoadLimits) -> Self {
        self.settings.own_load_limits = limits;
        self
    }

    /// Where the load is read. The system unless set: on Linux the pressure on the processors, the memory of the machine and of the
    /// container, and the disk of the job folder.
    #[must_use]
    pub fn load_source(mut self, source: impl LoadSource) -> Self {
        self.settings.load_source = Some(LoadProbe(Arc::new(source)));
        self
    }

    /// Whether a wrapped server that is told to end by SIGTERM shuts this manager down and then ends as the signal
    /// says. Yes unless set; say no where the program handles the signal itself. On Unix only.
    #[must_use]
    pub const fn end_on_sigterm(mut self, yes: bool) -> Self {
        self.settings.end_on_sigterm = yes;
        self
    }

    /// The clock of the store that the builder opens: by it records are dated, and ended jobs grow old. The system's unless set.
    /// A store that the program makes has a clock of its own ([`with_store`](Self::with_store)).
    #[must_use]
    pub fn clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the manager over its folder.
    ///
    /// # Errors
    /// [`OpenError`] where the folder cannot be found or used.
    pub async fn open(mut self) -> Result<JobManager, OpenError> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => default_folder()?,
        };
        // The program may change its working folder later.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        self.settings.folder = Some(folder.clone());
        let store = JournalStore::open_with_clock(&folder, self.clock.clone())
            .await
            .map_err(|source| OpenError::Folder { folder, source })?;
        let has_name = self.settings.server.is_some();
        let manager = self.over(store);
        if has_name {
            manager.runner().serve_as(None);
        }
        Ok(manager)
    }

    /// Opens the manager over its folder, or in memory where that fails; see [`JobManager::open_or_memory`].
    pub async fn open_or_memory(self) -> JobManager {
        let mut in_memory = self.clone();
        match self.open().await {
            Ok(manager) => manager,
            Err(error) => {
                observe::error!(
                    %error,
                    "jobs are kept in memory only: no job ids are handed out, calls are waited for"
                );
                in_memory.settings.fallback =
                    Some(Fallback { reason: error.to_string(), client_text: error.client_text() });
                in_memory.settings.hands_out_ids = false;
                in_memory.in_memory()
            }
        }
    }

    /// A manager that keeps its jobs in memory, and whose ids are good for as long as the process lives.
    pub fn in_memory(self) -> JobManager {
        let store = MemoryStore::with_clock(self.clock.clone());
        self.over(store)
    }

    /// A manager over a store of the program's own. Where the store panics, that counts as a failure of the store.
    pub fn with_store(self, store: impl JobStore) -> JobManager {
        self.over(ShieldedStore::new(store))
    }

    fn over(self, store: impl JobStore) -> JobManager {
        JobManager::new(Arc::new(store), self.settings, self.cancel_answer)
    }
}
