//! A state as the running server reads it: the value that a job completed with last, as a type of the server's own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;

use crate::core::job::{InvalidStateName, JobId, StateName};
use crate::core::manager::JobManager;
use crate::core::store::{HydratedState, StoreError};

impl JobManager {
    /// The state of this name, which tools with `state = "…"` fill when their jobs complete, as a `T`.
    ///
    /// States belong to the folder: all servers that share it share them.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use serde::Deserialize;
    /// use smart_async::JobManager;
    ///
    /// #[derive(Deserialize)]
    /// struct Report {
    ///     simulated_days: u32,
    /// }
    ///
    /// let jobs = JobManager::in_memory();
    /// let latest = jobs.state::<Report>("latest_report")?;
    /// if let Some(report) = latest.get().await? {
    ///     println!("{} days", report.simulated_days);
    /// }
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(example())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidStateName`] where this can be no name of a state.
    pub fn state<T: DeserializeOwned>(&self, field: &str) -> Result<State<T>, InvalidStateName> {
        let field = StateName::new(field)?;
        let slot = Slot { manager: self.clone(), field, parsed: Mutex::default() };
        Ok(State { slot: Arc::new(slot) })
    }
}

/// A state, read as a `T`; see [`JobManager::state`]. Cheap to clone; all clones share what they have read.
pub struct State<T> {
    slot: Arc<Slot<T>>,
}

struct Slot<T> {
    manager: JobManager,
    field: StateName,
    /// What was read last, beside what it was read from.
    parsed: Mutex<Option<(Arc<HydratedState>, Arc<T>)>>,
}

impl<T: DeserializeOwned> State<T> {
    /// The value that was put last, by this process, by another one over the same folder, or before a restart; `None`
    /// where none ever was.
    ///
    /// It costs a look at the file's metadata; the value is read and parsed anew only where it has changed.
    ///
    /// # Errors
    /// [`StateError::Store`] where it cannot be read, [`StateError::Mismatch`] where it is no `T`.
    ///
    /// # Cancel safety
    /// Nothing is lost where the future is dropped.
    pub async fn get(&self) -> Result<Option<Arc<T>>, StateError> {
        let Slot { manager, field, .. } = &*self.slot;
        manager.ready().await;
        let stored = manager.store().state(field.clone()).await;
        let stored = stored.map_err(|source| StateError::Store { field: field.clone(), source })?;
        let Some(stored) = stored else { return Ok(None) };
        if let Some((_, value)) =
            self.parsed().as_ref().filter(|(from, _)| Arc::ptr_eq(from, &stored))
        {
            return Ok(Some(Arc::clone(value)));
        }
        let value = T::deserialize(&stored.value).map_err(|source| StateError::Mismatch {
            field: field.clone(),
            job_id: stored.job_id,
            source: Arc::new(source),
        })?;
        let value = Arc::new(value);
        *self.parsed() = Some((stored, Arc::clone(&value)));
        Ok(Some(value))
    }
}

impl<T> State<T> {
    /// The state's name.
    pub fn field(&self) -> &StateName {
        &self.slot.field
    }

    fn parsed(&self) -> MutexGuard<'_, Option<(Arc<HydratedState>, Arc<T>)>> {
        self.slot.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self { slot: Arc::clone(&self.slot) }
    }
}

/// Results may be secrets: they do not go into logs.
impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("field", &self.slot.field).finish_non_exhaustive()
    }
}

/// Why a state could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The store failed.
    #[error("failed to read the state `{field}`: {source}")]
    Store {
        /// The state.
        field: StateName,
        /// What failed.
        source: StoreError,
    },
    /// The value does not fit the type that it was asked for as.
    #[error(
        "failed to read the state `{field}`: what job {job_id} completed with does not fit the type that is asked for: \
         {source}; ask for the type that the tool returns, or run the tool again"
    )]
    Mismatch {
        /// The state.
        field: StateName,
        /// The job whose result it is.
        job_id: JobId,
        /// What does not fit.
        source: Arc<serde_json::Error>,
    },
}
