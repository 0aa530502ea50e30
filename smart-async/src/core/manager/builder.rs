//! How a manager is set up.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::JobManager;
use crate::core::env_vars;
use crate::core::observe;
use crate::core::store::{JobStore, JournalStore, MemoryStore, StoreError};

/// For how long, and how many, ended jobs are kept. Live jobs are never removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Ended jobs are removed when they ended longer ago than this. 24 hours unless set.
    pub max_age: Duration,
    /// Of the ended jobs, so many of the newest are kept. 1,000 unless set.
    pub max_jobs: usize,
    /// Of the ended jobs, the newest are kept whose records and results take so many bytes together. 256 MiB unless set.
    pub max_bytes: u64,
    /// Jobs that ended less long ago than this are left alone: somebody in another process may be about to read them. A
    /// minute unless set.
    pub min_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(Duration::from_secs(24 * 60 * 60), 1000)
    }
}

impl Retention {
    /// Keeps ended jobs for so long, and so many of them.
    pub const fn new(max_age: Duration, max_jobs: usize) -> Self {
        Self { max_age, max_jobs, max_bytes: 256 * 1024 * 1024, min_age: Duration::from_secs(60) }
    }

    /// Keeps so many bytes of them.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Leaves those alone that ended less long ago than this.
    #[must_use]
    pub const fn min_age(mut self, age: Duration) -> Self {
        self.min_age = age;
        self
    }
}

#[derive(Debug, Clone)]
pub(in crate::core) struct Settings {
    pub(in crate::core) server: Option<String>,
    pub(in crate::core) retention: Retention,
    pub(in crate::core) cancel_grace: Duration,
    pub(in crate::core) cancel_answer: Duration,
    pub(in crate::core) drain_grace: Duration,
    pub(in crate::core) end_on_sigterm: bool,
    /// Why jobs are kept in memory in place of the folder, where they are.
    pub(in crate::core) fallback_reason: Option<String>,
}

/// Sets up a [`JobManager`].
#[derive(Debug, Clone)]
pub struct JobManagerBuilder {
    folder: Option<PathBuf>,
    settings: Settings,
}

impl Default for JobManagerBuilder {
    fn default() -> Self {
        let settings = Settings {
            server: None,
            retention: Retention::default(),
            cancel_grace: Duration::from_secs(5),
            cancel_answer: Duration::from_secs(10),
            drain_grace: Duration::from_secs(2),
            end_on_sigterm: true,
            fallback_reason: None,
        };
        Self { folder: None, settings }
    }
}

impl JobManagerBuilder {
    /// The folder that jobs are kept in. Unless set: what `JOB_MCP_HOME` names, else `~/.job_mcp`.
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

    /// For how long, and how many, ended jobs are kept.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = retention;
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
        self.settings.cancel_answer = patience;
        self
    }

    /// For how long [`JobManager::shutdown`] lets jobs end by themselves. 2 seconds unless set.
    #[must_use]
    pub const fn drain_grace(mut self, grace: Duration) -> Self {
        self.settings.drain_grace = grace;
        self
    }

    /// Whether a wrapped server that is told to end by SIGTERM shuts this manager down and then ends as the signal
    /// says. Yes unless set; say no where the program handles the signal itself. On Unix only.
    #[must_use]
    pub const fn end_on_sigterm(mut self, yes: bool) -> Self {
        self.settings.end_on_sigterm = yes;
        self
    }

    /// Opens the manager over its folder.
    ///
    /// # Errors
    /// [`OpenError`] where the folder cannot be found or used.
    pub async fn open(self) -> Result<JobManager, OpenError> {
        let folder = match self.folder {
            Some(folder) => folder,
            None => default_folder()?,
        };
        // The program may change its working folder later.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let store = JournalStore::open(&folder)
            .await
            .map_err(|source| OpenError::Folder { folder, source })?;
        let named = self.settings.server.is_some();
        let manager = JobManager::new(Arc::new(store), self.settings, true);
        if named {
            manager.ready().await;
        }
        Ok(manager)
    }

    /// Opens the manager over its folder, or in memory where that fails; see [`JobManager::open_or_memory`].
    pub async fn open_or_memory(self) -> JobManager {
        let mut settings = self.settings.clone();
        match self.open().await {
            Ok(manager) => manager,
            Err(error) => {
                observe::error!(
                    %error,
                    "jobs are kept in memory only: no job ids are handed out, calls are waited for"
                );
                settings.fallback_reason = Some(error.to_string());
                JobManager::new(Arc::new(MemoryStore::new()), settings, false)
            }
        }
    }

    /// A manager that keeps its jobs in memory, and whose ids are good for as long as the process lives.
    pub fn in_memory(self) -> JobManager {
        self.with_store(MemoryStore::new())
    }

    /// A manager over a store of your own.
    pub fn with_store(self, store: impl JobStore) -> JobManager {
        JobManager::new(Arc::new(store), self.settings, true)
    }
}

/// Why a manager could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nobody said where the jobs should be kept, and there is no home folder to keep them in.
    #[error("failed to find the home folder for ~/.job_mcp; name a folder with JOB_MCP_HOME")]
    NoHome,
    /// The folder cannot be used.
    #[error(
        "failed to open the job folder {}: {source}; mend it, name another one with JOB_MCP_HOME, \
         or go on without a disk by JobManager::open_or_memory",
        folder.display()
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What failed.
        source: StoreError,
    },
}

fn default_folder() -> Result<PathBuf, OpenError> {
    if let Some(named) = env::var_os(env_vars::HOME).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let home =
        env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(OpenError::NoHome)?;
    Ok(home.join(".job_mcp"))
}

/// What a server is called that nobody named.
pub(in crate::core) fn program_name() -> String {
    let program = env::current_exe().ok();
    let name = program
        .as_deref()
        .and_then(Path::file_stem)
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "unnamed".to_owned())
}
