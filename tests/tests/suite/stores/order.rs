//! Which of two jobs is the newer one is decided where both are inserted, and stands in their records: whichever process asks,
//! whatever their clocks said, and whatever part of the files is left.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smart_async::job::{JobCursor, JobEvent, JobId, JobQuery, JobRecord, JobSpec, Prune};
use smart_async::store::conformance::helpers::{at, change, completed, inserted, running};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

use super::{ids, jobs_file, journal};

/// Clocks that went forward by ten hours and back, and stood still.
const JUMPS: [i64; 9] = [7, 36_000, 36_001, -36_000, 7, 7, 3, 72_000, 8];

async fn all(store: &dyn JobStore) -> Vec<JobId> {
    ids(store, JobQuery::default()).await
}

async fn open(folder: &Path) -> JournalStore {
    JournalStore::open(folder).await.unwrap()
}

/// Everything page by page, each of one job.
async fn paged(store: &dyn JobStore) -> Vec<JobId> {
    let mut query = JobQuery::default();
    query.limit = Some(1);
    let mut found = Vec::new();
    while let [job] = &store.list(query.clone()).await.unwrap().jobs[..] {
        found.push(job.id);
        query.after = Some(JobCursor::behind(job));
    }
    found
}

async fn is_everywhere(folder: &Path, expected: &[JobId]) {
    let store = open(folder).await;
    assert_eq!(all(&store).await, expected);
    assert_eq!(paged(&store).await, expected);
    store.close().await.unwrap();
}

#[tokio::test]
async fn processes_with_different_clocks_have_one_order() {
    let folder = TempDir::new().unwrap();
    let stores = [open(folder.path()).await, open(folder.path()).await];
    let mut expected = Vec::new();
    for (number, second) in JUMPS.into_iter().enumerate() {
        let store = &stores[number % 2];
        // One of them lives ten hours behind the other.
        let second = second - 36_000 * (number as i64 % 2);
        expected.insert(
            0,
            match number % 3 {
                0 => completed(store, second).await,
                1 => running(store, second).await,
                _ => inserted(store, second).await,
            },
        );
        for store in &stores {
            assert_eq!(all(store).await, expected);
            assert_eq!(paged(store).await, expected);
        }
    }
    // A crash, and then an orderly end.
    is_everywhere(folder.path(), &expected).await;
    for store in stores {
        store.close().await.unwrap();
    }
    is_everywhere(folder.path(), &expected).await;
}

#[tokio::test]
async fn many_inserts_at_once_have_one_order_in_each_process() {
    let folder = TempDir::new().unwrap();
    let stores = [open(folder.path()).await, open(folder.path()).await];
    let (one, other) = (&stores[0], &stores[1]);
    let many = (0..200_i64).map(|number| inserted([one, other][number as usize % 2], number % 7));
    futures_util::future::join_all(many).await;
    let last = inserted(one, -1).await;
    let order = all(one).await;
    assert_eq!((order.len(), order[0]), (201, last));
    assert_eq!(all(other).await, order);
    let jobs = other.list(JobQuery::default()).await.unwrap().jobs;
    assert!(jobs.is_sorted_by(|newer, older| newer.sequence > older.sequence), "each has its own");
    for store in &stores {
        store.close().await.unwrap();
    }
    is_everywhere(folder.path(), &order).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_order_survives_a_shorter_journal_and_the_loss_of_a_file() {
    use smart_async_tests::disk::{Recorder, settle};

    let folder = TempDir::new().unwrap();
    // Each batch makes the journal long enough to be shortened.
    let store =
        JournalStore::open_watched(folder.path(), Recorder::without_tape(), 1).await.unwrap();
    let mut expected = Vec::new();
    for second in JUMPS {
        expected.insert(0, completed(&store, second).await);
        settle(folder.path());
    }
    store.rewrite_view().await.unwrap();
    expected.insert(0, running(&store, -50).await);
    settle(folder.path());
    assert_eq!(all(&store).await, expected);
    drop(store);
    let whole = fs::read(journal(folder.path())).unwrap();

    // The view beside a journal that lost its last bytes, its first line, or all of it.
    for left in [&whole[..whole.len() - 9], &whole[9..], &[][..]] {
        let copy = TempDir::new().unwrap();
        fs::create_dir(copy.path().join("meta")).unwrap();
        fs::copy(jobs_file(folder.path()), jobs_file(copy.path())).unwrap();
        fs::write(journal(copy.path()), left).unwrap();
        let store = open(copy.path()).await;
        let found = all(&store).await;
        let expected: Vec<_> = expected.iter().copied().filter(|id| found.contains(id)).collect();
        assert!(found.len() >= JUMPS.len() && found == expected, "{}", left.len());
        // The next one is the newest, also where its clock is the earliest.
        let next = inserted(&store, -90_000).await;
        assert_eq!(all(&store).await, [&[next], &expected[..]].concat());
    }
}

#[tokio::test]
async fn a_job_is_newer_than_those_that_are_gone_and_than_those_before_the_version() {
    let folder = TempDir::new().unwrap();
    let old: Vec<_> = [3, 1, 2]
        .map(|second| JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(second))))
        .into();
    fs::create_dir(folder.path().join("meta")).unwrap();
    let view = json!({"version": 1, "jobs": old}).to_string();
    assert!(!view.contains("sequence"), "as an earlier version wrote it");
    fs::write(jobs_file(folder.path()), view).unwrap();
    let mut expected = vec![old[0].id, old[2].id, old[1].id];
    is_everywhere(folder.path(), &expected).await;
    for second in [0, -5] {
        let store = open(folder.path()).await;
        expected.insert(0, inserted(&store, second).await);
        // One that is gone takes no place with it.
        let gone = completed(&store, 9).await;
        store.prune(Prune::default()).await.unwrap();
        assert!(!all(&store).await.contains(&gone));
        store.close().await.unwrap();
        is_everywhere(folder.path(), &expected).await;
    }
    // A change gives an old job no number.
    let store = open(folder.path()).await;
    let started = change(&store, old[1].id, JobEvent::Start, 99).await;
    assert_eq!((started.sequence, started.version), (0, 2));
    assert_eq!(all(&store).await, expected);
}

#[tokio::test]
async fn a_line_has_its_numbers_once_also_where_its_record_came_with_others() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let mut given = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)));
    (given.sequence, given.end_sequence) = (900, 901);
    given.unknown_fields.insert("shoe_size".to_owned(), json!(43));
    let id = store.insert(given).await.unwrap().id;
    change(&store, id, JobEvent::Cancel, 1).await;
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    let numbers: Vec<_> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["put"].is_object())
        .map(|line| (line["put"]["sequence"].clone(), line["put"]["end_sequence"].clone()))
        .collect();
    assert_eq!(numbers, [(json!(1), Value::Null), (json!(1), json!(2))]);
    assert_eq!(text.matches("sequence\":").count(), 3, "{text}");
    is_everywhere(folder.path(), &[id]).await;
}
