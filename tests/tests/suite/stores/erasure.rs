//! A job that was pruned is in no file of the folder any more, and a full disk is no reason to keep it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use smart_async::job::{Change, JobEvent, JobId, JobOutput, JobRecord, Progress, Prune, Question};
use smart_async::store::conformance::helpers::{at, change, completed, job};
use smart_async::store::faults::{Operation, Verdict, Watcher};
use smart_async::store::{JobStore, JournalStore};
use smart_async_tests::disk::settle;
use tempfile::TempDir;

use super::{jobs_file, journal};

const SECRET: &str = "swordfish";

/// A job with the secret in all its parts that has not ended.
async fn live(store: &JournalStore) -> JobId {
    let mut job = job(store, 0);
    job.spec_mut().label = format!("label {SECRET}");
    job.spec_mut().max_reruns = Some(1);
    let arguments = json!({"password": SECRET});
    job.spec_mut().arguments = arguments.as_object().cloned();
    let id = store.insert(job).await.unwrap().id;
    change(store, id, JobEvent::Start, 1).await;
    let request = json!({"params": {"message": format!("{SECRET}?")}});
    let question = Question::new(request, at(1), at(60));
    change(store, id, JobEvent::Ask("key".to_owned(), Box::new(question)), 2).await;
    change(store, id, JobEvent::Answer("key".to_owned(), json!({"content": SECRET})), 3).await;
    let told = Progress::new(1.0, None, Some(SECRET.to_owned()));
    let told = Change::new(JobEvent::Progress, at(4)).with_progress(Some(told));
    store.update(id, told).await.unwrap();
    id
}

/// The same, ended, with a result of so many words.
async fn ended(store: &JournalStore, words: usize) -> JobId {
    let id = live(store).await;
    let result = format!("{SECRET} ").repeat(words);
    change(store, id, JobEvent::Complete(JobOutput::new(result)), 5).await;
    id
}

/// The files below the folder with the text in them or in their names.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
            continue;
        }
        let (name, content) = (path.display().to_string(), fs::read(&path).unwrap_or_default());
        if name.contains(text) || String::from_utf8_lossy(&content).contains(text) {
            found.push(name);
        }
    }
    found
}

#[tokio::test]
async fn a_pruned_job_is_in_no_file_when_the_answer_is_there_and_other_processes_go_on() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let other = JournalStore::open(folder.path()).await.unwrap();
    let (small, large) = (ended(&store, 1).await, ended(&other, 2000).await);
    let stays = completed(&store, 6).await;
    assert!(store.get(small).await.unwrap().is_some());
    let mut prune = Prune::default();
    prune.jobs = vec![small, large];
    assert_eq!(store.prune(prune).await.unwrap().removed, 2);
    for text in [SECRET.to_owned(), small.to_string(), large.to_string()] {
        let none: [&str; 0] = [];
        assert_eq!(files_with(folder.path(), &text), none, "{text}");
    }
    for store in [&store, &other] {
        assert!(store.get(small).await.unwrap().is_none());
        assert!(store.get(stays).await.unwrap().is_some());
        let next = completed(store, 7).await;
        assert!(other.get(next).await.unwrap().is_some());
    }
}

/// The arguments of a rerun and the answers of a user are needed no more when the job ends.
#[tokio::test]
async fn a_job_that_has_ended_loses_its_arguments_and_answers_at_the_end_or_after_a_crash() {
    for crashes in [false, true] {
        let folder = TempDir::new().unwrap();
        let store = JournalStore::open(folder.path()).await.unwrap();
        let id = live(&store).await;
        change(&store, id, JobEvent::Complete(JobOutput::new("done")), 5).await;
        let left = TempDir::new().unwrap();
        let home = if crashes {
            fs::create_dir_all(left.path().join("meta")).unwrap();
            fs::copy(journal(folder.path()), journal(left.path())).unwrap();
            let next = JournalStore::open(left.path()).await.unwrap();
            next.close().await.unwrap();
            left.path()
        } else {
            store.close().await.unwrap();
            folder.path()
        };
        let text = fs::read_to_string(journal(home)).unwrap();
        assert!(!text.contains("password") && !text.contains("answer"), "{text}");
        assert!(text.contains(&id.to_string()), "the job itself stays");
    }
}

#[tokio::test]
async fn a_removal_that_a_crash_left_in_the_journal_is_erased_by_the_next_process() {
    let folder = TempDir::new().unwrap();
    let watcher = Arc::new(SmallDisk::default());
    let open = JournalStore::open_watched(folder.path(), watcher.clone(), u64::MAX);
    let store = open.await.unwrap();
    let id = ended(&store, 1).await;
    // The removal itself fits in, and the shorter journal does not.
    watcher.free.store(200, Ordering::SeqCst);
    assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 1);
    let left = TempDir::new().unwrap();
    fs::create_dir_all(left.path().join("meta")).unwrap();
    fs::copy(journal(folder.path()), journal(left.path())).unwrap();
    assert!(fs::read_to_string(journal(left.path())).unwrap().contains(SECRET));
    let next = JournalStore::open(left.path()).await.unwrap();
    assert!(next.get(id).await.unwrap().is_none());
    next.close().await.unwrap();
    assert!(files_with(left.path(), &id.to_string()).is_empty());
    watcher.free.store(u64::MAX, Ordering::SeqCst);
    store.close().await.unwrap();
    assert!(files_with(folder.path(), &id.to_string()).is_empty());
}

