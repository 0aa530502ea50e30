//! News that comes at a bad moment: before a reader listens, while a read fails, too much of it at once, for a job that this
//! process is about to run, or as a runtime ends. No change is lost by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use smart_async::job::{
    Actor, Change, JobEvent, JobQuery, JobRecord, JobSpec, JobState, JobStatus, OwnerId,
    PendingReason,
};
use smart_async::jobs::Jobs;
use smart_async::manager::WaitFor;
use smart_async::store::{JobStore, JournalStore};
use smart_async::{JobId, JobManager, JobRequest};
use smart_async_tests::{FaultyStore, Fixture, Gate};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::news::work;

/// No test takes so long.
const LONG: Duration = Duration::from_secs(60);

fn job(store: &dyn JobStore, owner: Option<OwnerId>, state: JobState) -> JobRecord {
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("run", "reactor", store.now()));
    (job.owner, job.state) = (owner, state);
    job
}

fn running(store: &dyn JobStore, owner: OwnerId) -> JobRecord {
    job(store, Some(owner), JobState::Running { started_at: store.now() })
}

fn server(store: &FaultyStore) -> JobManager {
    JobManager::builder().server("reactor").with_store(store.clone())
}

/// As another process does it.
async fn request_cancel(store: &dyn JobStore, id: JobId) {
    let request = Change::new(JobEvent::RequestCancel, store.now()).by(Actor::Cli);
    store.update(id, request).await.unwrap();
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_news_could_not_be_read_reaches_the_body() {
    let (store, gate) = (FaultyStore::working(), Gate::new());
    let jobs = server(&store);
    let id = jobs.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    gate.arrived(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.fail_reads(1);
    request_cancel(&store, id).await;
    tokio::time::timeout(LONG, gate.arrived(2)).await.expect("it is told");
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_job_whose_record_is_being_written_reaches_the_body() {
    let written = Gate::new();
    let store = FaultyStore::slow(written.clone());
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let _call = fixture.client.send("until_cancelled", json!({})).await;
    written.arrived(1).await;
    let id = store.list(JobQuery::default()).await.unwrap().jobs[0].id;
    request_cancel(&store, id).await;
    written.open();
    tokio::time::timeout(LONG, fixture.tools.over.arrived(1)).await.expect("it is told");
}

/// The task that reads the news ends with its runtime, and begins again on another one, which has jobs too.
#[test]
fn a_request_that_comes_as_the_readers_runtime_ends_reaches_the_body() {
    let (store, one, two) = (FaultyStore::working(), Gate::new(), Gate::new());
    let jobs = server(&store);
    let (first, second) = (runtime(), runtime());
    let begin = async |gate: &Gate| {
        let id = jobs.submit(JobRequest::new("run"), work(gate)).await.unwrap();
        gate.arrived(1).await;
        id
    };
    first.block_on(begin(&one));
    let id = second.block_on(begin(&two));
    second.block_on(request_cancel(&store, id));
    drop(first);
    let told = async { tokio::time::timeout(LONG, two.arrived(2)).await };
    second.block_on(told).expect("it is told");
}

/// A supervisor that starts the reading task anew on a runtime that ends would do that for ever, and the end never came.
#[test]
fn a_runtime_ends_while_jobs_run_on_it() {
    for _ in 0..30 {
        let runtime = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
        let jobs = JobManager::in_memory();
        runtime.block_on(async {
            for _ in 0..30 {
                jobs.submit(JobRequest::new("run"), work(&Gate::new())).await.unwrap();
            }
        });
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(runtime);
            let _ = done.send(());
        });
        ended.recv_timeout(LONG).expect("it ends");
    }
}

/// More changes than a stream of news holds, and a dead owner's job among them.
#[tokio::test(start_paused = true)]
async fn a_server_that_missed_news_looks_for_lost_jobs() {
    let (store, gate) = (FaultyStore::working(), Gate::new());
    let jobs = server(&store);
    jobs.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    gate.arrived(1).await;
    let lost = store.insert(running(&store, OwnerId::new())).await.unwrap().id;
    for _ in 0..2000 {
        store.insert(running(&store, store.owner())).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.get(lost).await.unwrap().unwrap().status(), JobStatus::Failed);
}

/// A job that waits for a free slot or for its time has no owner, and is not lost by that.
#[tokio::test(start_paused = true)]
async fn a_server_leaves_queued_and_scheduled_jobs_alone() {
    let (store, gate) = (FaultyStore::working(), Gate::new());
    let jobs = server(&store);
    jobs.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    gate.arrived(1).await;
    let tomorrow = store.now() + Duration::from_secs(24 * 3600);
    let mut waiting = Vec::new();
    for reason in [PendingReason::Queued, PendingReason::ScheduledAt(tomorrow)] {
        let job = job(&store, None, JobState::Pending { reason });
        waiting.push(store.insert(job).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for job in waiting {
        assert_eq!(store.get(job.id).await.unwrap().unwrap(), job);
        jobs.status(job.id).await.unwrap();
        assert_eq!(store.get(job.id).await.unwrap().unwrap(), job, "a reader finds it so");
    }
}

/// The looks for waiting work go on after a task that was about to look was dropped with its runtime.
#[test]
fn waiting_work_is_looked_for_after_a_runtime_ended() {
    let store = FaultyStore::working();
    let jobs = server(&store);
    let stays = runtime();
    let waits = JobState::Pending { reason: PendingReason::WaitingForServer };
    let mut waiting = job(&store, None, waits);
    waiting.spec_mut().max_reruns = Some(1);
    let id = stays.block_on(store.insert(waiting)).unwrap().id;
    let looks = || {
        let before = store.looks_for_abandoned();
        stays.block_on(async {
            jobs.status(id).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        store.looks_for_abandoned() - before
    };
    looks();
    let usual = looks();
    let ends = runtime();
    ends.block_on(jobs.status(id)).unwrap();
    drop(ends);
    assert_eq!(looks(), usual);
}

/// Jobs that change without pause do not hold up a wait beyond its limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_in_time_while_its_jobs_change_without_pause() {
    let store = FaultyStore::working();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(store.insert(running(&store, store.owner())).await.unwrap().id);
    }
    let (stop, changing, changed) = (Arc::new(AtomicBool::new(false)), store.clone(), ids.clone());
    let jobs = Jobs::over(store);
    let stopped = Arc::clone(&stop);
    let changes = std::thread::spawn(move || {
        let runtime = runtime();
        while !stopped.load(Ordering::Relaxed) {
            for id in &changed {
                runtime.block_on(request_cancel(&changing, *id));
            }
        }
    });
    let waited = jobs.wait(&ids, WaitFor::all(), Duration::from_millis(200));
    let waited = tokio::time::timeout(LONG, waited).await;
    stop.store(true, Ordering::Relaxed);
    changes.join().unwrap();
    assert!(waited.expect("it ends").unwrap().timed_out);
}

/// A process that began and died between two looks at who lives left no trace but its job.
#[tokio::test]
async fn the_death_of_an_owner_that_was_never_seen_ends_a_wait_for_its_job() {
    let folder = TempDir::new().unwrap();
    let jobs = Jobs::open(folder.path()).await.unwrap();
    // The thread that looks runs already.
    let _news = jobs.store().news().unwrap();
    let other = JournalStore::open(folder.path()).await.unwrap();
    let id = other.insert(running(&other, other.owner())).await.unwrap().id;
    let waits = [id];
    let waiting = jobs.wait(&waits, WaitFor::all(), LONG);
    let (waited, ()) = tokio::join!(waiting, async { drop(other) });
    let waited = waited.unwrap();
    assert!(!waited.timed_out);
    assert_eq!(waited.jobs[0].status(), JobStatus::Failed);
}

/// A person removes the folder of the owners: the process shows again that it lives, with its first job and with later ones.
#[tokio::test]
async fn a_process_lives_though_the_folder_of_the_owners_was_removed() {
    let folder = TempDir::new().unwrap();
    let owners = folder.path().join("meta/owners");
    let store = JournalStore::open(folder.path()).await.unwrap();
    let other = JournalStore::open(folder.path()).await.unwrap();
    for _ in 0..2 {
        std::fs::remove_dir_all(&owners).unwrap();
        store.insert(running(&store, store.owner())).await.unwrap();
        assert!(other.abandoned(None).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_store_that_is_closed_takes_no_job_of_its_own() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    store.insert(running(&store, store.owner())).await.unwrap();
    store.close().await.unwrap();
    let refused = store.insert(running(&store, store.owner())).await;
    assert!(matches!(refused, Err(smart_async::store::StoreError::Closed)), "{refused:?}");
}
