//! The value of a state: the result that a job completed with, and the job that it came from. The rule which of two
//! completions stands is here, so that every store applies the same one.

use std::fmt;

use chrono::SubsecRound;
use serde_json::Value;

use super::{JobId, StateName, Timestamp};

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
    /// The result, or the part of it that the tool names.
    pub value: Value,
}

impl HydratedState {
    /// The value that `job_id` completed with.
    pub fn new(
        field: StateName,
        job_id: JobId,
        server: impl Into<String>,
        tool: impl Into<String>,
        completed_at: Timestamp,
        value: Value,
    ) -> Self {
        // Files keep milliseconds, and a store must recognise the same completion when it is put again.
        let completed_at = completed_at.trunc_subsecs(3);
        Self { field, job_id, server: server.into(), tool: tool.into(), completed_at, value }
    }

    /// Returns whether this completion replaces the `present` one, where the store's time is `now`.
    ///
    /// The later completion stands, in whichever order the two are put; of two in the same millisecond, the one of the
    /// greater id. A completion that lies in the future gives way to one that does not, since the clock was set back after
    /// it. A completion never replaces itself.
    #[must_use]
    pub fn replaces(&self, present: &Self, now: Timestamp) -> bool {
        let rank = |state: &Self| (state.completed_at <= now, state.completed_at, state.job_id);
        rank(self) > rank(present)
    }

    /// Returns whether both come from the same completion.
    pub(crate) fn is_of_same_completion(&self, other: &Self) -> bool {
        (self.job_id, self.completed_at) == (other.job_id, other.completed_at)
    }
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
