//! `Jobs` beside servers: a reader that runs nothing, shows dead owners' jobs as they are, and writes only what it is asked to.

use std::path::Path;
use std::time::Duration;

use smart_async::job::{
    Actor, Change, FailureKind, JobEvent, JobQuery, JobRecord, JobSpec, JobState, JobStatus,
    OwnerId, PendingReason, Timestamp,
};
use smart_async::jobs::{Cancelled, Jobs, WaitFor};
use smart_async::store::{JobStore, MemoryStore};
use smart_async::{JobId, JobManager, JobRequest, job_fn};
use smart_async_tests::Gate;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const LONG: Duration = Duration::from_secs(3600);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A job that a server runs on `runtime`, which is its process as far as the folder shows.
async fn running_job(runtime: &Runtime, folder: &Path) -> JobId {
    let opening = JobManager::builder().folder(folder).server("reactor").open();
    let job = runtime.spawn(async {
        let (jobs, gate) = (opening.await.unwrap(), Gate::new());
        let at = gate.clone();
        let work = job_fn(move |_| {
            let at = at.clone();
            async move {
                at.arrive();
                std::future::pending().await
            }
        });
        let id = jobs.submit(JobRequest::new("run"), work).await.unwrap();
        gate.arrived(1).await;
        id
    });
    job.await.unwrap()
}

async fn end(runtime: Runtime) {
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
}

/// The file that says what the jobs are.
fn journal(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("meta/journal.ndjson")).unwrap()
}

#[tokio::test]
async fn a_reader_shows_the_job_of_a_dead_owner_as_interrupted_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let server = runtime();
    let id = running_job(&server, folder.path()).await;
    let jobs = Jobs::open(folder.path()).await.unwrap();
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Running, "its owner lives");
    end(server).await;
    let before = journal(folder.path());
    let shown = jobs.status(id).await.unwrap();
    let JobState::Failed { failure, .. } = &shown.state else { panic!("{shown:?}") };
    let interrupted = (&FailureKind::Interrupted, &Actor::System);
    assert_eq!((&failure.kind, &shown.updated_by), interrupted);
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs[0].status(), JobStatus::Failed);
    let waited = jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert!(!waited.timed_out, "a wait for it ends");
    let stored = jobs.store().get(id).await.unwrap().unwrap();
    assert_eq!(stored.status(), JobStatus::Running);
    assert_eq!(journal(folder.path()), before);
}

#[tokio::test]
async fn a_reader_stops_the_job_of_a_server() {
    let folder = TempDir::new().unwrap();
    let server = runtime();
    let id = running_job(&server, folder.path()).await;
    let jobs = Jobs::open(folder.path()).await.unwrap();
    let cancelled = jobs.cancel(id, Actor::Cli).await.unwrap();
    let Cancelled::Stopped(job) = cancelled else { panic!("{cancelled:?}") };
    assert_eq!((job.status(), &job.updated_by), (JobStatus::Cancelled, &Actor::Owner));
    end(server).await;
}

#[tokio::test]
async fn a_request_to_stop_the_job_of_a_dead_owner_counts_at_once() {
    let folder = TempDir::new().unwrap();
    let server = runtime();
    let id = running_job(&server, folder.path()).await;
    end(server).await;
    let jobs = Jobs::open(folder.path()).await.unwrap();
    let cancelled = jobs.cancel(id, Actor::Cli).await.unwrap();
    let Cancelled::Stopped(job) = cancelled else { panic!("{cancelled:?}") };
    assert_eq!(job.status(), JobStatus::Cancelled, "as its server will find it");
    let stored = jobs.store().get(id).await.unwrap().unwrap();
    assert_eq!((stored.cancel_requested, &stored.updated_by), (true, &Actor::Cli));
}

#[tokio::test]
async fn a_reader_shows_work_that_will_run_again_as_waiting() {
    let store = MemoryStore::new();
    let mut spec = JobSpec::new("bake", "reactor", Timestamp::UNIX_EPOCH);
    spec.max_reruns = Some(3);
    let mut job = JobRecord::new(JobId::new(), spec);
    job.owner = Some(OwnerId::new());
    let start = Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH);
    let id = job.id;
    store.insert(job.apply(start).unwrap()).await.unwrap();
    let jobs = Jobs::over(store);
    let shown = jobs.status(id).await.unwrap();
    let waits = JobState::Pending { reason: PendingReason::WaitingForServer };
    assert_eq!((&shown.state, shown.attempt), (&waits, 2));
    let mut running = JobQuery::default();
    running.statuses = vec![JobStatus::Running];
    assert!(jobs.list(running).await.unwrap().jobs.is_empty(), "it does not run");
}

#[tokio::test]
async fn a_body_is_stopped_when_its_job_is_another_processs() {
    let jobs = JobManager::builder().cancel_grace(Duration::ZERO).in_memory();
    let (gate, stopped) = (Gate::new(), Gate::new());
    let (at, dropped) = (gate.clone(), stopped.clone());
    let work = job_fn(move |job: smart_async::CurrentJob| {
        let (at, dropped) = (at.clone(), dropped.clone());
        async move {
            at.arrive();
            job.cancelled().await;
            dropped.arrive();
            std::future::pending().await
        }
    });
    let id = jobs.submit(JobRequest::new("run"), work).await.unwrap();
    gate.arrived(1).await;
    let failure = smart_async::job::JobFailure::new(FailureKind::Interrupted, "accounted for");
    let end = Change::new(JobEvent::Fail(failure), Timestamp::UNIX_EPOCH).by(Actor::System);
    jobs.store().update(id, end).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), stopped.arrived(1)).await.unwrap();
    let job = jobs.status(id).await.unwrap();
    assert_eq!(job.updated_by, Actor::System, "the runner wrote nothing more");
    jobs.shutdown().await.unwrap();
}
