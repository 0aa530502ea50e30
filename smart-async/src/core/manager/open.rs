//! Opening a manager, and the manager that the process shares.

use tokio::sync::OnceCell;

use super::{JobManager, JobManagerBuilder, OpenError};

static GLOBAL: OnceCell<JobManager> = OnceCell::const_new();

/// Opening a manager.
impl JobManager {
    /// Sets up a manager: folder, server name, retention, grace times.
    pub fn builder() -> JobManagerBuilder {
        JobManagerBuilder::default()
    }

    /// Opens the manager over `~/.job_mcp`, or over the folder that `JOB_MCP_HOME` names.
    ///
    /// # Errors
    /// [`OpenError`] where the folder cannot be found or used; its text says what to do.
    pub async fn open() -> Result<Self, OpenError> {
        Self::builder().open().await
    }

    /// A manager that keeps its jobs in memory: for tests, and for programs that need no disk.
    pub fn in_memory() -> Self {
        Self::builder().in_memory()
    }

    /// As [`open`](Self::open), but goes on in memory where the folder cannot be used.
    ///
    /// The log and [`health`](Self::health) say so. The manager then hands out no job ids, because a restart would break the
    /// promise that they make: calls that outlive their budget are waited for instead.
    pub async fn open_or_memory() -> Self {
        Self::builder().open_or_memory().await
    }

    /// The manager that annotated functions use without a [`JobServer`](crate::JobServer): the one that
    /// [`make_global`](Self::make_global) set, else one that is opened at the first need (a call that ends within its budget
    /// needs none), as by [`open_or_memory`](Self::open_or_memory).
    pub async fn global() -> Self {
        GLOBAL.get_or_init(|| Box::pin(Self::open_or_memory())).await.clone()
    }

    /// Makes this the [`global`](Self::global) manager.
    ///
    /// # Errors
    /// Returns this manager where there is a global one already.
    pub fn make_global(self) -> Result<(), Self> {
        GLOBAL.set(self).map_err(|error| match error {
            tokio::sync::SetError::AlreadyInitializedError(manager)
            | tokio::sync::SetError::InitializingError(manager) => manager,
        })
    }
}
