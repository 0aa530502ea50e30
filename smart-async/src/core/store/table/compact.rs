//! What changes of a live record of the usual kind, in little room: most of a record's own is for what few jobs have. What never
//! changes, or is asked for at every turn, stands beside it, in its entry.

use crate::core::job::{JobRecord, JobState, OwnerId, Progress, ResultKept, Timestamp};

/// A live record without what its entry says of it.
pub(in crate::core::store) struct Small {
    /// Where it waits for an answer or runs.
    started: Option<Started>,
    updated_at: Timestamp,
    owner: Option<OwnerId>,
    attempt: u32,
    pub(in crate::core::store) cancel_requested: bool,
    progress: Option<Box<Progress>>,
}

struct Started {
    at: Timestamp,
    asks: bool,
}

impl Small {
    /// Of a job that has not ended, and has nothing that few have. Of such a job, some may be large, and the whole record is
    /// better shared than made anew at each look.
    pub(in crate::core::store) fn of(job: &JobRecord) -> Option<Self> {
        // Every field is named here, so that a new one cannot be forgotten.
        let JobRecord {
            // These the entry has.
            id: _,
            label: _,
            tool: _,
            server: _,
            created_at: _,
            session: _,
            scope: _,
            state,
            result_kept,
            updated_at,
            progress,
            questions,
            cancel_requested,
            attempt,
            tags,
            owner,
            rerun,
            state_target,
            unknown_fields,
        } = job;
        let started = match state {
            JobState::Pending => None,
            JobState::Running { started_at } => Some(Started { at: *started_at, asks: false }),
            JobState::InputRequired { started_at } => Some(Started { at: *started_at, asks: true }),
            JobState::Completed { .. } | JobState::Failed { .. } | JobState::Cancelled { .. } => {
                return None;
            }
        };
        let is_usual = questions.is_empty()
            && tags.is_empty()
            && rerun.is_none()
            && state_target.is_none()
            && unknown_fields.is_empty()
            && *result_kept == ResultKept::InRecord;
        is_usual.then(|| Self {
            started,
            updated_at: *updated_at,
            owner: *owner,
            attempt: *attempt,
            cancel_requested: *cancel_requested,
            progress: progress.clone().map(Box::new),
        })
    }

    /// Puts what is kept here into a record that has what its entry says of it.
    pub(in crate::core::store) fn fill(&self, job: &mut JobRecord) {
        job.state = match self.started {
            None => JobState::Pending,
            Some(Started { at: started_at, asks: false }) => JobState::Running { started_at },
            Some(Started { at: started_at, asks: true }) => JobState::InputRequired { started_at },
        };
        job.updated_at = self.updated_at;
        job.owner = self.owner;
        job.attempt = self.attempt;
        job.cancel_requested = self.cancel_requested;
        job.progress = self.progress.as_deref().cloned();
    }
}
