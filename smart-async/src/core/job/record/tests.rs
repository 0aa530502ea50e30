//! The rules of a record: which changes it takes, and that it reads back as it was written.

use chrono::Duration;

use super::*;
use crate::core::job::{
    FailureKind, JobFailure, JobKind, JobOutput, JobScope, Priority, RetryPolicy, StateTarget,
};

fn record() -> JobRecord {
    JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH))
}

fn after(record: &JobRecord, seconds: i64, event: JobEvent) -> JobRecord {
    record.apply(Change::new(event, Timestamp::UNIX_EPOCH + Duration::seconds(seconds))).unwrap()
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
    let mut spec = JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH);
    (spec.arguments, spec.max_reruns) = (Some(arguments), Some(max_reruns));
    JobRecord { owner: Some(OwnerId::new()), ..JobRecord::new(JobId::new(), spec) }
}

fn claim() -> JobEvent {
    JobEvent::Claim(OwnerId::new(), ClaimToken::new())
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
            assert!(job.waits_for_server() && job.progress.is_none(), "attempt {attempt}");
            job = after(&job, 3, claim());
        }
    }
    assert_eq!((job.status(), &job.spec.arguments), (JobStatus::Failed, &None));
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
    assert!(waiting.waits_for_server());
    assert_eq!(waiting.attempt, 1);

    // Also where it is the last attempt that it may have: who took it on died before it began.
    let begun = after(&after(&rerunnable(1), 1, JobEvent::Start), 2, interrupted());
    let taken_on = after(&begun, 3, claim());
    let waiting = after(&taken_on, 4, interrupted());
    assert!(waiting.waits_for_server());
    assert_eq!(waiting.attempt, 2);
}

#[test]
fn a_server_that_ends_each_time_before_the_work_begins_is_given_up_on() {
    let mut job = after(&rerunnable(9), 1, interrupted());
    let mut claims = 0;
    while job.waits_for_server() {
        job = after(&job, 2, claim());
        job = after(&job, 3, interrupted());
        claims += 1;
        assert!(claims < 10, "it ends");
    }
    assert_eq!((job.status(), job.attempt), (JobStatus::Failed, 1));
    let JobState::Failed { failure, .. } = &job.state else { panic!("{job:?}") };
    let given_up = "its server ended; that happened 4 times, so the job is given up";
    assert_eq!(failure.message, given_up);
}

#[test]
fn a_job_that_is_given_up_before_it_runs_again_says_so_and_how_often_it_ran() {
    let begun = after(&rerunnable(1), 1, JobEvent::Start);
    let mut job = after(&begun, 2, interrupted());
    while job.waits_for_server() {
        job = after(&after(&job, 3, claim()), 4, interrupted());
    }
    let JobState::Failed { failure, .. } = &job.state else { panic!("{job:?}") };
    let given_up =
        "its server ended; that happened 4 times, so the job is given up; it has run once";
    assert_eq!((failure.message.as_str(), job.attempt), (given_up, 2));
}

#[test]
fn a_job_that_no_process_runs_is_cancelled_by_the_request_alone() {
    let waiting = after(&rerunnable(1), 1, interrupted());
    assert_eq!(after(&waiting, 2, JobEvent::RequestCancel).status(), JobStatus::Cancelled);
    let taken_on = after(&waiting, 2, claim());
    assert_eq!(after(&taken_on, 3, JobEvent::RequestCancel).status(), JobStatus::Pending);
}

#[test]
fn one_process_takes_on_work_that_waits() {
    let waiting = after(&rerunnable(1), 1, interrupted());
    let taken = after(&waiting, 2, claim());
    let again = Change::new(claim(), Timestamp::UNIX_EPOCH);
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
    assert!(refused(&asking, again(answer("size"))), "that was not asked");
}

#[test]
fn what_an_earlier_run_asked_can_be_answered_and_is_not_waited_for() {
    let asking = after(&after(&rerunnable(1), 1, JobEvent::Start), 2, ask("name"));
    let waiting = after(&asking, 3, interrupted());
    assert_eq!(waiting.status(), JobStatus::Pending);
    assert_eq!(waiting.open_questions().count(), 0);
    assert_eq!(after(&waiting, 4, answer("name")).status(), JobStatus::Pending);
    let running = after(&after(&waiting, 4, claim()), 5, JobEvent::Start);
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
    let taken = after(&after(&after(&dead, 1, JobEvent::Start), 2, interrupted()), 3, claim());
    assert!(refused(&taken, late.clone()));
    assert!(dead.apply(late).is_ok());
}

#[test]
fn every_state_reads_back_from_its_json() {
    let running = after(&record(), 1, JobEvent::Start);
    let mut failure = JobFailure::new(FailureKind::Error, "Division by zero");
    failure.rpc_code = Some(-32603);
    failure.exit_code = Some(3);
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
        assert!(JobRecord::from_json(record.to_json()).unwrap() == record, "{}", record.to_json());
    }
}

#[test]
fn everything_that_a_spec_says_reads_back_from_its_json() {
    let mut spec = JobSpec::new("build", "reactor", Timestamp::UNIX_EPOCH);
    spec.kind = JobKind::Program;
    spec.label = "nightly".into();
    spec.tags.insert("branch".into(), "main".into());
    spec.session = Some("monday".into());
    spec.scope = Some(JobScope::of_identity("alice"));
    spec.priority = Priority::new(9);
    spec.deadline = Some(std::time::Duration::from_millis(1500));
    spec.retry = Some(RetryPolicy::new(3, std::time::Duration::from_secs(2)));
    spec.max_reruns = Some(2);
    spec.arguments = Some(Map::new());
    spec.state_target = Some(StateTarget::new("latest", "/a"));
    let record = JobRecord::new(JobId::new(), spec);
    assert!(JobRecord::from_json(record.to_json()).unwrap() == record, "{}", record.to_json());
}

