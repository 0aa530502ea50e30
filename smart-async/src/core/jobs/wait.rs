//! The wait for jobs. A change of a job of this process wakes the waiter; at a job of another process the waiter looks again and
//! again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::{Instant, sleep};

use super::{Error, Jobs};
use crate::core::job::{JobId, JobRecord, Progress};

/// How often a waiter looks at a job of another process, and at progress where it waits for that.
const LOOK: Duration = Duration::from_millis(250);

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
        loop {
            // Subscribed before the records are read, so that no change falls between the two.
            let mut changed = self.changes_of(ids, what.progress);
            let jobs = self.all_of(ids).await?;
            let progress: Vec<_> = jobs.iter().map(|job| job.progress.clone()).collect();
            let got_on = what.progress
                && first_progress.get_or_insert_with(|| progress.clone()) != &progress;
            if got_on || is_over(&jobs, what.all) {
                return Ok(Waited { jobs, timed_out: false });
            }
            let woken = match over {
                Some(over) => tokio::time::timeout_at(over, changed.as_mut()).await.is_ok(),
                None => {
                    changed.await;
                    true
                }
            };
            if !woken {
                // As they are now, and not as they were when the wait began.
                let jobs = self.all_of(ids).await?;
                let timed_out = !is_over(&jobs, what.all);
                return Ok(Waited { jobs, timed_out });
            }
        }
    }

    async fn all_of(&self, ids: &[JobId]) -> Result<Vec<Arc<JobRecord>>, Error> {
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            jobs.push(self.status(*id).await?);
        }
        Ok(jobs)
    }

    /// Waits until something may have changed for one of the jobs.
    pub(in crate::core) async fn next_change(&self, ids: &[JobId]) {
        self.changes_of(ids, false).await;
    }

    /// As [`next_change`](Self::next_change), and returns after a moment in any case, because progress wakes no waiter.
    /// A change from this call on is not missed.
    pub(in crate::core) fn next_change_or_look(
        &self,
        ids: &[JobId],
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.changes_of(ids, true)
    }

    fn changes_of(
        &self,
        ids: &[JobId],
        progress: bool,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut changes: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> =
            Vec::with_capacity(ids.len() + 1);
        let mut look = progress || ids.is_empty();
        for id in ids {
            match self.local.live.next_change(*id) {
                Some(change) => changes.push(Box::pin(change)),
                None => look = true,
            }
        }
        if look {
            changes.push(Box::pin(sleep(LOOK)));
        }
        Box::pin(async move {
            select_all(changes).await;
        })
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
