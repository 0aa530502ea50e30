//! Redaction: the parts of a job's results and texts that never reach the store, because its tool says `store_result = false`
//! or `redact`. The change that goes to the store lacks them, and this process keeps the whole end in memory for its own
//! readers, until the job is pruned or the process ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::core::call_site::CallSite;
use crate::core::job::{
    Change, FailureKind, JobEvent, JobId, JobRecord, JobState, Progress, Question, ResultLocation,
};
use crate::core::sync::Mutex;

/// Replaces the text of an error in the store.
const NO_TEXT: &str = "the error's text is not kept on disk (redact)";

/// The ends of which the store has a part only.
#[derive(Debug, Default)]
pub(in crate::core) struct WithheldOutputs(Mutex<HashMap<JobId, WithheldEnd>>);

#[derive(Debug)]
enum WithheldEnd {
    /// The end as the supervisor gave it to the store, which may have refused it.
    Change(Box<Change>),
    /// The record as the store has it, completed with the withheld parts; made for the first reader.
    Record(Arc<JobRecord>),
}

impl WithheldOutputs {
    /// The change as the store may have it. The whole of an end is kept here, before the store sees its part.
    pub(in crate::core) fn redact(
        &self,
        site: Option<&CallSite>,
        id: JobId,
        change: &Change,
    ) -> Change {
        let stored = site.map_or_else(|| change.clone(), |site| redacted(site, change));
        if stored != *change && change.event.ends_job() {
            self.0.lock().insert(id, WithheldEnd::Change(Box::new(change.clone())));
        }
        stored
    }

    /// The record with the parts that the store lacks, where this process has them. A record that the store has whole, or that
    /// another process ended, is returned as it is.
    pub(in crate::core) fn complete(&self, job: Arc<JobRecord>) -> Arc<JobRecord> {
        let mut ends = self.0.lock();
        let Some(end) = ends.get_mut(&job.id) else { return job };
        let whole = match end {
            WithheldEnd::Record(whole) => return Arc::clone(whole),
            // The store may have taken an end of another process in place of this one.
            WithheldEnd::Change(change) if change.at != job.updated_at => return job,
            WithheldEnd::Change(change) => match completed(&job, change) {
                Some(whole) => Arc::new(whole),
                None => return job,
            },
        };
        *end = WithheldEnd::Record(Arc::clone(&whole));
        whole
    }

    pub(in crate::core) fn forget(&self, id: JobId) {
        self.0.lock().remove(&id);
    }

    pub(in crate::core) fn jobs(&self) -> Vec<JobId> {
        self.0.lock().keys().copied().collect()
    }
}

fn redacted(site: &CallSite, change: &Change) -> Change {
    let mut stored = change.clone();
    stored.progress = stored.progress.map(|progress| redacted_progress(Some(site), progress));
    if !site.withholds_results() {
        return stored;
    }
    let payload = stored.take_payload();
    match &mut stored.event {
        JobEvent::Complete(_) => stored.result_location = ResultLocation::InMemory,
        JobEvent::Fail(failure) => {
            // The library's own texts hold no secrets.
            let ours = matches!(
                failure.kind,
                FailureKind::Deadline | FailureKind::Stalled | FailureKind::Interrupted
            );
            let silenced = site.redact && !ours;
            if silenced {
                NO_TEXT.clone_into(&mut failure.message);
            }
            if silenced || payload.is_some_and(|payload| !payload.is_empty()) {
                stored.result_location = ResultLocation::InMemory;
            }
        }
        JobEvent::Ask(_, question) if site.redact => {
            question.request = None;
            question.answer = None;
        }
        JobEvent::Answer(_, answer) if site.redact => *answer = Value::Null,
        _ => {}
    }
    stored
}

/// Questions as the store may have them: their keys, and how they ended.
pub(in crate::core) fn redacted_questions(
    site: Option<&CallSite>,
    mut questions: BTreeMap<String, Question>,
) -> BTreeMap<String, Question> {
    let redacts = site.is_some_and(|site| site.redact);
    for question in questions.values_mut().filter(|_| redacts) {
        question.request = None;
        question.answer = None;
    }
    questions
}

/// Progress as the store may have it: the figures stay.
pub(in crate::core) fn redacted_progress(
    site: Option<&CallSite>,
    mut progress: Progress,
) -> Progress {
    if site.is_some_and(|site| site.redact) {
        progress.message = None;
    }
    progress
}

