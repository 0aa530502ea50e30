//! Jobs of the usual kind, and stores that hold many of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smart_async::job::{
    Change, JobEvent, JobFailure, JobId, JobOutput, JobRecord, JobSpec, Progress, Timestamp,
};
use smart_async::store::{JobStore, JournalStore};

/// The server whose jobs they are.
pub(crate) const SERVER: &str = "reactor";

/// Now, as records have it.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    Timestamp::from_timestamp_millis(now.timestamp_millis()).unwrap()
}

/// A job that waits, of one of three tools.
pub(crate) fn pending(number: usize, store: &dyn JobStore) -> JobRecord {
    let tool = ["simulate", "render", "index"][number % 3];
    let mut job = JobRecord::new(JobId::new(), JobSpec::new(tool, SERVER, now()));
    job.owner = Some(store.owner());
    job
}

/// A job that runs, and has said how far it has come.
pub(crate) fn running(number: usize, store: &dyn JobStore) -> JobRecord {
    let message = format!("simulated {} of 100", number % 100);
    let progress = Progress::new((number % 100) as f64, Some(100.0), Some(message));
    let started = pending(number, store).apply(Change::new(JobEvent::Start, now())).unwrap();
    let told = Change::new(JobEvent::Progress, now()).with_progress(Some(progress));
    started.apply(told).unwrap()
}

/// How the job of this number ends: of ten, one fails and one is cancelled.
pub(crate) fn end(number: usize) -> JobEvent {
    match number % 10 {
        0 => JobEvent::Fail(JobFailure::error("stumbled at 3")),
        1 => JobEvent::Cancel,
        _ => JobEvent::Complete(JobOutput::new(serde_json::json!({"counted": number}))),
    }
}

/// A job that has ended.
pub(crate) fn ended(number: usize, store: &dyn JobStore) -> JobRecord {
    running(number, store).apply(Change::new(end(number), now())).unwrap()
}

/// Puts so many ended jobs into a store.
pub(crate) async fn fill(store: &Arc<JournalStore>, jobs: usize) {
    const AT_ONCE: usize = 2000;
    for first in (0..jobs).step_by(AT_ONCE) {
        let inserted = (first..jobs.min(first + AT_ONCE)).map(|number| {
            let job = ended(number, &**store);
            let store = Arc::clone(store);
            tokio::spawn(async move { store.insert(job).await.unwrap() })
        });
        for inserted in inserted.collect::<Vec<_>>() {
            inserted.await.unwrap();
        }
    }
}

/// Leaves a folder behind that holds so many ended jobs.
pub(crate) async fn leave(folder: &Path, jobs: usize) {
    let store = Arc::new(JournalStore::open(folder).await.unwrap());
    fill(&store, jobs).await;
    store.close().await.unwrap();
}

/// A job's three changes of state: it is there, it begins, it ends.
pub(crate) const CHANGES_OF_A_LIFE: usize = 3;

/// Takes a job through its life.
pub(crate) async fn life(number: usize, store: &dyn JobStore) {
    let id = store.insert(pending(number, store)).await.unwrap().id;
    store.update(id, Change::new(JobEvent::Start, now())).await.unwrap();
    store.update(id, Change::new(end(number), now())).await.unwrap();
}

/// Takes jobs through their lives, one after the other for each of so many callers, for so long. Returns how many changes
/// of state were acknowledged a second.
pub(crate) async fn lives(store: &Arc<JournalStore>, callers: usize, time: Duration) -> f64 {
    let began = std::time::Instant::now();
    let callers = (0..callers).map(|caller| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut lives = 0;
            while began.elapsed() < time {
                life(caller + lives, &*store).await;
                lives += 1;
            }
            lives
        })
    });
    let mut lives = 0;
    for caller in callers.collect::<Vec<_>>() {
        lives += caller.await.unwrap();
    }
    (lives * CHANGES_OF_A_LIFE) as f64 / began.elapsed().as_secs_f64()
}

/// Waits until the view, which is rewritten after each start, has been: what is measured then is not disturbed by it.
pub(crate) async fn view_is_written(folder: &Path, since: SystemTime) {
    let view = folder.join("meta/jobs.json");
    let is_new = || {
        let modified = std::fs::metadata(&view).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified > since)
    };
    let began = std::time::Instant::now();
    while !is_new() && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
