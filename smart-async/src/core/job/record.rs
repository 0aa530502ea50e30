//! The record that a store keeps of a job.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::document::JobDocument;
use super::{
    Change, IllegalTransition, JobEvent, JobId, JobScope, JobState, JobStatus, OwnerId, Progress,
    Question, Rerun, ResultKept, StateTarget, Timestamp, question,
};

/// What is known about a job, and what lies on disk of it.
///
/// Serialized, it is one flat JSON object (its fields: `docs/reference/jobs-json.md`). Fields that this version does not
/// know are kept as they were read.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct JobRecord {
    /// The job's name.
    pub id: JobId,
    /// What people call it; the tool's name unless somebody gave it another.
    pub label: String,
    /// The tool, or the kind of work.
    pub tool: String,
    /// The server it belongs to; other servers over the same folder leave it alone.
    pub server: String,
    /// Where it stands.
    pub state: JobState,
    /// Whether `state` holds what the job ended with, or another place does.
    pub result_kept: ResultKept,
    /// When it became a job.
    pub created_at: Timestamp,
    /// When the record changed last.
    pub updated_at: Timestamp,
    /// How far the work has come, where it said so.
    pub progress: Option<Progress>,
    /// What the work has asked, by key; dropped when the job ends.
    pub questions: BTreeMap<String, Question>,
    /// Whether somebody asked for it to be stopped.
    pub cancel_requested: bool,
    /// Which run of the work this is, from 1.
    pub attempt: u32,
    /// The caller's own marks.
    pub tags: BTreeMap<String, String>,
    /// The caller's own grouping. It grants and hides nothing.
    pub session: Option<String>,
    /// Whose it is, where it was made over HTTP. No answer to a client has it.
    pub scope: Option<JobScope>,
    /// The process that runs it, or is about to. A job without one that has not ended waits for a server that can run it
    /// again.
    pub owner: Option<OwnerId>,
    /// What its work needs to run again after the end of its server, where it may; dropped when the job ends.
    pub rerun: Option<Rerun>,
    /// The state that the result goes into when the job completes.
    pub state_target: Option<StateTarget>,
    /// Fields of a later version, kept as they were read.
    pub unknown_fields: Map<String, Value>,
}

impl JobRecord {
    /// A job that has not begun.
    pub fn pending(
        id: JobId,
        tool: impl Into<String>,
        server: impl Into<String>,
        created_at: Timestamp,
    ) -> Self {
        let tool = tool.into();
        Self {
            id,
            label: tool.clone(),
            tool,
            server: server.into(),
            state: JobState::Pending,
            result_kept: ResultKept::InRecord,
            created_at,
            updated_at: created_at,
            progress: None,
            questions: BTreeMap::new(),
            cancel_requested: false,
            attempt: 1,
            tags: BTreeMap::new(),
            session: None,
            scope: None,
            owner: None,
            rerun: None,
            state_target: None,
            unknown_fields: Map::new(),
        }
    }

    /// Where the job stands.
    pub const fn status(&self) -> JobStatus {
        self.state.status()
    }

    /// Whether the work may run once more after the end of the process that had it in hand.
    pub fn may_rerun(&self) -> bool {
        /// A server that ends each time before the work begins is given up on as well.
        const FALSE_STARTS: u32 = 3;
        self.rerun.as_ref().is_some_and(|rerun| match self.status() {
            JobStatus::Pending => rerun.false_starts < FALSE_STARTS,
            _ => self.attempt <= rerun.max_reruns,
        })
    }

    /// Whether the job waits for a server that can run its work again.
    pub fn waits_for_rerun(&self) -> bool {
        self.status() == JobStatus::Pending && self.owner.is_none() && self.rerun.is_some()
    }