/// The stored record completed with the withheld parts of this change; `None` where the record does not come of it.
fn completed(job: &JobRecord, change: &Change) -> Option<JobRecord> {
    let mut whole = job.clone();
    match (&mut whole.state, &change.event) {
        (JobState::Completed { output, .. }, JobEvent::Complete(told)) => output.clone_from(told),
        (JobState::Failed { failure, .. }, JobEvent::Fail(told)) => failure.clone_from(told),
        (JobState::Cancelled { .. }, JobEvent::Cancel) => {}
        _ => return None,
    }
    if change.progress.is_some() {
        whole.progress.clone_from(&change.progress);
    }
    whole.result_location = ResultLocation::InRecord;
    Some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::job::JobSpec;
    use crate::core::job::{JobFailure, JobOutput, Timestamp};

    const OPEN: CallSite = CallSite::new("open");
    const WITHHELD: CallSite = CallSite::new("withheld").store_result(false);
    const REDACTED: CallSite = CallSite::new("redacted").redact();

    fn end(event: JobEvent) -> Change {
        let progress = Progress::new(1.0, Some(2.0), Some("hush".into()));
        Change::new(event, Timestamp::UNIX_EPOCH).with_progress(Some(progress))
    }

    fn ends() -> [Change; 3] {
        let output = JobOutput::new("hush").with_metadata("hush", 1);
        let failure = JobFailure::error("hush").with_details(json!({"hush": 1}));
        [end(JobEvent::Complete(output)), end(JobEvent::Fail(failure)), end(JobEvent::Cancel)]
    }

    fn running() -> JobRecord {
        let job =
            JobRecord::new(JobId::new(), JobSpec::new("tool", "server", Timestamp::UNIX_EPOCH));
        job.apply(Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn the_store_gets_no_more_than_the_tool_allows() {
        for change in ends() {
            assert_eq!(redacted(&OPEN, &change), change);
            let job = running().apply(redacted(&REDACTED, &change)).unwrap();
            assert!(!job.to_json().to_string().contains("hush"), "{}", job.to_json());
            assert_eq!(job.progress.unwrap().percentage, Some(50.0), "the figures stay");
        }
        let [complete, fail, _] = ends();
        let job = running().apply(redacted(&WITHHELD, &complete)).unwrap().to_json();
        assert_eq!((job.get("result"), &job["result_withheld"]), (None, &json!(true)));
        let job = running().apply(redacted(&WITHHELD, &fail)).unwrap().to_json();
        assert_eq!((&job["error"], job.get("error_details")), (&json!("hush"), None));
        assert_eq!(job["progress"]["message"], "hush", "only `redact` is about words");
    }

    #[test]
    fn readers_of_this_process_get_the_whole_end() {
        for change in ends() {
            let withheld = WithheldOutputs::default();
            let job = running();
            let stored = withheld.redact(Some(&REDACTED), job.id, &change);
            let stored = Arc::new(job.apply(stored).unwrap());
            for _ in 0..2 {
                let whole = withheld.complete(Arc::clone(&stored));
                assert!(*whole == job.apply(change.clone()).unwrap(), "{}", change.event.name());
            }
            withheld.forget(job.id);
            assert!(withheld.complete(Arc::clone(&stored)) == stored);
        }
    }

    #[test]
    fn an_end_by_another_process_is_not_mixed_up_with_ours() {
        let withheld = WithheldOutputs::default();
        let job = running();
        let [_, ours, _] = ends();
        withheld.redact(Some(&REDACTED), job.id, &ours);
        let later = Timestamp::UNIX_EPOCH + chrono::Duration::seconds(1);
        let theirs = JobFailure::new(FailureKind::Interrupted, "its server is gone");
        let theirs = Arc::new(job.apply(Change::new(JobEvent::Fail(theirs), later)).unwrap());
        assert!(withheld.complete(Arc::clone(&theirs)) == theirs);
    }

    #[test]
    fn nothing_is_withheld_where_the_store_may_have_everything() {
        let withheld = WithheldOutputs::default();
        for change in ends() {
            assert_eq!(withheld.redact(Some(&OPEN), JobId::new(), &change), change);
            assert_eq!(withheld.redact(None, JobId::new(), &change), change);
        }
        assert!(withheld.jobs().is_empty());
    }
}
