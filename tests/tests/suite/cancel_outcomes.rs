//! A cancellation while the job store fails: it says whether the work was told to stop, and whether a restart will know of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use smart_async::job::JobId;
use smart_async::manager::Cancelled;
use smart_async::store::{JournalStore, StoreError};
use smart_async::{JobManager, JobStatus, WithJobs};
use smart_async_tests::{FaultyStore, Fixture, Gate, Wire};
use tempfile::TempDir;

const NOT_RECORDED: &str = "but the job store could not record it: a restart may not know of it.";

fn full_disk() -> StoreError {
    let source = Arc::new(std::io::Error::from_raw_os_error(28));
    StoreError::Unavailable { action: "write", place: "/disk".into(), source, in_doubt: false }
}

/// A server over a store that can fail, whose bodies are never aborted. `cancel_job` waits for a second.
async fn fixture(store: &FaultyStore) -> Fixture {
    let jobs = JobManager::builder()
        .cancel_answer(Duration::from_secs(1))
        .cancel_grace(Duration::from_secs(3600))
        .with_store(store.clone());
    Fixture::with_manager(jobs).await
}

async fn running(fixture: &Fixture, tool: &str) -> (String, JobId) {
    let id = fixture.client.job(tool, json!({"async_mode": true})).await;
    fixture.tools.gate.arrived(1).await;
    fixture.only_job(JobStatus::Running).await;
    let parsed = id.parse().unwrap();
    (id, parsed)
}

#[tokio::test(start_paused = true)]
async fn work_that_stops_while_the_disk_is_full_is_said_to_have_stopped_and_not_to_be_recorded() {
    let store = FaultyStore::working();
    let fixture = fixture(&store).await;
    let (id, parsed) = running(&fixture, "until_cancelled").await;
    store.set_broken(true);
    let answer = fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!(answer["message"], format!("The work has stopped, {NOT_RECORDED}"));
    assert_eq!((&answer["terminal"], &answer["cancel_requested"]), (&json!(false), &json!(true)));
    assert!(answer["next"].as_str().unwrap().starts_with("wait_job"), "{answer}");
    let again = fixture.jobs.cancel(parsed).await.unwrap();
    assert!(
        matches!(again, Cancelled::Unrecorded { id, has_stopped: true } if id == parsed),
        "{again:?}"
    );

    store.set_broken(false);
    assert_eq!(fixture.wait(&id).await["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn work_that_goes_on_while_the_disk_is_full_is_said_to_have_been_told() {
    let store = FaultyStore::working();
    let fixture = fixture(&store).await;
    let (id, parsed) = running(&fixture, "make").await;
    // Reads may fail as well.
    for reads_fail in [false, true] {
        store.set_broken(true);
        store.fail_all(reads_fail.then(full_disk));
        let answer = fixture.client.ask("cancel_job", json!({"job_id": id})).await;
        let said = format!("The work was told to stop and has not stopped yet, {NOT_RECORDED}");
        assert_eq!(answer["message"], said);
        let again = fixture.jobs.cancel(parsed).await.unwrap();
        assert!(matches!(again, Cancelled::Unrecorded { has_stopped: false, .. }), "{again:?}");
    }
    store.fail_all(None);
    // This process shows that it was told, though the record does not say it.
    assert_eq!(fixture.client.status(&id).await["cancel_requested"], true);

    // Once the store takes it, the answer is the usual one.
    store.set_broken(false);
    let answer = fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!(answer["message"], "The job was told to stop, but its work has not stopped yet.");
    let Cancelled::StillRunning(job) = fixture.jobs.cancel(parsed).await.unwrap() else { panic!() };
    assert!(job.cancel_requested);
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(&id).await["status"], "cancelled");
}

/// Two processes over a folder; the disk of the second one is full.
struct Shared {
    _folder: TempDir,
    first: Fixture,
    store: FaultyStore,
    second: Fixture,
}

impl Shared {
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let first = JobManager::builder().folder(folder.path()).open().await.unwrap();
        let first = Fixture::with_manager(first).await;
        let store = FaultyStore::over(JournalStore::open(folder.path()).await.unwrap());
        let second = fixture(&store).await;
        Self { _folder: folder, first, store, second }
    }
}

#[tokio::test]
async fn a_request_that_reaches_nothing_is_an_error_that_says_to_try_again() {
    let Shared { first, store, second, .. } = &Shared::open().await;
    let (id, parsed) = running(first, "until_cancelled").await;
    let mut wire = Wire::with_tasks(second.tools.clone().with_jobs(second.jobs.clone())).await;
    store.set_broken(true);
    let said = second.client.complaint("cancel_job", json!({"job_id": id})).await;
    assert_eq!(
        said,
        "The work was not told to stop; try again: the job store could not be written: no storage space; try again later"
    );
    assert!(second.jobs.cancel(parsed).await.is_err());
    let refused = wire.ask("tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(refused["error"]["code"], -32603, "{refused}");
    assert_eq!(first.client.status(&id).await["status"], "running");

    store.set_broken(false);
    store.doubt_next("request_cancel");
    let said = second.client.complaint("cancel_job", json!({"job_id": id})).await;
    assert!(
        said.starts_with("It is not known whether the work was told to stop; try again"),
        "{said}"
    );
    first.tools.over.arrived(1).await;
}

#[tokio::test]
async fn a_task_of_another_process_is_cancelled_once_the_request_can_be_stored() {
    let Shared { first, store, second, .. } = &Shared::open().await;
    let (id, _) = running(first, "until_cancelled").await;
    let mut wire = Wire::with_tasks(second.tools.clone().with_jobs(second.jobs.clone())).await;
    store.set_broken(true);
    assert!(wire.ask("tasks/cancel", json!({"taskId": id})).await.get("error").is_some());
    store.set_broken(false);
    wire.result("tasks/cancel", json!({"taskId": id})).await;
    first.only_job(JobStatus::Cancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_of_this_process_that_was_told_is_acknowledged_and_shown_as_being_cancelled() {
    let store = FaultyStore::working();
    let fixture = fixture(&store).await;
    let (id, _) = running(&fixture, "make").await;
    let mut wire = Wire::with_tasks(fixture.server.clone()).await;
    store.set_broken(true);
    wire.result("tasks/cancel", json!({"taskId": id})).await;
    let task = wire.get_task(&id).await;
    assert_eq!(
        (&task["status"], &task["statusMessage"]),
        (&json!("working"), &json!("being cancelled"))
    );
    store.set_broken(false);
    fixture.tools.gate.open();
    fixture.only_job(JobStatus::Cancelled).await;
}

/// A store that takes its time holds the answer for as long as `cancel_answer` says, and no longer.
#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let Shared { first, store, second, .. } = &Shared::open().await;
    let held = Gate::new();
    let (id, _) = running(first, "until_cancelled").await;
    store.hold_next("request_cancel", held.clone());
    let said = second.client.complaint("cancel_job", json!({"job_id": id})).await;
    assert!(
        said.starts_with("It is not known whether the work was told to stop; try again"),
        "{said}"
    );

    // The work of its own process is told all the same.
    let own = second.client.job("make", json!({"async_mode": true})).await;
    second.tools.gate.arrived(1).await;
    store.hold_next("request_cancel", held.clone());
    let answer = second.client.ask("cancel_job", json!({"job_id": own})).await;
    let said = format!("The work was told to stop and has not stopped yet, {NOT_RECORDED}");
    assert_eq!(answer["message"], said);
    held.open();
}
