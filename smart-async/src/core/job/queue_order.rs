//! The order in which waiting jobs begin: by priority, and of equally urgent ones the first to come. A job gains one level of
//! priority for each minute that it waits, so that none waits for ever.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{JobCursor, JobRecord, JobState, PendingReason, Timestamp};

/// How long a job waits until it is as urgent as one of the next higher priority that comes then.
const LEVEL: TimeDelta = TimeDelta::minutes(1);

/// The jobs in the order in which they begin.
pub(super) fn in_order(mut jobs: Vec<Arc<JobRecord>>) -> Vec<Arc<JobRecord>> {
    jobs.sort_by_key(|job| JobCursor::behind(job));
    // Where the clock was put back, an earlier job shows a later time than the next one. It came no later than that.
    let mut latest = Timestamp::MAX_UTC;
    let mut ranked: Vec<_> = jobs
        .into_iter()
        .rev()
        .map(|job| {
            let came = match waited_for(&job) {
                Some(time) => time.max(job.spec.created_at),
                None => {
                    latest = latest.min(job.spec.created_at);
                    latest
                }
            };
            let priority = match &job.dispatch {
                Some(dispatch) => dispatch.priority,
                None => job.spec.priority,
            };
            let ahead = LEVEL * i32::from(priority.get());
            (came.checked_sub_signed(ahead).unwrap_or(came), JobCursor::behind(&job), job)
        })
        .collect();
    ranked.sort_by_key(|(rank, cursor, _)| (*rank, *cursor));
    ranked.into_iter().map(|(_, _, job)| job).collect()
}

/// The time that a job waited for before it came into the line, where it did: a job that is tried again does not count its age,
/// and does not go before those that have waited since.
fn waited_for(job: &JobRecord) -> Option<Timestamp> {
    let reason = match &job.state {
        JobState::Pending {
            reason: PendingReason::RetryAt(time) | PendingReason::ScheduledAt(time),
        } => Some(*time),
        _ => None,
    };
    reason.max(job.dispatch.as_ref().and_then(|dispatch| dispatch.not_before))
}

impl JobRecord {
    /// The place of this job among `waiting` ones in the line for the slots that it needs, from 1.
    pub(in crate::core) fn queue_place(&self, waiting: Vec<Arc<JobRecord>>) -> usize {
        let competes = |other: &JobRecord| {
            let same_tool = other.spec.max_concurrent.is_some()
                && self.spec.max_concurrent.is_some()
                && (&other.spec.server, &other.spec.tool) == (&self.spec.server, &self.spec.tool);
            same_tool || (other.spec.explicit && self.spec.explicit)
        };
        let ahead = in_order(waiting).into_iter().take_while(|other| other.id != self.id);
        1 + ahead.filter(|other| competes(other)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{JobId, JobSpec, Priority};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn job(sequence: u64, second: i64, priority: u8) -> Arc<JobRecord> {
        let mut spec = JobSpec::new("saw", "reactor", at(second));
        spec.priority = Priority::new(priority);
        let mut job = JobRecord::new(JobId::new(), spec);
        job.sequence = sequence;
        Arc::new(job)
    }

    fn order(jobs: Vec<Arc<JobRecord>>) -> Vec<u64> {
        in_order(jobs).iter().map(|job| job.sequence).collect()
    }

    #[test]
    fn the_urgent_come_first_and_of_equals_the_first_to_come() {
        assert_eq!(order(vec![job(3, 2, 5), job(1, 0, 5), job(2, 1, 9)]), [2, 1, 3]);
    }

    #[test]
    fn a_minute_of_waiting_is_worth_a_level_so_that_none_starves() {
        let patient = job(1, 0, 1);
        let urgent = |second| job(2, second, 10);
        assert_eq!(order(vec![Arc::clone(&patient), urgent(539)]), [2, 1]);
        assert_eq!(order(vec![patient, urgent(541)]), [1, 2]);
    }

    #[test]
    fn a_clock_that_was_put_back_turns_no_order_round() {
        // The first two came while the clock was an hour ahead.
        let jobs = vec![job(1, 3600, 5), job(2, 3601, 5), job(3, 1, 5), job(4, 2, 5)];
        assert_eq!(order(jobs), [1, 2, 3, 4]);
    }

    #[test]
    fn a_job_that_is_tried_again_comes_when_its_pause_is_over() {
        let mut again = (*job(1, 0, 5)).clone();
        again.state = JobState::Pending { reason: PendingReason::RetryAt(at(600)) };
        assert_eq!(order(vec![Arc::new(again), job(2, 599, 5), job(3, 601, 5)]), [2, 1, 3]);
    }
}