    /// The record after `change`.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the change cannot happen to a job in this state, or was meant for another owner's run.
    /// Nothing can happen to one that has ended: late progress and late ends are refused alike.
    pub fn apply(&self, change: Change) -> Result<Self, IllegalTransition> {
        let Change { event, at, progress, owned_by, result_kept } = change;
        let refused = IllegalTransition { status: self.status(), event: event.name() };
        if owned_by.is_some_and(|owner| owner != self.owner) {
            return Err(refused);
        }
        let event = self.decided(event);
        let mut next = self.clone();
        if progress.is_some() {
            next.progress = progress;
        }
        match &event {
            JobEvent::RequestCancel => next.cancel_requested = true,
            // One process takes it on: whoever comes second finds an owner.
            JobEvent::Claim(_) if self.owner.is_some() || self.rerun.is_none() => {
                return Err(refused);
            }
            JobEvent::Claim(owner) => next.owner = Some(*owner),
            JobEvent::Requeue if self.rerun.is_none() => return Err(refused),
            JobEvent::Requeue => {
                next.owner = None;
                next.progress = None;
                if self.status() != JobStatus::Pending {
                    next.attempt = self.attempt.saturating_add(1);
                } else if let Some(rerun) = &mut next.rerun {
                    // Work that never began has not been attempted.
                    rerun.false_starts = rerun.false_starts.saturating_add(1);
                }
            }
            JobEvent::Ask(..) | JobEvent::Answer(..) | JobEvent::GiveUp(_) => {
                next.questions =
                    question::after(&self.questions, &event, self.attempt).ok_or(refused)?;
            }
            _ => {}
        }
        next.state = next.state.apply(event, at)?;
        next.updated_at = at;
        let awaits = question::awaited(&next.questions, next.attempt);
        next.state = match (&self.state, next.state) {
            // One of several questions was answered.
            (JobState::InputRequired { .. }, JobState::Running { started_at }) if awaits => {
                JobState::InputRequired { started_at }
            }
            // What was asked has its answer already.
            (JobState::Running { .. }, JobState::InputRequired { started_at }) if !awaits => {
                JobState::Running { started_at }
            }
            (_, state) => state,
        };
        if next.status().is_terminal() {
            next.rerun = None;
            next.questions.clear();
            next.result_kept = result_kept;
        }
        Ok(next)
    }

    /// What the end of the process that had the work in hand means to this job, and a wish to stop what nobody runs.
    fn decided(&self, event: JobEvent) -> JobEvent {
        match event {
            JobEvent::RequestCancel if self.waits_for_rerun() => JobEvent::Cancel,
            JobEvent::Interrupt(_) if self.cancel_requested => JobEvent::Cancel,
            JobEvent::Interrupt(_) if self.may_rerun() => JobEvent::Requeue,
            JobEvent::Interrupt(mut failure) if self.attempt > 1 => {
                // One that is pending has not begun the run that it was taken on for.
                let runs = self.attempt - u32::from(self.status() == JobStatus::Pending);
                failure.message.push_str(&format!("; it has run {runs} times"));
                JobEvent::Interrupt(failure)
            }
            event => event,
        }
    }

    /// The record of work that has asked this before it became a job.
    pub(crate) fn with_questions(mut self, questions: BTreeMap<String, Question>) -> Self {
        if let JobState::Running { started_at } = self.state
            && question::awaited(&questions, self.attempt)
        {
            self.state = JobState::InputRequired { started_at };
        }
        self.questions = question::kept(questions);
        self
    }

    /// For how long the work ran, or has run by `now`, by the wall clock.
    pub fn elapsed(&self, now: Timestamp) -> Option<std::time::Duration> {
        let started_at = self.state.started_at()?;
        let end = self.state.completed_at().unwrap_or(now);
        Some((end - started_at).to_std().unwrap_or_default())
    }
}

/// Arguments, results and tags may be secrets: they do not go into logs.
impl fmt::Debug for JobRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRecord")
            .field("id", &self.id)
            .field("label", &self.label)
            .field("tool", &self.tool)
            .field("server", &self.server)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A JSON object that is no job record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not a job record: {reason}")]
pub struct MalformedRecord {
    /// What is wrong with it.
    pub reason: String,
}

