//! A state as a program reads it: the value that a job completed with last, as a type of the program's own.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Jobs;
use crate::core::job::{InvalidStateName, JobId, StateName};
use crate::core::store::{HydratedState, StoreError};
use crate::core::sync::Mutex;

impl Jobs {
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
    /// let report = latest.get().await?; // `None` until a job has filled it
    /// assert!(report.is_none_or(|report| report.simulated_days > 0));
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
        let slot = Slot { jobs: self.clone(), field, parsed: Mutex::default() };
        Ok(State { slot: Arc::new(slot) })
    }
}

/// A state, read as a `T`; see [`Jobs::state`]. Cheap to clone; all clones share what they have read.
pub struct State<T> {
    slot: Arc<Slot<T>>,
}

struct Slot<T> {
    jobs: Jobs,
    field: StateName,
    /// The last value, and the stored state that it was parsed from.
    parsed: Mutex<Option<(Arc<HydratedState>, Arc<T>)>>,
}

impl<T: DeserializeOwned> State<T> {
    /// The newest value, put by this process, by another one over the same folder, or before a restart; `None`
    /// where none ever was.
    ///
    /// The value is parsed anew only where it has changed.
    ///
    /// # Errors
    /// [`StateError::Store`] where it cannot be read, [`StateError::Mismatch`] where it is no `T`.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn get(&self) -> Result<Option<Arc<T>>, StateError> {
        let Slot { jobs, field, .. } = &*self.slot;
        jobs.local.ready().await;
        let stored = jobs.store().state(field.clone()).await;
        let stored = stored.map_err(|source| StateError::Store { field: field.clone(), source })?;
        let Some(stored) = stored else { return Ok(None) };
        if let Some((_, value)) =
            self.slot.parsed.lock().as_ref().filter(|(from, _)| Arc::ptr_eq(from, &stored))
        {
            return Ok(Some(Arc::clone(value)));
        }
        let value = T::deserialize(&stored.value).map_err(|source| StateError::Mismatch {
            field: field.clone(),
            job_id: stored.job_id,
            source: Arc::new(source),
        })?;
        let value = Arc::new(value);
        *self.slot.parsed.lock() = Some((stored, Arc::clone(&value)));
        Ok(Some(value))
    }
}

impl<T> State<T> {
    /// The state's name.
    pub fn field(&self) -> &StateName {
        &self.slot.field
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
        /// The failure.
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
        /// The mismatch.
        source: Arc<serde_json::Error>,
    },
}

impl StateError {
    /// The error as a client reads it, without places of the server. The whole one goes to the log.
    pub(crate) fn answer_text(&self) -> String {
        match self {
            Self::Store { field, source } => {
                format!("failed to read the state `{field}`: {}", source.answer_text())
            }
            error @ Self::Mismatch { .. } => error.to_string(),
        }
    }
}
