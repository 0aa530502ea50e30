//! Random jobs and random changes to them.

use std::sync::Arc;

use serde_json::json;
use smart_async::job::{
    Change, HydratedState, JobEvent, JobFailure, JobId, JobOutput, JobRecord, JobSpec, Progress,
    StateName,
};
use smart_async::store::JobStore;
use smart_async::store::conformance::helpers::at;

use crate::SeededRng;

/// A new job. The same numbers give the same job, but for its owner.
pub fn new_job(rng: &mut SeededRng, owner: &dyn JobStore, second: i64) -> JobRecord {
    let (high, low) = (rng.next(), rng.next());
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    );
    let id: JobId = id.parse().expect("an id");
    let mut job = JobRecord::new(id, JobSpec::new("simulate", "reactor", at(second)));
    job.owner = Some(owner.owner());
    // Few sizes, so that a record often takes exactly the place of another that was lost.
    job.spec_mut().label = "x".repeat([1, 40, 400][rng.below(3) as usize]);
    if low % 3 == 0 {
        // Written once, and kept by each later line.
        job.spec_mut().arguments = json!({"to": second}).as_object().cloned();
    }
    job
}

/// Something that may happen to the job, and what it is then.
pub fn next_change(rng: &mut SeededRng, job: &JobRecord, second: i64) -> (Change, Arc<JobRecord>) {
    loop {
        let text = "y".repeat([0, 40, 400][rng.below(3) as usize]);
        let event = match rng.below(10) {
            0..3 => JobEvent::Start,
            3..6 => JobEvent::Progress,
            6 => JobEvent::RequestCancel,
            7 => JobEvent::Complete(JobOutput::new(text)),
            8 => JobEvent::Fail(JobFailure::error(text)),
            _ => JobEvent::Cancel,
        };
        let progress = Progress::new(second as f64, None, None);
        let change = Change::new(event, at(second)).with_progress(Some(progress));
        let change = with_state(job.id, change);
        if let Ok(next) = job.apply(change.clone()) {
            return (change, Arc::new(next));
        }
    }
}

/// The state that every completion fills.
pub fn state_name() -> StateName {
    StateName::new("latest").expect("a name")
}

/// The change with the state that it fills, where it completes the job.
pub fn with_state(id: JobId, mut change: Change) -> Change {
    if let JobEvent::Complete(output) = &change.event {
        let text = output.result.as_str().unwrap_or_default();
        let value = text.chars().take(8).collect::<String>();
        let (field, at) = (state_name(), change.at);
        let state = HydratedState::new(field, id, "reactor", "simulate", at, value.into());
        change.state = Some(Arc::new(state));
    }
    change
}

/// A completion of a job that has ended. It must be refused, and fill no state.
pub fn late_end(id: JobId) -> Change {
    with_state(id, Change::new(JobEvent::Complete(JobOutput::new(LATE)), at(0)))
}

/// The result of completions that must be refused.
pub const LATE: &str = "late";