#[test]
fn every_reason_to_wait_reads_back_from_its_json() {
    let at = Timestamp::UNIX_EPOCH + Duration::seconds(9);
    for reason in [
        PendingReason::Starting,
        PendingReason::Queued,
        PendingReason::WaitingForServer,
        PendingReason::RetryAt(at),
        PendingReason::ScheduledAt(at),
        PendingReason::WaitingForJobs(vec![JobId::new(), JobId::new()]),
    ] {
        let mut waiting = JobRecord { state: JobState::Pending { reason }, ..record() };
        waiting.dispatch = Some(Dispatch::new("default", Priority::new(3)).not_before(at));
        let back = JobRecord::from_json(waiting.to_json()).unwrap();
        assert!(back == waiting, "{}", waiting.to_json());
    }
}

#[test]
fn every_change_counts_and_names_its_actor() {
    let running = after(&record(), 1, JobEvent::Start);
    assert_eq!((running.version, &running.updated_by), (2, &Actor::Owner));
    let client = Actor::Client(Some(JobScope::of_session("abc")));
    for actor in [client, Actor::Client(None), Actor::Cli, Actor::System] {
        let change = Change::new(JobEvent::RequestCancel, Timestamp::UNIX_EPOCH);
        let asked = running.apply(change.by(actor.clone())).unwrap();
        assert_eq!((asked.version, &asked.updated_by), (3, &actor));
        assert!(JobRecord::from_json(asked.to_json()).unwrap() == asked);
    }
}

#[test]
fn a_claim_closes_the_place_in_the_queue_and_a_requeue_takes_one() {
    let place = Dispatch::new("default", Priority::NORMAL);
    let requeue = JobEvent::Requeue(PendingReason::WaitingForServer);
    let change = Change::new(requeue, Timestamp::UNIX_EPOCH).dispatched(place.clone());
    let waiting = after(&rerunnable(1), 1, JobEvent::Start).apply(change).unwrap();
    assert_eq!((&waiting.dispatch, waiting.owner), (&Some(place), None));
    let claimed = after(&waiting, 2, claim());
    assert_eq!(claimed.dispatch, None);
}

#[test]
fn a_late_change_under_an_earlier_claim_of_the_same_owner_is_refused() {
    let owner = OwnerId::new();
    let waiting = after(&rerunnable(3), 1, interrupted());
    let (first, second) = (ClaimToken::new(), ClaimToken::new());
    let once = after(&waiting, 2, JobEvent::Claim(owner, first));
    let again = after(&after(&once, 3, interrupted()), 4, JobEvent::Claim(owner, second));
    let start = |claim| {
        let change = Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH);
        again.apply(change.owned_by(Some(owner)).claimed_by(claim)).map(|job| job.status())
    };
    assert_eq!(start(first), Err(Refusal::NotOwner));
    assert_eq!(start(second), Ok(JobStatus::Running));
}

#[test]
fn only_a_running_program_can_be_adopted() {
    let running = after(&rerunnable(1), 1, JobEvent::Start);
    let adopt = || Change::new(JobEvent::Adopt(OwnerId::new()), Timestamp::UNIX_EPOCH);
    assert!(refused(&running, adopt()), "the body of a tool cannot move");
    let mut program = running;
    program.spec_mut().kind = JobKind::Program;
    let adopted = program.apply(adopt().owned_by(program.owner)).unwrap();
    assert_eq!(adopted.status(), JobStatus::Running);
    assert_ne!(adopted.owner, program.owner);
    assert!(refused(&adopted, adopt().owned_by(program.owner)), "it is adopted once");
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
        record.spec_mut().state_target = Some(StateTarget::new("latest", pointer));
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
    let mut record =
        after(&after(&record(), 1, JobEvent::Start), 2, JobEvent::Complete(JobOutput::new("hush")));
    record.spec_mut().tags.insert("token".into(), "hush".into());
    assert!(!format!("{record:?}").contains("hush"));
}

#[test]
fn a_duration_that_no_clock_tells_is_none() {
    let at = |second| Timestamp::UNIX_EPOCH + Duration::seconds(second);
    let running = after(&record(), 10, JobEvent::Start);
    assert_eq!(record().elapsed(at(99)), None, "it has not begun");
    assert_eq!(running.elapsed(at(12)), Some(std::time::Duration::from_secs(2)));
    assert_eq!(running.elapsed(at(9)), None, "the clock has gone back");
    // A process that finds the owner dead knows only when it did.
    let failure = JobFailure::new(FailureKind::Interrupted, "its server died");
    let end = Change::new(JobEvent::Interrupt(failure), at(36_000));
    let lost = running.apply(end.clone().by(Actor::System)).unwrap();
    assert_eq!(lost.elapsed(at(99_999)), None);
    let told = running.apply(Change { ran: Some(std::time::Duration::from_secs(3)), ..end });
    assert_eq!(told.unwrap().elapsed(at(99_999)), Some(std::time::Duration::from_secs(3)));
}