#[tokio::test]
async fn a_pruned_job_is_erased_from_damaged_lines_and_copies_and_other_jobs_stay_in_them() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let (goes, stays) = (ended(&store, 1).await, completed(&store, 6).await);
    store.close().await.unwrap();
    drop(store);
    let whole = fs::read_to_string(journal(folder.path())).unwrap();
    let line = whole.lines().find(|line| line.contains(&goes.to_string())).unwrap();
    let damaged = line.replace("completed", "kompleted");
    fs::write(journal(folder.path()), format!("{whole}{damaged}\n")).unwrap();
    let copy = folder.path().join("meta/journal.ndjson.damaged-20261120T000000000Z");
    fs::write(&copy, format!("no journal\n{whole}")).unwrap();
    let copy_of_view = folder.path().join("meta/jobs.json.damaged-20261120T000000000Z");
    fs::copy(jobs_file(folder.path()), &copy_of_view).unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let mut prune = Prune::default();
    prune.jobs = vec![goes];
    assert_eq!(store.prune(prune).await.unwrap().removed, 1);
    store.close().await.unwrap();
    assert!(files_with(folder.path(), SECRET).is_empty());
    let with_other = files_with(folder.path(), &stays.to_string());
    assert_eq!(with_other.len(), 4, "{with_other:?}");
    assert!(fs::read_to_string(copy).unwrap().starts_with("no journal\n"));
}

/// A disk with so much room, and a limit on the length of each file.
#[derive(Debug)]
struct SmallDisk {
    free: AtomicU64,
    longest: AtomicU64,
}

impl Default for SmallDisk {
    fn default() -> Self {
        Self { free: AtomicU64::new(u64::MAX), longest: AtomicU64::new(u64::MAX) }
    }
}

impl SmallDisk {
    fn frees(&self, bytes: u64) {
        let free = self.free.load(Ordering::SeqCst).saturating_add(bytes);
        self.free.store(free, Ordering::SeqCst);
    }
}

impl Watcher for SmallDisk {
    fn announce(&self, operation: Operation<'_>) -> Verdict {
        let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        match operation {
            Operation::Write(file, bytes) => {
                let (free, bytes) = (self.free.load(Ordering::SeqCst), bytes.len() as u64);
                let after = file.metadata().unwrap().len() + bytes;
                if bytes > free || after > self.longest.load(Ordering::SeqCst) {
                    return Verdict::Fail { written: 0 };
                }
                self.free.store(free - bytes, Ordering::SeqCst);
            }
            Operation::Remove(path) => self.frees(length(path)),
            Operation::Rename(_, to) => self.frees(length(to)),
            Operation::Cut(file, to) => self.frees(file.metadata().unwrap().len() - to),
            _ => {}
        }
        Verdict::GoOn
    }
}

async fn refused(store: &JournalStore, job: JobRecord) {
    assert!(store.insert(job).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_full_disk_takes_a_prune_which_frees_room_again() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(SmallDisk::default());
    let open = JournalStore::open_watched(folder.path(), disk.clone(), u64::MAX);
    let store = open.await.unwrap();
    // A prune that finds nothing makes the reserve.
    store.prune(Prune::default()).await.unwrap();
    settle(folder.path());
    assert!(folder.path().join("meta/reserve").is_file());
    for _ in 0..20 {
        ended(&store, 1).await;
    }
    let before = fs::metadata(journal(folder.path())).unwrap().len();
    disk.free.store(0, Ordering::SeqCst);
    refused(&store, job(&store, 9)).await;
    assert!(folder.path().join("meta/reserve").is_file(), "it is for removals alone");
    assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 20);
    assert!(disk.free.load(Ordering::SeqCst) > before / 2, "there is room again");
    assert!(!fs::read_to_string(journal(folder.path())).unwrap().contains(SECRET));
    store.insert(job(&store, 9)).await.unwrap();
}

/// As where the process may write no file that is longer.
#[tokio::test]
async fn a_journal_that_may_not_grow_takes_a_prune() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(SmallDisk::default());
    let open = JournalStore::open_watched(folder.path(), disk.clone(), u64::MAX);
    let store = open.await.unwrap();
    for _ in 0..20 {
        ended(&store, 1).await;
    }
    disk.longest.store(fs::metadata(journal(folder.path())).unwrap().len(), Ordering::SeqCst);
    refused(&store, job(&store, 9)).await;
    assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 20);
    assert!(!fs::read_to_string(journal(folder.path())).unwrap().contains(SECRET));
    let next = store.insert(job(&store, 9)).await.unwrap().id;
    store.close().await.unwrap();
    let later = JournalStore::open(folder.path()).await.unwrap();
    assert!(later.get(next).await.unwrap().is_some());
}
