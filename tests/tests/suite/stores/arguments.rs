//! The arguments that a job keeps for another run are written once, however often its record changes.

use std::fs;
use std::path::Path;

use serde_json::json;
use smart_async::job::{Change, JobEvent, JobId, JobRecord, Progress, ProgressReport};
use smart_async::store::conformance::helpers::{at, change, job};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

use super::shortening::shorten;
use super::{after_a_crash, journal};

const LONG: usize = 10_000;

async fn rerunnable(store: &JournalStore) -> JobId {
    let mut job = job(store, 0);
    job.spec_mut().max_reruns = Some(1);
    job.spec_mut().arguments = json!({"plan": "y".repeat(LONG)}).as_object().cloned();
    store.insert(job).await.unwrap().id
}

/// Starts the job and lets it report in each way.
async fn work(store: &JournalStore, id: JobId) {
    change(store, id, JobEvent::Start, 1).await;
    for step in 2..9 {
        let progress = Progress::new(step as f64, None, None);
        if step % 2 == 0 {
            let report = ProgressReport::new(id, progress, at(step));
            assert!(store.record_progress(vec![report]).await.unwrap().is_empty());
        } else {
            let told = Change::new(JobEvent::Progress, at(step)).with_progress(Some(progress));
            store.update(id, told).await.unwrap();
        }
    }
}

fn written(folder: &Path) -> usize {
    fs::read_to_string(journal(folder)).unwrap().matches(&"y".repeat(LONG)).count()
}

async fn get(store: &JournalStore, id: JobId) -> JobRecord {
    JobRecord::clone(&*store.get(id).await.unwrap().unwrap())
}

#[tokio::test]
async fn are_written_once_and_known_to_all() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let early = JournalStore::open(folder.path()).await.unwrap();
    let id = rerunnable(&store).await;
    early.get(id).await.unwrap();
    work(&store, id).await;
    assert_eq!(written(folder.path()), 1);
    let job = get(&store, id).await;
    assert_eq!(job.spec.arguments.as_ref().unwrap()["plan"], "y".repeat(LONG));
    assert_eq!(get(&early, id).await, job);
    assert_eq!(get(&JournalStore::open(folder.path()).await.unwrap(), id).await, job);
    assert_eq!(*after_a_crash(folder.path(), id).await.unwrap(), job);
    // A journal that took the place of another has them too, and so have those that go on with it.
    shorten(&early, folder.path()).await;
    assert_eq!(written(folder.path()), 1);
    change(&early, id, JobEvent::RequestCancel, 9).await;
    assert_eq!(written(folder.path()), 1);
    assert_eq!(*after_a_crash(folder.path(), id).await.unwrap(), get(&store, id).await);
    change(&store, id, JobEvent::Cancel, 10).await;
    assert_eq!(get(&early, id).await.spec.arguments, None);
    assert_eq!(after_a_crash(folder.path(), id).await.unwrap().spec.arguments, None);
}

#[tokio::test]
async fn that_are_lost_are_no_empty_ones() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = rerunnable(&store).await;
    work(&store, id).await;
    let mut left = get(&store, id).await;
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    let crashed = TempDir::new().unwrap();
    fs::create_dir_all(crashed.path().join("meta")).unwrap();
    fs::write(journal(crashed.path()), text.replace("yy", "yz")).unwrap();
    // The line with the arguments is damaged. Such a job cannot run again, and no reader takes it for one without arguments.
    (left.spec_mut().arguments, left.spec_mut().max_reruns) = (None, None);
    let store = JournalStore::open(crashed.path()).await.unwrap();
    assert_eq!(get(&store, id).await, left);
    shorten(&store, crashed.path()).await;
    assert_eq!(*after_a_crash(crashed.path(), id).await.unwrap(), left);
}
