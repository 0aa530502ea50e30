//! What a store tells by itself, and what readers and the runner make of it: changes by other processes, dead owners, work that
//! waits, the loss of the own name, and results that are too large.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use smart_async::job::{
    Actor, Change, FailureKind, JobEvent, JobOutput, JobRecord, JobSpec, JobState, JobStatus,
    OwnerId, Timestamp,
};
use smart_async::jobs::Jobs;
use smart_async::manager::WaitFor;
use smart_async::store::{JobStore, JournalStore, MemoryStore, News, NewsStream};
use smart_async::{CurrentJob, Job, JobId, JobManager, JobRequest, job_fn};
use smart_async_tests::{FaultyStore, Gate, SimulatedProcess};
use tempfile::TempDir;

/// No test takes so long.
const LONG: Duration = Duration::from_secs(60);

/// Work that arrives at the gate, waits until it is opened, and arrives there again when it is told to stop.
pub(super) fn work(gate: &Gate) -> impl Job + use<> {
    let gate = gate.clone();
    job_fn(move |job: CurrentJob| {
        let gate = gate.clone();
        async move {
            gate.arrive();
            tokio::select! {
                () = gate.opened() => Ok(JobOutput::new("done")),
                () = job.cancelled() => {
                    gate.arrive();
                    std::future::pending().await
                }
            }
        }
    })
}

async fn open(folder: &TempDir) -> JournalStore {
    JournalStore::open(folder.path()).await.unwrap()
}

/// A job of this store's process.
async fn running(store: &dyn JobStore) -> JobId {
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("run", "reactor", store.now()));
    job.owner = Some(store.owner());
    let id = store.insert(job).await.unwrap().id;
    store.update(id, Change::new(JobEvent::Start, store.now())).await.unwrap();
    id
}

async fn told(news: &mut NewsStream, wanted: impl Fn(&News) -> bool) {
    let found = async { while !wanted(&news.next().await.expect("the store is there")) {} };
    tokio::time::timeout(LONG, found).await.expect("the news comes");
}

#[tokio::test]
async fn what_another_process_changes_is_news() {
    let folder = TempDir::new().unwrap();
    let (store, other) = (open(&folder).await, open(&folder).await);
    let mut news = store.news().unwrap();
    let id = running(&other).await;
    told(&mut news, |news| *news == News::Changed { id, version: 2 }).await;
    // The first reader left, so that its thread may have ended.
    drop(news);
    let mut news = store.news().unwrap();
    other.update(id, Change::new(JobEvent::RequestCancel, other.now())).await.unwrap();
    told(&mut news, |news| *news == News::Changed { id, version: 3 }).await;
}

#[tokio::test]
async fn the_end_of_another_process_is_news() {
    let folder = TempDir::new().unwrap();
    let (store, other) = (open(&folder).await, open(&folder).await);
    running(&other).await;
    let mut news = store.news().unwrap();
    // The first look has seen its owner.
    let id = running(&other).await;
    told(&mut news, |news| *news == News::Changed { id, version: 2 }).await;
    let owner = other.owner();
    other.close().await.unwrap();
    told(&mut news, |news| *news == News::OwnerLost(owner)).await;
}

#[tokio::test]
async fn a_process_that_left_its_file_is_reported_at_the_first_look() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let dead = OwnerId::new();
    std::fs::write(folder.path().join(format!("meta/owners/{dead}.lock")), "").unwrap();
    let mut news = store.news().unwrap();
    told(&mut news, |news| *news == News::OwnerLost(dead)).await;
}

#[tokio::test]
async fn the_news_ends_with_its_store() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut news = store.news().unwrap();
    drop(store);
    let end = async { while news.next().await.is_some() {} };
    tokio::time::timeout(LONG, end).await.expect("it ends");
}

