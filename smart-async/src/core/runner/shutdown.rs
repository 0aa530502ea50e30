//! The orderly end: take no new work, let jobs end for a moment, and mark what is left.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::core::jobs::Error;
use crate::core::manager::JobManager;

/// For how long the store may take to write down what is left.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl JobManager {
    /// Ends the manager: takes no new work from now on, gives jobs and open calls a moment to end by themselves (2
    /// seconds, see [`drain_grace`](crate::core::manager::JobManagerBuilder::drain_grace)), and writes down the rest: as `failed`,
    /// `interrupted`, with their last progress; or as `pending`, where the tool says that its calls may run again, once
    /// the work has stopped. Everything is on disk when it returns.
    ///
    /// Ending twice is no error.
    ///
    /// # Errors
    /// [`Error::NotDurable`] or [`Error::Store`] where something could not be written, or work that may run again did not
    /// stop, within 5 seconds. It is accounted for once this process has ended.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the manager without new work and the jobs running.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.inner.stopping.cancel();
        let drained = timeout(self.inner.settings.drain_grace, async {
            self.ready().await;
            self.until_nobody_works().await;
        });
        let _ = drained.await;
        // From here on each job's own task writes down that it was interrupted, and all of them do at once.
        self.inner.halted.cancel();
        self.live().wake_supervisors();
        let written = timeout(LAST_WORDS, async {
            self.until_nobody_works().await;
            self.store().close().await
        });
        if let Ok(closed) = written.await {
            return Ok(closed?);
        }
        // The store keeps its name, so that nobody runs again what has not stopped.
        let trouble = self.health().store_error;
        Err(Error::NotDurable(trouble.unwrap_or_else(|| {
            "some jobs did not stop, or took too long to be written down".to_owned()
        })))
    }

    /// The longest that a shutdown takes.
    pub(in crate::core) fn longest_shutdown(&self) -> Duration {
        self.inner.settings.drain_grace + LAST_WORDS
    }

    async fn until_nobody_works(&self) {
        while !self.live().is_empty() || self.inner.open_calls.is_any() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}
