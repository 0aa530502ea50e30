//! The errors of reads, requests and submissions.

use crate::core::job::{JobFailure, JobId, JobStatus};
use crate::core::store::StoreError;

/// Why a request could not be met.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such job; it never was, or it was pruned.
    #[error("Job {0} not found")]
    NotFound(JobId),
    /// The job has ended, so that there is nothing to stop.
    #[error("Job {id} is already {status}")]
    AlreadyEnded {
        /// The job.
        id: JobId,
        /// The status that it ended with.
        status: JobStatus,
    },
    /// The job has not ended, so that there is no result.
    #[error("Job {id} is {status} and has no result yet")]
    NotEnded {
        /// The job.
        id: JobId,
        /// Its status.
        status: JobStatus,
    },
    /// The job ended without a result.
    #[error("Job {id} ended without a result: {failure}")]
    Failed {
        /// The job.
        id: JobId,
        /// The reason.
        failure: Box<JobFailure>,
    },
    /// The job was cancelled.
    #[error("Job {0} was cancelled")]
    Cancelled(JobId),
    /// The job completed, and its result cannot be had here.
    #[error("Job {id} completed, but {reason}")]
    ResultGone {
        /// The job.
        id: JobId,
        /// The reason.
        reason: &'static str,
    },
    /// The manager has been shut down, or is about to be.
    #[error("the server is ending and takes no new work")]
    Stopping,
    /// The server has as many live jobs as it takes.
    #[error(
        "{0} jobs of this server are live, and it takes no more (JOB_MAX_LIVE); wait until one ends, or cancel one, and try again"
    )]
    TooManyLive(usize),
    /// The client has as many waits and streams open as it may have.
    #[error(
        "{0} waits of this client are open, and it may have no more; name up to 100 jobs in one wait_job, or wait until one returns"
    )]
    TooManyWaits(usize),
    /// The work of these jobs went on when a shutdown was over. It ends with the process.
    #[error("the shutdown is over, and work is not: {0}")]
    StillRunning(String),
    /// Jobs are kept in memory in place of a disk that failed, so that no job can be promised. The reason names no place; the log
    /// and [`JobManager::health`](crate::JobManager::health) do. Of a shutdown, it says how much was not written.
    #[error("jobs cannot be kept on disk at the moment: {0}")]
    NotDurable(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(id) => Self::NotFound(id),
            other => Self::Store(other),
        }
    }
}

impl Error {
    /// The error as a client reads it, without places of the server. The whole one goes to the log.
    pub(crate) fn answer_text(&self) -> String {
        match self {
            Self::Store(error) => error.answer_text(),
            error => error.to_string(),
        }
    }
}