#[tokio::test]
async fn a_reader_takes_no_name_and_a_runner_takes_one_with_its_first_job() {
    let folder = TempDir::new().unwrap();
    let owners = || std::fs::read_dir(folder.path().join("meta/owners")).unwrap().count();
    let gate = Gate::new();
    let server = JobManager::builder().folder(folder.path()).server("reactor").open();
    let server = server.await.unwrap();
    assert_eq!(owners(), 0);
    let id = server.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    assert_eq!(owners(), 1);
    let jobs = Jobs::open(folder.path()).await.unwrap();
    gate.arrived(1).await;
    gate.open();
    let waited = jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(waited.jobs[0].status(), JobStatus::Completed);
    assert_eq!(owners(), 1, "the reader has none");
    server.shutdown().await.unwrap();
    assert_eq!(owners(), 0);
}

/// The time does not pass here, so that only news can wake the waiter.
#[tokio::test(start_paused = true)]
async fn a_waiter_reads_many_jobs_at_once_and_only_when_there_is_news() {
    let store = FaultyStore::working();
    let jobs = Jobs::over(store.clone());
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(running(&store).await);
    }
    let before = store.reads();
    let (waiting, all) = (jobs.clone(), ids.clone());
    let waited = tokio::spawn(async move { waiting.wait(&all, WaitFor::all(), LONG).await });
    tokio::time::sleep(LONG / 2).await;
    assert_eq!(store.reads() - before, 1, "one read for all, and none without news");
    for id in ids {
        let end = Change::new(JobEvent::Complete(JobOutput::new(1)), store.now());
        store.update(id, end).await.unwrap();
    }
    let waited = waited.await.unwrap().unwrap();
    assert!(!waited.timed_out && waited.jobs.len() == 50);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_news_is_looked_at_again_and_again() {
    let store = FaultyStore::working();
    store.tell_no_news();
    let jobs = JobManager::builder().with_store(store.clone());
    let (gate, theirs) = (Gate::new(), running(&store).await);
    let id = jobs.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    gate.arrived(1).await;
    // By another process, as far as this one knows.
    let (waiting, end) = (jobs.clone(), JobEvent::Complete(JobOutput::new(1)));
    let waited = tokio::spawn(async move { waiting.wait(&[theirs], WaitFor::all(), LONG).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.update(theirs, Change::new(end, store.now())).await.unwrap();
    assert!(!waited.await.unwrap().unwrap().timed_out);
    let request = Change::new(JobEvent::RequestCancel, store.now()).by(Actor::Cli);
    store.update(id, request).await.unwrap();
    gate.arrived(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_of_another_process_reaches_the_body() {
    let store = FaultyStore::working();
    let jobs = JobManager::builder().with_store(store.clone());
    let gate = Gate::new();
    let id = jobs.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    gate.arrived(1).await;
    let request = Change::new(JobEvent::RequestCancel, store.now()).by(Actor::Cli);
    store.update(id, request).await.unwrap();
    gate.arrived(2).await;
    let job = jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap().jobs.remove(0);
    assert_eq!(job.status(), JobStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_counts_as_dead_stops_its_bodies_and_writes_nothing() {
    let store = FaultyStore::working();
    let jobs = JobManager::builder().with_store(store.clone());
    let (one, two) = (Gate::new(), Gate::new());
    let first = jobs.submit(JobRequest::new("run"), work(&one)).await.unwrap();
    let second = jobs.submit(JobRequest::new("run"), work(&two)).await.unwrap();
    one.arrived(1).await;
    two.arrived(1).await;
    store.lose_owner();
    // The first one learns of it when it writes its end; the other one does not write.
    one.open();
    two.arrived(2).await;
    for id in [first, second] {
        let stored = store.get(id).await.unwrap().unwrap();
        assert_eq!((stored.status(), stored.version), (JobStatus::Running, 3));
    }
    let health = jobs.health().store_error.expect("it is known");
    assert!(health.contains("counts as dead"), "{health}");
    let refused = jobs.submit(JobRequest::new("run"), work(&one)).await.unwrap_err();
    assert!(refused.to_string().contains("counts as dead"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_store_does_not_take_fails_its_job_with_a_kind_and_a_way_out() {
    let store = FaultyStore::working();
    store.limit_results(1000);
    let jobs = JobManager::builder().with_store(store.clone());
    let returns = |length: usize| {
        job_fn(move |_| async move { Ok(JobOutput::new(json!({"text": "x".repeat(length)}))) })
    };
    let small = jobs.submit(JobRequest::new("run"), returns(900)).await.unwrap();
    let large = jobs.submit(JobRequest::new("run"), returns(1000)).await.unwrap();
    let ended = jobs.wait(&[small, large], WaitFor::all(), LONG).await.unwrap().jobs;
    assert_eq!(ended[0].status(), JobStatus::Completed);
    let JobState::Failed { failure, .. } = &ended[1].state else { panic!("{ended:?}") };
    assert_eq!(failure.kind, FailureKind::ResultTooLarge);
    assert!(failure.message.contains("more than 1000 bytes"), "{failure:?}");
    assert!(failure.message.contains("write it to a file"), "{failure:?}");
}

/// Of a list by status, a job is where it is shown, and not where its record is.
#[tokio::test]
async fn a_list_by_status_has_the_jobs_of_the_dead_where_they_are_shown() {
    use smart_async::job::JobQuery;
    let store = MemoryStore::new();
    let mut ids = Vec::new();
    for second in 0..6 {
        let at = Timestamp::UNIX_EPOCH + Duration::from_secs(second);
        let mut job = JobRecord::new(JobId::new(), JobSpec::new("run", "reactor", at));
        // Every other one is of a process that died.
        job.owner = Some(if second % 2 == 0 { OwnerId::new() } else { store.owner() });
        ids.push(store.insert(job).await.unwrap().id);
        let start = Change::new(JobEvent::Start, at);
        store.update(ids[second as usize], start).await.unwrap();
    }
    let jobs = Jobs::over(store);
    let page = async |status, limit| {
        let mut query = JobQuery::default();
        (query.statuses, query.limit, query.with_total) = (vec![status], limit, true);
        let page = jobs.list(query).await.unwrap();
        (page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), page.total)
    };
    let (alive, dead) = (vec![ids[5], ids[3], ids[1]], vec![ids[4], ids[2], ids[0]]);
    assert_eq!(page(JobStatus::Running, None).await, (alive.clone(), Some(3)));
    assert_eq!(page(JobStatus::Failed, None).await, (dead.clone(), Some(3)));
    assert_eq!(page(JobStatus::Running, Some(2)).await, (alive[..2].to_vec(), Some(3)));
    assert_eq!(page(JobStatus::Failed, Some(1)).await, (dead[..1].to_vec(), Some(3)));
}

/// A server that has work of its own learns that another process of it died, and accounts for its jobs.
#[tokio::test]
async fn a_server_accounts_for_the_jobs_of_another_process_of_it_that_dies() {
    let folder = TempDir::new().unwrap();
    let open =
        |path: std::path::PathBuf| JobManager::builder().folder(path).server("reactor").open();
    let living = open(folder.path().to_owned()).await.unwrap();
    let (gate, other) = (Gate::new(), Gate::new());
    living.submit(JobRequest::new("run"), work(&gate)).await.unwrap();
    gate.arrived(1).await;
    let mut changes = living.subscribe();
    let process = SimulatedProcess::new();
    let (path, at) = (folder.path().to_owned(), other.clone());
    let (id, owner) = process
        .run(async move {
            let jobs = open(path).await.unwrap();
            let id = jobs.submit(JobRequest::new("run"), work(&at)).await.unwrap();
            at.arrived(1).await;
            (id, jobs.store().owner())
        })
        .await;
    process.kill().await;
    // A process that is killed leaves the file that stands for its name.
    std::fs::write(folder.path().join(format!("meta/owners/{owner}.lock")), "").unwrap();
    // No caller asks for the job.
    let accounted = async {
        loop {
            let change = changes.recv().await.unwrap();
            if change.id == id && change.status == JobStatus::Failed {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, accounted).await.expect("it is accounted for");
    gate.open();
    living.shutdown().await.unwrap();
}
