//! The states of a job, each with the data that only it has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{JobFailure, JobId, JobOutput};

pub use crate::core::clock::Timestamp;

/// The name of a job's state, without the data that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobStatus {
    /// Known and on disk; the work has not begun.
    Pending,
    /// The work is under way.
    Running,
    /// The work is under way and waits for the answer to a question.
    InputRequired,
    /// The work ended with a result.
    Completed,
    /// The work ended without a result; `error` and `error_kind` say why.
    Failed,
    /// The work was stopped on request.
    Cancelled,
}

impl JobStatus {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::InputRequired,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns whether a job in this status stays in it for ever.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The status as the wire and the file spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a job status; allowed: pending, running, input_required, completed, failed, cancelled"
)]
pub struct UnknownStatus;

impl FromStr for JobStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

/// The reason why a pending job does not run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingReason {
    /// Its owner is about to start it.
    Starting,
    /// It waits for a free slot: in the process that owns it, or in a queue where no process does.
    Queued,
    /// It waits for a server that has the tool, to run the work again.
    WaitingForServer,
    /// Its last attempt failed; the next one begins at this time.
    RetryAt(Timestamp),
    /// It was scheduled for this time.
    ScheduledAt(Timestamp),
    /// It waits for the end of these jobs.
    WaitingForJobs(Vec<JobId>),
}

impl PendingReason {
    /// The reason in a word, as files spell it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Queued => "queued",
            Self::WaitingForServer => "waiting_for_server",
            Self::RetryAt(_) => "retry_at",
            Self::ScheduledAt(_) => "scheduled_at",
            Self::WaitingForJobs(_) => "waiting_for_jobs",
        }
    }
}

/// A job's state, with the data of that state: an ended job without an end time cannot be written.
///
/// Only [`JobState::apply`] moves a job from one state to another.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JobState {
    /// On disk, not started. A job with an owner is started by it; if that process dies first, recovery fails the job as
    /// `interrupted`, or takes its owner away where the work may run again. A job without an owner waits to be claimed.
    Pending {
        /// Why it does not run yet.
        reason: PendingReason,
    },
    /// The work runs in the owner's process. If that process dies, recovery fails the job as `interrupted`, or makes it
    /// `Pending` without an owner where the work may run again.
    Running {
        /// When the work began, which is before it became a job if it began as an ordinary call.
        started_at: Timestamp,
    },
    /// As `Running`, but the body waits for an answer.
    InputRequired {
        /// When the work began.
        started_at: Timestamp,
    },
    /// Ended with a result. Stays until it is pruned.
    Completed {
        /// When the work began.
        started_at: Timestamp,
        /// When it ended.
        completed_at: Timestamp,
        /// The result.
        output: JobOutput,
    },
    /// Ended without a result. Stays until it is pruned.
    Failed {
        /// When the work began, if it did.
        started_at: Option<Timestamp>,
        /// When it ended.
        completed_at: Timestamp,
        /// Why it failed.
        failure: JobFailure,
    },
    /// Stopped on request. Stays until it is pruned.
    Cancelled {
        /// When the work began, if it did.
        started_at: Option<Timestamp>,
        /// When it had stopped.
        completed_at: Timestamp,
    },
}

impl JobState {
    /// A job that its owner is about to start.
    pub const STARTING: Self = Self::Pending { reason: PendingReason::Starting };

    /// The status that this state is shown as.
    pub const fn status(&self) -> JobStatus {
        match self {
            Self::Pending { .. } => JobStatus::Pending,
            Self::Running { .. } => JobStatus::Running,
            Self::InputRequired { .. } => JobStatus::InputRequired,
            Self::Completed { .. } => JobStatus::Completed,
            Self::Failed { .. } => JobStatus::Failed,
            Self::Cancelled { .. } => JobStatus::Cancelled,
        }
    }

    /// When the work began, if it did.
    pub const fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { .. } => None,
            Self::Running { started_at }
            | Self::InputRequired { started_at }
            | Self::Completed { started_at, .. } => Some(*started_at),
            Self::Failed { started_at, .. } | Self::Cancelled { started_at, .. } => *started_at,
        }
    }

    /// When the job ended, if it did.
    pub const fn completed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { .. } | Self::Running { .. } | Self::InputRequired { .. } => None,
            Self::Completed { completed_at, .. }
            | Self::Failed { completed_at, .. }
            | Self::Cancelled { completed_at, .. } => Some(*completed_at),
        }
    }
}