impl JobRecord {
    /// The record as one flat JSON object, as `jobs.json` holds it.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(JobDocument::from(self)).unwrap_or_default()
    }

    /// How many bytes the record takes as JSON, with the file that its result is in.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_with(serde_json::to_vec(&JobDocument::from(self)).map_or(0, |text| text.len()))
    }

    /// As [`stored_bytes`](Self::stored_bytes), where it is known how long its text is.
    pub(crate) const fn stored_with(&self, text_bytes: usize) -> u64 {
        let file_bytes = match self.result_kept {
            ResultKept::InFile { file_bytes, .. } => file_bytes,
            ResultKept::InRecord | ResultKept::InMemory => 0,
        };
        (text_bytes as u64).saturating_add(file_bytes)
    }

    /// The record from its JSON object.
    ///
    /// # Errors
    /// [`MalformedRecord`], saying which field is missing or wrong.
    pub fn from_json(value: Value) -> Result<Self, MalformedRecord> {
        let document: JobDocument<'_> = serde_json::from_value(value)
            .map_err(|error| MalformedRecord { reason: error.to_string() })?;
        document.try_into()
    }

    /// The record from its JSON text.
    ///
    /// # Errors
    /// [`MalformedRecord`], as [`from_json`](Self::from_json).
    pub(crate) fn from_text(text: &str) -> Result<Self, MalformedRecord> {
        match serde_json::from_str::<JobDocument<'_>>(text) {
            Ok(document) => document.try_into(),
            // A field that is there twice counts as it does everywhere in JSON: the last one.
            Err(error) => match serde_json::from_str(text) {
                Ok(value) => Self::from_json(value),
                Err(_) => Err(MalformedRecord { reason: error.to_string() }),
            },
        }
    }
}

