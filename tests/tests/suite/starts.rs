//! The start of a server whose predecessor left many jobs behind: it answers at once, shows each of these jobs as it will be, and
//! accounts for them meanwhile.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use smart_async::job::{
    Actor, Change, JobEvent, JobQuery, JobRecord, JobSpec, JobState, JobStatus, OwnerId, Prune,
};
use smart_async::store::{JobStore, JournalStore};
use smart_async::{JobId, JobManager, WithJobs};
use smart_async_tests::{Client, Era, FaultyStore, Gate, GatedTools, ServerProcess};
use tempfile::TempDir;

/// A job that runs, and whose owner is this one.
fn running(
    store: &dyn JobStore,
    owner: OwnerId,
    server: &str,
    max_reruns: Option<u32>,
) -> JobRecord {
    let mut spec = JobSpec::new("run", server, store.now());
    (spec.arguments, spec.max_reruns) = (max_reruns.map(|_| serde_json::Map::new()), max_reruns);
    let mut job = JobRecord::new(JobId::new(), spec);
    job.owner = Some(owner);
    job.state = JobState::Running { started_at: store.now() };
    job
}

struct Left {
    store: FaultyStore,
    interrupted: JobId,
    cancelled: JobId,
    to_run_again: JobId,
}

/// A store with the jobs of a dead server. Recovery waits at the gate.
async fn left_behind(gate: &Gate) -> Left {
    let (store, owner) = (FaultyStore::working(), OwnerId::new());
    let mut ids = Vec::new();
    for max_reruns in [None, None, Some(1)] {
        let job = store.insert(running(&store, owner, "reactor", max_reruns)).await.unwrap();
        ids.push(job.id);
    }
    let request = Change::new(JobEvent::RequestCancel, store.now()).by(Actor::Cli);
    store.update(ids[1], request).await.unwrap();
    store.hold_interrupts(gate.clone());
    Left { store, interrupted: ids[0], cancelled: ids[1], to_run_again: ids[2] }
}

fn reactor(store: &FaultyStore) -> JobManager {
    JobManager::builder().server("reactor").with_store(store.clone())
}

async fn listed(client: &Client, status: &str) -> Vec<Value> {
    let page = client.ask("list_jobs", json!({"status_filter": status})).await;
    let jobs = page["jobs"].as_array().unwrap();
    assert_eq!(page["total"], jobs.len(), "{page}");
    jobs.iter().map(|job| job["id"].clone()).collect()
}

#[tokio::test]
async fn readers_wait_for_no_recovery_and_see_each_job_as_recovery_leaves_it() {
    let gate = Gate::new();
    let left = left_behind(&gate).await;
    let tools = GatedTools::new();
    let jobs = reactor(&left.store);
    let client = Client::connect(tools.clone().with_jobs(jobs.clone())).await;
    let discovering = Client::discover(tools.clone().with_jobs(jobs.clone())).await;
    discovering.expect("the other era is answered as well");
    gate.arrived(1).await;

    let page = client.ask("list_jobs", json!({})).await;
    assert_eq!(page["jobs"].as_array().unwrap().len(), 3, "{page}");
    assert!(!page.to_string().contains("\"running\""), "{page}");
    for (status, id) in [
        ("failed", left.interrupted),
        ("cancelled", left.cancelled),
        ("pending", left.to_run_again),
    ] {
        assert_eq!(client.status(&id.to_string()).await["status"], status);
        assert_eq!(listed(&client, status).await, [json!(id)], "{status}");
    }
    assert!(listed(&client, "running").await.is_empty());
    let ended = client.ask("wait_job", json!({"job_id": left.interrupted})).await;
    assert_eq!(ended["terminal"], true, "{ended}");
    let first = jobs.status(left.interrupted).await.unwrap();
    let second = jobs.status(left.interrupted).await.unwrap();
    assert_eq!(first, second, "it ended once");
    let ticket = client.ask("make_always_job", json!({})).await;
    assert!(ticket["job_id"].is_string(), "new work is taken on: {ticket}");
    assert_eq!(left.store.get(left.cancelled).await.unwrap().unwrap().status(), JobStatus::Running);

    gate.open();
    jobs.prune(Prune::default()).await.unwrap();
    let page = left.store.list(JobQuery::default()).await.unwrap();
    assert!(page.jobs.iter().all(|job| job.id != left.interrupted && job.id != left.cancelled));
}

