//! What a store keeps of a state: the value that a job completed with, and which job that was. Which of two
//! completions stands is decided here, so that every store decides it alike.

use std::fmt;

use chrono::SubsecRound;
use serde_json::Value;

use crate::core::job::{JobId, StateName, Timestamp};

/// The value of a state, and where it comes from.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct HydratedState {
    /// The state.
    pub field: StateName,
    /// The job that completed with it, or the call that ended within its budget.
    pub job_id: JobId,
    /// The server that the job belongs to.
    pub server: String,
    /// The job's tool.
    pub tool: String,
    /// When the job completed, to the millisecond.
    pub completed_at: Timestamp,
    /// What it completed with, or the part of it that its tool names.
    pub value: Value,
}

impl HydratedState {
    /// What `job_id` completed with.
    pub fn new(
        field: StateName,
        job_id: JobId,
        server: impl Into<String>,
        tool: impl Into<String>,
        completed_at: Timestamp,
        value: Value,
    ) -> Self {
        // The precision in which it is kept: the same completion has to be known again.
        let completed_at = completed_at.trunc_subsecs(3);
        Self { field, job_id, server: server.into(), tool: tool.into(), completed_at, value }
    }

    /// Whether this completion takes the place of the one that `stands`, where it is `now`.
    ///
    /// The later one stands, whoever is first to write; of two in the same millisecond, that of the greater id. A
    /// completion that lies in the future gives way to one that does not: the clock has been set back since. The same
    /// completion never replaces itself.
    #[must_use]
    pub fn replaces(&self, stands: &Self, now: Timestamp) -> bool {
        let rank = |state: &Self| rank(state.completed_at, state.job_id, now);
        rank(self) > rank(stands)
    }
}

/// What completions are ordered by.
pub(crate) fn rank(completed_at: Timestamp, id: JobId, now: Timestamp) -> (bool, Timestamp, JobId) {
    (completed_at <= now, completed_at, id)
}

/// Results may be secrets: they do not go into logs.
impl fmt::Debug for HydratedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HydratedState")
            .field("field", &self.field)
            .field("job_id", &self.job_id)
            .field("server", &self.server)
            .field("tool", &self.tool)
            .field("completed_at", &self.completed_at)
            .finish_non_exhaustive()
    }
}
