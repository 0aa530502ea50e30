//! What never reaches the store, because a tool says `store_result = false` or `redact`: the change that goes there lacks
//! it, and this process keeps the whole in memory for those who ask here, until the job is pruned or the process ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::core::call_site::CallSite;
use crate::core::job::{
    Change, FailureKind, JobEvent, JobId, JobRecord, JobState, Progress, Question, ResultLocation,
};

/// What stands in the store in place of an error's text.
const NO_TEXT: &str = "the error's text is not kept on disk (redact)";

/// The ends of which the store knows a part only.
#[derive(Debug, Default)]
pub(in crate::core) struct KeptBack(Mutex<HashMap<JobId, End>>);

#[derive(Debug)]
enum End {
    /// As it was told to the supervisor; the store may have taken it or not.
    Told(Box<Change>),
    /// The record as the store has it, and what that lacks: made when somebody first asks.
    Whole(Arc<JobRecord>),
}

impl KeptBack {
    fn ends(&self) -> MutexGuard<'_, HashMap<JobId, End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The change as the store may know it. Of an end, the whole is kept here, before the store is told.
    pub(in crate::core) fn keep(
        &self,
        site: Option<&CallSite>,
        id: JobId,
        change: &Change,
    ) -> Change {
        let stored = site.map_or_else(|| change.clone(), |site| for_the_store(site, change));
        if stored != *change && ends_a_job(&change.event) {
            self.ends().insert(id, End::Told(Box::new(change.clone())));
        }
        stored
    }

    /// The record with what the store lacks of it, where that is known here. One that ended by another hand, or that
    /// the store has whole, is returned as it is.
    pub(in crate::core) fn put_back(&self, job: Arc<JobRecord>) -> Arc<JobRecord> {
        let mut ends = self.ends();
        let Some(end) = ends.get_mut(&job.id) else { return job };
        let whole = match end {
            End::Whole(whole) => return Arc::clone(whole),
            // The store may have taken another end in place of the one that was told of.
            End::Told(change) if change.at != job.updated_at => return job,
            End::Told(change) => match whole(&job, change) {
                Some(whole) => Arc::new(whole),
                None => return job,
            },
        };
        *end = End::Whole(Arc::clone(&whole));
        whole
    }

    pub(in crate::core) fn forget(&self, id: JobId) {
        self.ends().remove(&id);
    }

    pub(in crate::core) fn jobs(&self) -> Vec<JobId> {
        self.ends().keys().copied().collect()
    }
}

const fn ends_a_job(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Complete(_) | JobEvent::Fail(_) | JobEvent::Cancel)
}

fn for_the_store(site: &CallSite, change: &Change) -> Change {
    let mut stored = change.clone();
    stored.progress = stored.progress.map(|progress| progress_for_the_store(site, progress));
    if !site.keeps_results_back() {
        return stored;
    }
    let payload = stored.take_payload();
    match &mut stored.event {
        JobEvent::Complete(_) => stored.result_location = ResultLocation::InMemory,
        JobEvent::Fail(failure) => {
            // What we say ourselves is nobody's secret.
            let ours = matches!(failure.kind, FailureKind::Deadline | FailureKind::Interrupted);
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

/// Questions as the store may know them: that there are some, and what became of them.
pub(in crate::core) fn questions_for_the_store(
    site: &CallSite,
    mut questions: BTreeMap<String, Question>,
) -> BTreeMap<String, Question> {
    for question in questions.values_mut().filter(|_| site.redact) {
        question.request = None;
        question.answer = None;
    }
    questions
}

/// Progress as the store may know it: the figures stay.
pub(in crate::core) fn progress_for_the_store(site: &CallSite, mut progress: Progress) -> Progress {
    if site.redact {
        progress.message = None;
    }
    progress
}

/// The stored record with what it lacks; `None` where it is not of this end.
fn whole(job: &JobRecord, change: &Change) -> Option<JobRecord> {
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
            assert_eq!(for_the_store(&OPEN, &change), change);
            let job = running().apply(for_the_store(&REDACTED, &change)).unwrap();
            assert!(!job.to_json().to_string().contains("hush"), "{}", job.to_json());
            assert_eq!(job.progress.unwrap().percentage, Some(50.0), "the figures stay");
        }
        let [complete, fail, _] = ends();
        let job = running().apply(for_the_store(&WITHHELD, &complete)).unwrap().to_json();
        assert_eq!((job.get("result"), &job["result_withheld"]), (None, &json!(true)));
        let job = running().apply(for_the_store(&WITHHELD, &fail)).unwrap().to_json();
        assert_eq!((&job["error"], job.get("error_details")), (&json!("hush"), None));
        assert_eq!(job["progress"]["message"], "hush", "only `redact` is about words");
    }

    #[test]
    fn what_the_store_lacks_is_put_back() {
        for change in ends() {
            let kept_back = KeptBack::default();
            let job = running();
            let stored = kept_back.keep(Some(&REDACTED), job.id, &change);
            let stored = Arc::new(job.apply(stored).unwrap());
            for _ in 0..2 {
                let whole = kept_back.put_back(Arc::clone(&stored));
                assert!(*whole == job.apply(change.clone()).unwrap(), "{}", change.event.name());
            }
            kept_back.forget(job.id);
            assert!(kept_back.put_back(Arc::clone(&stored)) == stored);
        }
    }

    #[test]
    fn an_end_by_another_hand_is_not_mixed_up_with_ours() {
        let kept_back = KeptBack::default();
        let job = running();
        let [_, ours, _] = ends();
        kept_back.keep(Some(&REDACTED), job.id, &ours);
        let later = Timestamp::UNIX_EPOCH + chrono::Duration::seconds(1);
        let theirs = JobFailure::new(FailureKind::Interrupted, "its server is gone");
        let theirs = Arc::new(job.apply(Change::new(JobEvent::Fail(theirs), later)).unwrap());
        assert!(kept_back.put_back(Arc::clone(&theirs)) == theirs);
    }

    #[test]
    fn nothing_is_kept_here_where_the_store_may_know_everything() {
        let kept_back = KeptBack::default();
        for change in ends() {
            assert_eq!(kept_back.keep(Some(&OPEN), JobId::new(), &change), change);
            assert_eq!(kept_back.keep(None, JobId::new(), &change), change);
        }
        assert!(kept_back.jobs().is_empty());
    }
}
