//! A journal that has grown long is replaced by a shorter one.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smart_async::job::{Change, JobEvent, JobId, JobStatus, Progress, Prune};
use smart_async::store::conformance::helpers::{at, change, completed, job, unnumbered};
use smart_async::store::faults::{Operation, Verdict, Watcher};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

use super::{after_a_crash, journal};

/// Has the journal grow until it is replaced by a shorter one.
pub(super) async fn shorten(store: &JournalStore, folder: &Path) {
    let id = store.insert(job(store, 0)).await.unwrap().id;
    change(store, id, JobEvent::Start, 1).await;
    shorten_by(store, folder, id).await;
}

/// Does so by reports of this job, which runs.
async fn shorten_by(store: &JournalStore, folder: &Path, id: JobId) {
    let long = Some(Progress::new(1.0, None, Some("x".repeat(100_000))));
    let mut longest = 0;
    loop {
        let told = Change::new(JobEvent::Progress, at(2)).with_progress(long.clone());
        store.update(id, told).await.unwrap();
        let length = fs::metadata(journal(folder)).unwrap().len();
        if length < longest {
            break;
        }
        longest = length;
        assert!(longest < 64 * 1024 * 1024, "it grows without end");
    }
}

#[tokio::test]
async fn a_journal_that_grows_long_is_shortened_and_others_follow() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let other = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    change(&store, id, JobEvent::Start, 1).await;
    assert!(other.get(id).await.unwrap().is_some());
    shorten_by(&store, folder.path(), id).await;
    change(&store, id, JobEvent::Cancel, 3).await;
    assert_eq!(other.get(id).await.unwrap().unwrap().status(), JobStatus::Cancelled);
    let mine = completed(&other, 4).await;
    assert!(store.get(mine).await.unwrap().is_some());
    assert_eq!(after_a_crash(folder.path(), id).await.unwrap().status(), JobStatus::Cancelled);
}

/// The answer is there while the shortening has not begun, and so is the job.
#[cfg(unix)]
#[tokio::test]
async fn nobody_waits_for_a_shorter_journal() {
    use std::time::Duration;

    use smart_async_tests::disk::{Recorder, settle};
    use tokio::time::timeout;

    let folder = TempDir::new().unwrap();
    let recorder = Recorder::without_tape();
    let store = JournalStore::open_watched(folder.path(), recorder.clone(), 1).await.unwrap();
    let first_line = || {
        fs::read_to_string(journal(folder.path()))
            .map(|text| text.lines().next().map(str::to_owned))
    };
    // A process takes its name with its first job.
    completed(&store, 0).await;
    settle(folder.path());
    let before = first_line().unwrap();
    let mut long = job(&store, 0);
    long.spec_mut().label = "x".repeat(2000);
    // The batch is written and synced before that.
    recorder.hold(2);
    let inserted = timeout(Duration::from_secs(60), store.insert(long.clone())).await;
    assert!(unnumbered(&inserted.expect("it waits for nothing else").unwrap()) == long);
    recorder.held();
    assert_eq!(first_line().unwrap(), before);
    assert!(store.get(long.id).await.unwrap().is_some());
    recorder.go_on();
    settle(folder.path());
    assert_ne!(first_line().unwrap(), before, "another journal stands in its place");
    assert!(unnumbered(&after_a_crash(folder.path(), long.id).await.unwrap()) == long);
}

#[tokio::test]
async fn what_another_process_pruned_stays_gone_when_the_journal_was_shortened_before_it_was_seen()
{
    let folder = TempDir::new().unwrap();
    let one = JournalStore::open(folder.path()).await.unwrap();
    let two = JournalStore::open(folder.path()).await.unwrap();
    let id = two.insert(job(&two, 0)).await.unwrap().id;
    change(&one, id, JobEvent::Cancel, 1).await;
    assert_eq!(one.prune(Prune::default()).await.unwrap().removed, 1);
    shorten(&one, folder.path()).await;
    assert!(two.get(id).await.unwrap().is_none());
    two.insert(job(&two, 2)).await.unwrap();
    assert!(one.get(id).await.unwrap().is_none(), "nothing pruned comes back");
}

/// Counts how often a whole journal is put in place.
#[derive(Debug, Default)]
struct JournalsReplaced(AtomicUsize);

impl Watcher for JournalsReplaced {
    fn announce(&self, operation: Operation<'_>) -> Verdict {
        if matches!(operation, Operation::Rename(_, to) if to.ends_with("journal.ndjson")) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::GoOn
    }
}

#[tokio::test]
async fn a_journal_that_another_process_has_shortened_is_not_shortened_again() {
    const SHORT: u64 = 8 * 1024;
    let folder = TempDir::new().unwrap();
    let replaced = Arc::new(JournalsReplaced::default());
    let open = || JournalStore::open_watched(folder.path(), replaced.clone(), SHORT);
    let (first, second) = (open().await.unwrap(), open().await.unwrap());
    // So many that a journal which says each of them once is a long one.
    for number in 0..60 {
        first.insert(job(&first, number)).await.unwrap();
    }
    for number in 0..60 {
        completed(&first, number).await;
        completed(&second, number).await;
    }
    let replaced = replaced.0.load(Ordering::SeqCst);
    assert!((2..20).contains(&replaced), "360 changes had the journal replaced {replaced} times");
}
