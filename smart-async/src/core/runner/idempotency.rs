//! Changes that a store said had failed, and that stand all the same: where a disk fails twice in a row, others may have built
//! upon a change before it could be taken away, and then it stays. Tried again, it is refused, as it was made already.

use std::sync::Arc;

use crate::core::job::{Change, JobEvent, JobId, JobRecord, JobState, ResultLocation};
use crate::core::manager::JobManager;

impl JobManager {
    /// The job, where it is as `change` of its owner, this process, has left it.
    pub(in crate::core) async fn made_already(
        &self,
        id: JobId,
        change: &Change,
    ) -> Option<Arc<JobRecord>> {
        let job = self.store().get(id).await.ok().flatten()?;
        (job.owner == Some(self.store().owner()) && comes_of(&job, change)).then_some(job)
    }
}

/// Whether a job began, or ended, by this very change.
fn comes_of(job: &JobRecord, change: &Change) -> bool {
    let at = change.at;
    match (&job.state, &change.event) {
        (
            JobState::Running { started_at } | JobState::InputRequired { started_at },
            JobEvent::Start,
        ) => *started_at == at,
        (JobState::Completed { completed_at, output, .. }, JobEvent::Complete(told)) => {
            *completed_at == at
                && (job.result_location != ResultLocation::InRecord || output == told)
        }
        // The record adds to the words of an interruption how often the work has run.
        (
            JobState::Failed { completed_at, failure, .. },
            JobEvent::Fail(told) | JobEvent::Interrupt(told),
        ) => {
            *completed_at == at
                && failure.kind == told.kind
                && failure.message.starts_with(&told.message)
        }
        (JobState::Cancelled { completed_at, .. }, JobEvent::Cancel) => *completed_at == at,
        // An interruption cancels what somebody wanted stopped.
        (JobState::Cancelled { completed_at, .. }, JobEvent::Interrupt(_)) => {
            *completed_at == at && job.cancel_requested
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::JobSpec;
    use crate::core::job::{FailureKind, JobFailure, JobOutput, Timestamp};

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + chrono::Duration::seconds(second)
    }

    fn running() -> JobRecord {
        let job = JobRecord::new(JobId::new(), JobSpec::new("tool", "server", at(0)));
        job.apply(Change::new(JobEvent::Start, at(1))).unwrap()
    }

    fn ends() -> Vec<JobEvent> {
        let interrupted = || JobFailure::new(FailureKind::Interrupted, "its server ends");
        vec![
            JobEvent::Complete(JobOutput::new(1)),
            JobEvent::Complete(JobOutput::new(2)),
            JobEvent::Fail(JobFailure::error("one")),
            JobEvent::Fail(JobFailure::error("two")),
            JobEvent::Interrupt(interrupted()),
            JobEvent::Cancel,
        ]
    }

    #[test]
    fn a_change_is_known_by_what_it_made_and_when() {
        for (made, event) in ends().into_iter().enumerate() {
            let job = running().apply(Change::new(event, at(2))).unwrap();
            for (told, event) in ends().into_iter().enumerate() {
                let same = comes_of(&job, &Change::new(event.clone(), at(2)));
                assert_eq!(same, made == told, "{} for {}", event.name(), job.status());
                assert!(!comes_of(&job, &Change::new(event, at(3))), "at another time");
            }
        }
    }

    #[test]
    fn a_start_is_known_whatever_has_come_since() {
        let start = Change::new(JobEvent::Start, at(1));
        let asked = running().apply(Change::new(JobEvent::RequestCancel, at(2))).unwrap();
        assert!(comes_of(&asked, &start));
        assert!(!comes_of(&asked, &Change::new(JobEvent::Start, at(2))), "another run");
    }

    #[test]
    fn what_the_record_makes_of_an_interruption_is_known() {
        let failure = JobFailure::new(FailureKind::Interrupted, "its server ends");
        let change = Change::new(JobEvent::Interrupt(failure), at(3));
        let again = JobRecord { attempt: 2, ..running() };
        assert!(comes_of(&again.apply(change.clone()).unwrap(), &change));
        let asked = running().apply(Change::new(JobEvent::RequestCancel, at(2))).unwrap();
        assert!(comes_of(&asked.apply(change.clone()).unwrap(), &change));
    }
}
