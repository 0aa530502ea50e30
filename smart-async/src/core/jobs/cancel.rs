//! The request to stop a job, and the wait until its work has stopped.

use std::sync::Arc;

use tokio::time::timeout;

use super::change_signal::{ChangeSignal, Interest};
use super::{Error, Jobs};
use crate::core::job::{Actor, Change, JobEvent, JobId, JobRecord};
use crate::core::observe;
use crate::core::store::StoreError;

/// The outcome of [`Jobs::cancel`].
#[derive(Debug, Clone)]
#[must_use = "the work may still run"]
#[non_exhaustive]
pub enum Cancelled {
    /// The work has stopped.
    Stopped(Arc<JobRecord>),
    /// The body was told to stop and did not yet. It goes on until it ends by itself, and its job is shown as it is.
    StillRunning(Arc<JobRecord>),
}

impl Jobs {
    /// Stops a job. Its owner tells the body to stop, and aborts it after the grace where it does not listen. Waits until the
    /// work has stopped, for 10 seconds at most (see
    /// [`cancel_answer`](crate::manager::JobManagerBuilder::cancel_answer)). The record says that `actor` requested it.
    ///
    /// # Errors
    /// [`Error::AlreadyEnded`], [`Error::NotFound`], [`Error::Store`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only; the job is stopped all the same once this was polled.
    pub async fn cancel(&self, id: JobId, actor: Actor) -> Result<Cancelled, Error> {
        self.local.ready().await;
        self.account_for(id).await?;
        let _pin = self.pin(&[id]);
        let patience = self.cancel_answer;
        if let Some(live) = self.local.live.get(id) {
            // The body is told first: the store may take its time.
            live.request_cancel();
            let _ = timeout(patience, async {
                // A refusal says that the job has ended already.
                if let Err(error) = self.record_request(id, actor).await
                    && error.is_transient()
                {
                    observe::warn!(job_id = %id, %error, "failed to store the request to cancel a job");
                }
                live.ending().await;
                self.wait_until_ended(id).await
            })
            .await;
        } else {
            match self.record_request(id, actor).await {
                Ok(()) => {}
                Err(StoreError::Illegal { source, .. }) => {
                    return Err(Error::AlreadyEnded { id, status: source.status });
                }
                Err(error) => return Err(error.into()),
            }
            // The owner, another process, sees the request in the record.
            let _ = timeout(patience, self.wait_until_ended(id)).await;
        }
        let job = self.status(id).await?;
        Ok(if job.status().is_terminal() {
            Cancelled::Stopped(job)
        } else {
            Cancelled::StillRunning(job)
        })
    }

    async fn record_request(&self, id: JobId, actor: Actor) -> Result<(), StoreError> {
        let request = Change::new(JobEvent::RequestCancel, self.local.now()).by(actor);
        let job = self.local.update(id, request).await?;
        // A job that waits to run again has no owner, and so ends by the request itself.
        if job.status().is_terminal() {
            self.local.announce(&job);
        }
        Ok(())
    }

    async fn wait_until_ended(&self, id: JobId) -> Result<(), Error> {
        let mut signal = ChangeSignal::new(Arc::clone(&self.local));
        loop {
            let listening = signal.listen(&[id], Interest::State);
            if self.status(id).await?.status().is_terminal() {
                return Ok(());
            }
            signal.changed(listening).await;
        }
    }
}
