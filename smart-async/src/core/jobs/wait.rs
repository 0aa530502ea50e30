//! The wait for jobs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::change_signal::{ChangeSignal, Interest};
use super::{Error, Jobs};
use crate::core::clock::past;
use crate::core::job::{JobId, JobRecord, Progress};

/// The condition that a wait ends by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WaitFor {
    /// Return when all of the jobs have ended, not when the first of them has.
    pub all: bool,
    /// Return also when one of the jobs made progress.
    pub progress: bool,
}

impl WaitFor {
    /// Until the first of the jobs has ended, or asks something.
    pub const fn any() -> Self {
        Self { all: false, progress: false }
    }

    /// Until all of the jobs have ended, or one asks something.
    pub const fn all() -> Self {
        Self { all: true, progress: false }
    }

    /// Return also when one of the jobs made progress.
    #[must_use]
    pub const fn or_progress(mut self) -> Self {
        self.progress = true;
        self
    }
}

/// The outcome of [`Jobs::wait`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Waited {
    /// The jobs, in the order asked, as they were at the end of the wait.
    pub jobs: Vec<Arc<JobRecord>>,
    /// Whether the time was over before the condition was met.
    pub timed_out: bool,
}

impl Jobs {
    /// Waits until the jobs have ended as `what` says, one of them asks a question, or `limit` passes.
    ///
    /// Returns at once where that is so already. Large results are left out of the records, as by
    /// [`status`](Self::status).
    ///
    /// # Errors
    /// [`Error::NotFound`] where one of the jobs is not there, [`Error::Store`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting only; the jobs run on.
    pub async fn wait(
        &self,
        ids: &[JobId],
        what: WaitFor,
        limit: Duration,
    ) -> Result<Waited, Error> {
        // A job that ends during the wait must not be pruned before the waiter has read it.
        let _pin = self.pin(ids);
        let over = Instant::now().checked_add(limit);
        let mut first_progress: Option<Vec<Option<Progress>>> = None;
        let mut signal = ChangeSignal::new(Arc::clone(&self.local));
        let interest = if what.progress { Interest::Progress } else { Interest::State };
        loop {
            let listening = signal.listen(ids, interest);
            let jobs = self.all_of(ids).await?;
            let progress: Vec<_> = jobs.iter().map(|job| job.progress.clone()).collect();
            let got_on = what.progress
                && first_progress.get_or_insert_with(|| progress.clone()) != &progress;
            if got_on || is_over(&jobs, what.all) {
                return Ok(Waited { jobs, timed_out: false });
            }
            let timed_out = tokio::select! {
                // Where jobs change without pause, the next change is there at each look.
                biased;
                () = past(over) => true,
                _ = signal.changed(listening) => false,
            };
            if timed_out {
                // As they are now, and not as they were when the wait began.
                let jobs = self.all_of(ids).await?;
                let timed_out = !is_over(&jobs, what.all);
                return Ok(Waited { jobs, timed_out });
            }
        }
    }
}

fn is_over(jobs: &[Arc<JobRecord>], all: bool) -> bool {
    let mut ended = jobs.iter().map(|job| job.status().is_terminal());
    // Only the process that runs a tool with `redact` has the text of its questions.
    let asked =
        jobs.iter().any(|job| job.open_questions().any(|(_, asked)| asked.request.is_some()));
    asked
        || if all { ended.all(|ended| ended) } else { jobs.is_empty() || ended.any(|ended| ended) }
}