impl serde::Serialize for JobRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JobDocument::from(self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;
    use crate::core::job::{FailureKind, JobFailure, JobOutput};

    fn record() -> JobRecord {
        JobRecord::pending(JobId::new(), "simulate", "reactor", Timestamp::UNIX_EPOCH)
    }

    fn after(record: &JobRecord, seconds: i64, event: JobEvent) -> JobRecord {
        record
            .apply(Change::new(event, Timestamp::UNIX_EPOCH + Duration::seconds(seconds)))
            .unwrap()
    }

    #[test]
    fn finished_job_ignores_late_progress() {
        let ended =
            after(&after(&record(), 1, JobEvent::Start), 2, JobEvent::Complete(JobOutput::new(7)));
        let late = Change::new(JobEvent::Progress, Timestamp::UNIX_EPOCH)
            .with_progress(Some(Progress::new(1.0, None, None)));
        assert!(ended.apply(late).is_err());
    }

    #[test]
    fn a_request_to_cancel_is_remembered_and_changes_no_state() {
        let asked = after(&after(&record(), 1, JobEvent::Start), 2, JobEvent::RequestCancel);
        assert!(asked.cancel_requested);
        assert_eq!(asked.status(), JobStatus::Running);
    }

    fn interrupted() -> JobEvent {
        JobEvent::Interrupt(JobFailure::new(FailureKind::Interrupted, "its server ended"))
    }

    /// A job whose work may run again so many times.
    fn rerunnable(max_reruns: u32) -> JobRecord {
        let arguments = serde_json::json!({"days": 3}).as_object().cloned().unwrap();
        let rerun = Some(Rerun::new(arguments, max_reruns));
        JobRecord { rerun, owner: Some(OwnerId::new()), ..record() }
    }

    fn refused(record: &JobRecord, change: Change) -> bool {
        record.apply(change).is_err()
    }

    #[test]
    fn an_interrupted_job_fails_unless_it_may_run_again() {
        let failed = after(&after(&record(), 1, JobEvent::Start), 2, interrupted());
        assert_eq!(failed.status(), JobStatus::Failed);

        let mut job = rerunnable(2);
        for attempt in 1..=3 {
            assert_eq!(job.attempt, attempt);
            job = after(&job, 1, JobEvent::Start);
            let moved = Change::new(JobEvent::Progress, Timestamp::UNIX_EPOCH)
                .with_progress(Some(Progress::new(1.0, None, None)));
            job = job.apply(moved).unwrap();
            job = after(&job, 2, interrupted());
            if attempt < 3 {
                assert!(job.waits_for_rerun() && job.progress.is_none(), "attempt {attempt}");
                job = after(&job, 3, JobEvent::Claim(OwnerId::new()));
            }
        }
        assert_eq!((job.status(), &job.rerun), (JobStatus::Failed, &None));
        let JobState::Failed { failure, .. } = &job.state else { panic!("{job:?}") };
        assert_eq!(failure.message, "its server ended; it has run 3 times");
    }

    #[test]
    fn an_interrupted_job_that_was_to_be_stopped_is_cancelled() {
        for job in [record(), rerunnable(1)] {
            let asked = after(&after(&job, 1, JobEvent::Start), 2, JobEvent::RequestCancel);
            assert_eq!(after(&asked, 3, interrupted()).status(), JobStatus::Cancelled);
        }
    }

    #[test]
    fn work_that_never_began_was_not_attempted() {
        let waiting = after(&rerunnable(1), 1, interrupted());
        assert!(waiting.waits_for_rerun());
        assert_eq!(waiting.attempt, 1);

        // Also where it is the last attempt that it may have: who took it on died before it began.
        let begun = after(&after(&rerunnable(1), 1, JobEvent::Start), 2, interrupted());
        let taken_on = after(&begun, 3, JobEvent::Claim(OwnerId::new()));
        let waiting = after(&taken_on, 4, interrupted());
        assert!(waiting.waits_for_rerun());
        assert_eq!(waiting.attempt, 2);
    }

    #[test]
    fn a_server_that_ends_each_time_before_the_work_begins_is_given_up_on() {
        let mut job = after(&rerunnable(9), 1, interrupted());
        let mut claims = 0;
        while job.waits_for_rerun() {
            job = after(&job, 2, JobEvent::Claim(OwnerId::new()));
            job = after(&job, 3, interrupted());
            claims += 1;
            assert!(claims < 10, "it ends");
        }
        assert_eq!((job.status(), job.attempt), (JobStatus::Failed, 1));
    }

    #[test]
    fn what_nobody_runs_is_cancelled_by_the_wish_alone() {
        let waiting = after(&rerunnable(1), 1, interrupted());
        assert_eq!(after(&waiting, 2, JobEvent::RequestCancel).status(), JobStatus::Cancelled);
        let taken_on = after(&waiting, 2, JobEvent::Claim(OwnerId::new()));
        assert_eq!(after(&taken_on, 3, JobEvent::RequestCancel).status(), JobStatus::Pending);
    }

    #[test]
    fn one_process_takes_on_work_that_waits() {
        let waiting = after(&rerunnable(1), 1, interrupted());
        let taken = after(&waiting, 2, JobEvent::Claim(OwnerId::new()));
        let again = Change::new(JobEvent::Claim(OwnerId::new()), Timestamp::UNIX_EPOCH);
        assert!(refused(&taken, again.clone()));
        assert!(refused(&record(), again), "what cannot run again cannot be taken on");
    }

    fn ask(key: &str) -> JobEvent {
        let request = serde_json::json!({"params": {"message": key}});
        let (asked, expires) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        JobEvent::Ask(key.to_owned(), Box::new(Question::new(request, asked, expires)))
    }

    fn answer(key: &str) -> JobEvent {
        JobEvent::Answer(key.to_owned(), serde_json::json!({"action": "decline"}))
    }

    #[test]
    fn a_job_is_input_required_until_its_last_question_is_answered_or_given_up() {
        let running = after(&record(), 1, JobEvent::Start);
        let asking = after(&after(&running, 2, ask("name")), 3, ask("size"));
        assert_eq!(asking.open_questions().count(), 2);
        let half = after(&asking, 4, answer("name"));
        assert_eq!(half.status(), JobStatus::InputRequired);
        assert_eq!(half.open_questions().map(|(key, _)| key).collect::<Vec<_>>(), ["size"]);
        for last in [answer("size"), JobEvent::GiveUp("size".into())] {
            assert_eq!(after(&half, 5, last).status(), JobStatus::Running);
        }
    }

    #[test]
    fn a_question_is_asked_answered_and_given_up_once() {
        let asking = after(&after(&record(), 1, JobEvent::Start), 2, ask("name"));
        let again = |event| Change::new(event, Timestamp::UNIX_EPOCH);
        for first in [answer("name"), JobEvent::GiveUp("name".into())] {
            let closed = after(&asking, 3, first);
            for second in [ask("name"), answer("name"), JobEvent::GiveUp("name".into())] {
                assert!(refused(&closed, again(second)));
            }
        }
        assert!(refused(&asking, again(answer("size"))), "nobody asked that");
    }

    #[test]
    fn what_an_earlier_run_asked_can_be_answered_and_is_not_waited_for() {
        let asking = after(&after(&rerunnable(1), 1, JobEvent::Start), 2, ask("name"));
        let waiting = after(&asking, 3, interrupted());
        assert_eq!(waiting.status(), JobStatus::Pending);
        assert_eq!(waiting.open_questions().count(), 0);
        assert_eq!(after(&waiting, 4, answer("name")).status(), JobStatus::Pending);
        let running =
            after(&after(&waiting, 4, JobEvent::Claim(OwnerId::new())), 5, JobEvent::Start);
        assert_eq!(running.status(), JobStatus::Running);
        assert_eq!(after(&running, 6, ask("name")).status(), JobStatus::InputRequired);
        let told = after(&after(&running, 6, ask("size")), 7, answer("size"));
        assert_eq!(told.status(), JobStatus::Running, "the old question holds nothing up");
    }

    #[test]
    fn questions_are_forgotten_when_the_job_ends() {
        let asking = after(&after(&record(), 1, JobEvent::Start), 2, ask("name"));
        assert!(after(&asking, 3, JobEvent::Cancel).questions.is_empty());
    }

    #[test]
    fn a_change_meant_for_another_owners_run_is_refused() {
        let dead = rerunnable(1);
        let late = Change::new(interrupted(), Timestamp::UNIX_EPOCH).owned_by(dead.owner);
        let taken = after(
            &after(&after(&dead, 1, JobEvent::Start), 2, interrupted()),
            3,
            JobEvent::Claim(OwnerId::new()),
        );
        assert!(refused(&taken, late.clone()));
        assert!(dead.apply(late).is_ok());
    }

    #[test]
    fn every_state_reads_back_from_its_json() {
        let running = after(&record(), 1, JobEvent::Start);
        let mut failure = JobFailure::new(FailureKind::Error, "Division by zero");
        failure.code = Some(-32603);
        failure.details = Some(serde_json::json!({"at": 3}));
        failure.tool_result = Some(Box::new(serde_json::json!({"content": []})));
        let mut output = JobOutput::new("text").with_metadata("rows", 3);
        output.tool_result = Some(serde_json::json!({"content": [1]}));
        for record in [
            record(),
            running.clone(),
            after(&running, 2, ask("name")),
            after(&after(&running, 2, ask("name")), 3, answer("name")),
            after(&after(&running, 2, ask("name")), 3, JobEvent::GiveUp("name".into())),
            after(&running, 3, JobEvent::Complete(output)),
            after(&running, 3, JobEvent::Complete(JobOutput::default())),
            after(&running, 4, JobEvent::Fail(failure.clone())),
            after(&record(), 4, JobEvent::Fail(failure)),
            after(&running, 5, JobEvent::Cancel),
            rerunnable(3),
            after(&rerunnable(3), 1, interrupted()),
        ] {
            assert!(
                JobRecord::from_json(record.to_json()).unwrap() == record,
                "{}",
                record.to_json()
            );
        }
    }

    #[test]
    fn fields_of_a_later_version_are_kept() {
        let mut json = record().to_json();
        json["shoe_size"] = 43.into();
        let back = JobRecord::from_json(json.clone()).unwrap();
        assert_eq!(back.to_json()["shoe_size"], 43);
    }

    #[test]
    fn where_the_result_goes_is_kept() {
        for (pointer, spelled) in [("", None), ("/a~1b", Some("/a~1b"))] {
            let mut record = record();
            record.state_target = Some(StateTarget::new("latest", pointer));
            let json = record.to_json();
            assert_eq!(json["state_field"], "latest");
            assert_eq!(json.get("state_pointer").and_then(Value::as_str), spelled);
            assert!(JobRecord::from_json(json).unwrap() == record);
        }
        assert!(record().to_json().get("state_field").is_none());
    }

    #[test]
    fn a_record_that_lacks_what_its_state_needs_is_refused_by_name() {
        let mut json = after(&record(), 1, JobEvent::Start).to_json();
        json.as_object_mut().unwrap().remove("started_at");
        let error = JobRecord::from_json(json).unwrap_err().to_string();
        assert_eq!(error, "not a job record: a job that is running needs `started_at`");
    }

    #[test]
    fn debug_output_hides_results_and_tags() {
        let mut record = after(
            &after(&record(), 1, JobEvent::Start),
            2,
            JobEvent::Complete(JobOutput::new("hush")),
        );
        record.tags.insert("token".into(), "hush".into());
        assert!(!format!("{record:?}").contains("hush"));
    }
}
