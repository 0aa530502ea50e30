//! Stopping a job, and saying so only once it has stopped.

use std::sync::Arc;

use tokio::time::timeout;

use super::{Error, WaitFor};
use crate::core::job::{Actor, Change, JobEvent, JobId, JobRecord};
use crate::core::local::LiveJob;
use crate::core::manager::JobManager;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;
use crate::core::{clock, observe};

/// How [`JobManager::cancel`] went.
#[derive(Debug, Clone)]
#[must_use = "the work may still run"]
#[non_exhaustive]
pub enum Cancelled {
    /// The work has really stopped.
    Stopped(Arc<JobRecord>),
    /// The work was told to stop and does not. It goes on until it ends by itself, and is shown as it is.
    StillRunning(Arc<JobRecord>),
}

impl JobManager {
    /// Stops a job: tells its body, aborts it after the grace where it does not listen, and waits until it has really
    /// stopped, for 10 seconds at most (see [`cancel_answer`](crate::core::manager::JobManagerBuilder::cancel_answer)).
    ///
    /// # Errors
    /// [`Error::AlreadyEnded`], [`Error::NotFound`], [`Error::Store`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting only; the job is stopped all the same once this was polled.
    pub async fn cancel(&self, id: JobId) -> Result<Cancelled, Error> {
        self.ready().await;
        let _reading = self.reading(&[id]);
        let patience = self.inner.settings.cancel_answer;
        if let Some(live) = self.live().get(id) {
            // First of all the work is stopped: the store may take its time.
            self.request_cancel(&live);
            let _ = timeout(patience, async {
                // A refusal says that the job has ended already.
                if let Err(error) = self.write_wish(id).await
                    && error.is_transient()
                {
                    observe::warn!(job_id = %id, %error, "failed to store the wish to cancel a job");
                }
                live.ending().await;
                self.wait_until_ended(id).await
            })
            .await;
        } else {
            match self.write_wish(id).await {
                Ok(()) => {}
                Err(StoreError::Illegal { source, .. }) => {
                    return Err(Error::AlreadyEnded { id, status: source.status });
                }
                Err(error) => return Err(error.into()),
            }
            // Another process runs it, and sees the wish in the record.
            let _ = timeout(patience, self.wait_until_ended(id)).await;
        }
        let job = self.status(id).await?;
        Ok(if job.status().is_terminal() {
            Cancelled::Stopped(job)
        } else {
            Cancelled::StillRunning(job)
        })
    }

    /// Has a job of this process stopped, without waiting for that.
    pub(crate) fn request_cancel(&self, live: &LiveJob) {
        live.request_cancel();
        live.touch();
    }

    /// Requests that a job stops, in this process at once and then in its record, without waiting for its end.
    pub(crate) fn request_stop(&self, id: JobId) {
        if let Some(live) = self.live().get(id) {
            self.request_cancel(&live);
        }
        // In the record as well, so that the work does not run again if this process ends first.
        let manager = self.clone();
        try_spawn(async move {
            let _ = manager.cancel(id).await;
        });
    }

    async fn write_wish(&self, id: JobId) -> Result<(), StoreError> {
        let wish = Change::new(JobEvent::RequestCancel, clock::now()).by(Actor::Client(None));
        let job = self.store().update(id, wish).await?;
        // One that waits to run again is run by nobody, and so has stopped.
        if job.status().is_terminal() {
            self.announce(&job);
        }
        Ok(())
    }

    async fn wait_until_ended(&self, id: JobId) -> Result<(), Error> {
        loop {
            let waited = self.wait(&[id], WaitFor::all(), std::time::Duration::MAX).await?;
            if waited.jobs.iter().all(|job| job.status().is_terminal()) {
                return Ok(());
            }
            // A job that waits for an answer is reported at once; only its end is of interest here.
            self.next_change(&[id]).await;
        }
    }
}