#[tokio::test]
async fn an_ended_job_cannot_be_cancelled_before_recovery_has_come_to_it() {
    let gate = Gate::new();
    let left = left_behind(&gate).await;
    let jobs = reactor(&left.store);
    assert_eq!(jobs.status(left.interrupted).await.unwrap().status(), JobStatus::Failed);
    gate.open();
    let refused = jobs.cancel(left.interrupted).await.unwrap_err().to_string();
    assert!(refused.contains("failed"), "{refused}");
    assert_eq!(jobs.status(left.interrupted).await.unwrap().status(), JobStatus::Failed);
}

#[tokio::test]
async fn a_store_that_fails_is_asked_once_a_look_and_the_jobs_are_shown_as_they_are() {
    let (store, owner) = (FaultyStore::working(), OwnerId::new());
    for _ in 0..2000 {
        store.insert(running(&store, owner, "reactor", None)).await.unwrap();
    }
    store.set_broken(true);
    let jobs = reactor(&store);
    jobs.prune(Prune::default()).await.unwrap();
    for _ in 0..2 {
        let failures = store.failures();
        let page = jobs.list(JobQuery::default()).await.unwrap();
        assert!(page.jobs.iter().all(|job| job.status() == JobStatus::Failed));
        assert!(store.failures() - failures <= 1024, "it goes through all of them again");
    }
    store.set_broken(false);
    jobs.list(JobQuery::default()).await.unwrap();
    let stored = store.list(JobQuery::default()).await.unwrap();
    assert!(stored.jobs.iter().all(|job| job.status() == JobStatus::Failed));
}

async fn leave_behind(folder: &Path, number: usize) {
    let (store, owner) = (Arc::new(JournalStore::open(folder).await.unwrap()), OwnerId::new());
    let written = (0..number).map(|_| store.insert(running(&*store, owner, "watch", None)));
    for written in futures_util::future::join_all(written).await {
        written.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_process_says_in_one_line_for_how_many_jobs_it_has_accounted() {
    let folder = TempDir::new().unwrap();
    leave_behind(folder.path(), 1500).await;
    let mut server = Command::new(env!("CARGO_BIN_EXE_folder_server"));
    let mut server = ServerProcess::start(server.arg(folder.path()), Era::Initialize);
    let listed = server.call("list_jobs", json!({"status_filter": "failed"}));
    assert_eq!(listed["structuredContent"]["total"], 1500, "{listed}");
    let all = json!({"keep_failed": false, "max_age_hours": 0});
    let pruned = server.call("prune_jobs", all);
    assert_eq!(pruned["structuredContent"]["removed"], 1500, "{pruned}");
    let (status, said) = server.end();
    assert!(status.success(), "{status} {said}");
    assert_eq!(said.matches("interrupted by the end of their server").count(), 1, "{said}");
    assert!(said.contains("failed=1500"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn many_jobs_are_accounted_for_in_few_writes() {
    use smart_async_tests::disk::Recorder;

    let folder = TempDir::new().unwrap();
    leave_behind(folder.path(), 1500).await;
    let recorder = Recorder::without_tape();
    let store = JournalStore::open_watched(folder.path(), recorder.clone(), 1 << 30).await.unwrap();
    let jobs = JobManager::builder().server("watch").with_store(store);
    let before = recorder.operations();
    jobs.prune(Prune::default()).await.unwrap();
    let operations = recorder.operations() - before;
    // One write each would take two operations a job: an append and a sync. How few it takes is the scheduler's.
    assert!(operations < 1500, "{operations} operations on the disk for 1,500 jobs");
}
