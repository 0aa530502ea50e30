//! Changes that were in doubt: the store stopped after a failed write, and the change may stand all the same. Tried again
//! once the store has recovered, such a change is refused, since it was made already.

use std::sync::Arc;

use crate::core::job::{Change, JobEvent, JobId, JobRecord, Timestamp};
use crate::core::local::Local;

/// The job, where `change`, which this process made as its owner, stands.
pub(super) async fn already_applied(
    local: &Local,
    id: JobId,
    change: &Change,
) -> Option<Arc<JobRecord>> {
    let job = local.store.get(id).await.ok().flatten()?;
    let is_ours = job.owner == Some(local.store.owner());
    (is_ours && made_at(&job, &change.event) == Some(change.at)).then_some(job)
}

/// When the job began, for a start, or ended, for an end. Other processes may have changed a job since it began.
fn made_at(job: &JobRecord, event: &JobEvent) -> Option<Timestamp> {
    match event {
        JobEvent::Start => job.state.started_at(),
        _ => job.state.completed_at(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{JobOutput, JobSpec};

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + chrono::Duration::seconds(second)
    }

    #[test]
    fn a_change_is_recognised_by_its_time() {
        let job = JobRecord::new(JobId::new(), JobSpec::new("tool", "server", at(0)));
        let start = JobEvent::Start;
        let running = job.apply(Change::new(start.clone(), at(1))).unwrap();
        let asked = running.apply(Change::new(JobEvent::RequestCancel, at(2))).unwrap();
        assert_eq!(made_at(&asked, &start), Some(at(1)), "whatever has come since");
        let end = JobEvent::Complete(JobOutput::new(1));
        assert_eq!(made_at(&asked, &end), None);
        let ended = asked.apply(Change::new(end.clone(), at(3))).unwrap();
        assert_eq!(made_at(&ended, &end), Some(at(3)));
    }
}
