//! The request to stop a job, and the wait until its work has stopped.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

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
    /// The request stands in the record, and the work has not stopped yet. It goes on until it ends by itself, and its job is shown
    /// as it is.
    StillRunning(Arc<JobRecord>),
    /// The body, which runs in this process, was told to stop, but the store did not take the request or the end. A restart may not
    /// know of it. The log has the store's error.
    Unrecorded {
        /// The job.
        id: JobId,
        /// Whether the work has stopped.
        has_stopped: bool,
    },
}

/// How far a request to stop a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelRequest {
    /// The record says it, or that the job has ended.
    Recorded,
    /// The body, which runs in this process, was told to stop, and the store did not take the request.
    Unrecorded,
}

impl Jobs {
    /// Stops a job. Its owner tells the body to stop, and aborts it after the grace where it does not listen. Waits until the
    /// work has stopped, for 10 seconds at most (see
    /// [`cancel_answer`](crate::manager::JobManagerBuilder::cancel_answer)). The record says that `actor` requested it.
    ///
    /// # Errors
    /// [`Error::AlreadyEnded`], [`Error::NotFound`]; [`Error::Store`] where the body runs in another process and the store does not
    /// take the request: the work goes on, and the call may be made again.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait only; the job is stopped all the same once this was polled.
    pub async fn cancel(&self, id: JobId, actor: Actor) -> Result<Cancelled, Error> {
        let _pin = self.pin(&[id]);
        let (began, live) = (Instant::now(), self.local.live.get(id));
        let request = self.request_cancel(id, actor).await?;
        let patience = self.cancel_answer.saturating_sub(began.elapsed());
        let _ = timeout(patience, async {
            if let Some(live) = &live {
                live.ending().await;
            }
            self.wait_until_ended(id).await
        })
        .await;
        let has_stopped = live.as_ref().is_some_and(|live| live.has_ended());
        match self.status(id).await {
            Ok(job) if job.status().is_terminal() => Ok(Cancelled::Stopped(job)),
            Ok(job) if request == CancelRequest::Recorded && !has_stopped => {
                Ok(Cancelled::StillRunning(job))
            }
            Err(error) if live.is_none() || matches!(error, Error::NotFound(_)) => Err(error),
            _ => Ok(Cancelled::Unrecorded { id, has_stopped }),
        }
    }

    /// Requests the stop of a job, and does not wait for its work.
    ///
    /// # Errors
    /// Those of [`cancel`](Self::cancel).
    pub(crate) async fn request_cancel(
        &self,
        id: JobId,
        actor: Actor,
    ) -> Result<CancelRequest, Error> {
        // The body is told first: the store may take its time, or fail.
        let live = self.local.live.get(id);
        if let Some(live) = &live {
            live.request_cancel();
        }
        self.local.ready().await;
        if live.is_none() {
            self.account_for(id).await?;
        }
        let recording = timeout(self.cancel_answer, self.record_request(id, actor));
        let recorded = recording.await.unwrap_or_else(|_| {
            let error = StoreError::io("write", "the job store", ErrorKind::TimedOut.into());
            Err(error.but_in_doubt())
        });
        match (recorded, live) {
            // The end of a job of this process is on its way to the caller.
            (Ok(()), _) | (Err(StoreError::Illegal { .. }), Some(_)) => Ok(CancelRequest::Recorded),
            (Err(StoreError::Illegal { source, .. }), None) => {
                Err(Error::AlreadyEnded { id, status: source.status })
            }
            (Err(error), Some(_)) => {
                observe::warn!(job_id = %id, %error, "a job was told to stop, and its record does not say so");
                Ok(CancelRequest::Unrecorded)
            }
            (Err(error), None) => Err(error.into()),
        }
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
