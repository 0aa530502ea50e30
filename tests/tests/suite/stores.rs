//! The rules of every store (`smart_async::store::conformance`) for those that come with the crate; and those of the
//! file store alone.

mod arguments;
mod damage;
mod erasure;
mod lost_part;
mod order;
mod shortening;
#[cfg(unix)]
mod trust;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use smart_async::JobManager;
use smart_async::job::{
    JobEvent, JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobStatus, OwnerId, Prune,
};
use smart_async::store::conformance::helpers::{self, at, change, completed, job};
use smart_async::store::{JobStore, JournalStore, MemoryStore};
use tempfile::TempDir;

async fn ids(store: &dyn JobStore, query: JobQuery) -> Vec<JobId> {
    helpers::ids(&store.list(query).await.unwrap())
}

mod memory_keeps_the_rules {
    smart_async::conformance_tests!(|| async { super::MemoryStore::new() });
}

mod json_file_keeps_the_rules {
    smart_async::conformance_tests!(|| async {
        let folder = super::TempDir::new().unwrap();
        (super::JournalStore::open(folder.path()).await.unwrap(), folder)
    });
}

fn jobs_file(folder: &Path) -> std::path::PathBuf {
    folder.join("meta/jobs.json")
}

fn journal(folder: &Path) -> std::path::PathBuf {
    folder.join("meta/journal.ndjson")
}

/// The view that people read, once everything is at rest.
async fn view(folder: &Path, store: &JournalStore) -> Value {
    store.close().await.unwrap();
    serde_json::from_slice(&fs::read(jobs_file(folder)).unwrap()).unwrap()
}

/// The job as it is found by whoever opens what a crash at this very moment would leave: the journal alone.
async fn after_a_crash(folder: &Path, id: JobId) -> Option<Arc<JobRecord>> {
    let left = TempDir::new().unwrap();
    fs::create_dir_all(left.path().join("meta")).unwrap();
    fs::copy(journal(folder), journal(left.path())).unwrap();
    JournalStore::open(left.path()).await.unwrap().get(id).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    assert_eq!(after_a_crash(folder.path(), id).await.unwrap().status(), JobStatus::Pending);
    change(&store, id, JobEvent::Start, 1).await;
    assert_eq!(after_a_crash(folder.path(), id).await.unwrap().status(), JobStatus::Running);
    change(&store, id, JobEvent::Complete(JobOutput::new("x")), 2).await;
    assert_eq!(after_a_crash(folder.path(), id).await.unwrap().status(), JobStatus::Completed);
    store.prune(Prune::default()).await.unwrap();
    assert!(after_a_crash(folder.path(), id).await.is_none(), "nothing pruned comes back");
}

#[tokio::test]
async fn the_view_is_complete_at_an_orderly_end() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    for second in 0..20 {
        completed(&store, second).await;
    }
    let view = view(folder.path(), &store).await;
    assert_eq!(view["jobs"].as_array().unwrap().len(), 20);
    assert!(view["jobs"].as_array().unwrap().iter().all(|job| job["status"] == "completed"));
}

#[tokio::test]
async fn the_view_follows_by_itself() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id.to_string();
    while !fs::read_to_string(jobs_file(folder.path())).is_ok_and(|text| text.contains(&id)) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_folder_of_the_first_version_is_taken_over() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("meta")).unwrap();
    let job = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)));
    let before = json!({"version": 1, "jobs": [job.to_json()]});
    fs::write(jobs_file(folder.path()), before.to_string()).unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    assert!(*store.get(job.id).await.unwrap().unwrap() == job);
    assert!(*after_a_crash(folder.path(), job.id).await.unwrap() == job);
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("home");
    let store = JournalStore::open(&home).await.unwrap();
    store.insert(job(&store, 0)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    view(&home, &store).await;
    for folder in [home.clone(), home.join("meta"), home.join("meta/owners")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for file in [jobs_file(&home), journal(&home)] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn two_processes_see_each_others_jobs_and_lose_none() {
    let folder = TempDir::new().unwrap();
    let one = JournalStore::open(folder.path()).await.unwrap();
    let two = JournalStore::open(folder.path()).await.unwrap();
    let id = one.insert(job(&one, 0)).await.unwrap().id;
    assert!(two.get(id).await.unwrap().is_some());
    let (first, second) = tokio::join!(
        async {
            for second in 1..30 {
                completed(&one, second).await;
            }
        },
        async {
            for second in 31..60 {
                completed(&two, second).await;
            }
        }
    );
    let ((), ()) = (first, second);
    change(&two, id, JobEvent::Start, 1).await;
    assert_eq!(one.get(id).await.unwrap().unwrap().status(), JobStatus::Running);
    assert_eq!(ids(&one, JobQuery::default()).await, ids(&two, JobQuery::default()).await);
    assert_eq!(ids(&one, JobQuery::default()).await.len(), 59);
    assert_eq!(one.prune(Prune::default()).await.unwrap().removed, 58);
    assert_eq!(ids(&two, JobQuery::default()).await, [id], "nothing pruned comes back");
}

#[tokio::test]
async fn the_jobs_of_a_living_owner_are_not_abandoned_and_those_of_a_dead_one_are() {
    let folder = TempDir::new().unwrap();
    let living = JournalStore::open(folder.path()).await.unwrap();
    let dying = JournalStore::open(folder.path()).await.unwrap();
    living.insert(job(&living, 0)).await.unwrap();
    let lost = dying.insert(job(&dying, 1)).await.unwrap().id;
    let asking = JournalStore::open(folder.path()).await.unwrap();
    assert!(abandoned(&asking).await.is_empty());
    drop(dying);
    assert_eq!(abandoned(&asking).await, [lost]);
}

#[tokio::test]
async fn unknown_fields_and_entries_survive_a_rewrite() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("meta")).unwrap();
    let mut known =
        JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0))).to_json();
    known["shoe_size"] = 43.into();
    let before =
        json!({"version": 1, "motto": "forward", "jobs": [known, {"id": "no job at all"}]});
    fs::write(jobs_file(folder.path()), before.to_string()).unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    store.insert(job(&store, 1)).await.unwrap();
    fs::remove_file(jobs_file(folder.path())).unwrap();
    let after = view(folder.path(), &store).await;
    assert_eq!(after["motto"], "forward");
    let jobs = after["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 3);
    assert!(
        jobs.iter().any(|job| job["shoe_size"] == 43)
            && jobs.contains(&json!({"id": "no job at all"}))
    );
}

#[tokio::test]
async fn a_later_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("meta")).unwrap();
    let later = "{\"version\":3,\"jobs\":\"in a form that no program knows yet\"}";
    fs::write(jobs_file(folder.path()), later).unwrap();
    let error = JobManager::builder().folder(folder.path()).open().await.unwrap_err().to_string();
    assert!(
        error.contains("later version of smart-async (format 3, this one knows up to 2)"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(jobs_file(folder.path())).unwrap(), later);

    let later = "{\"journal\":\"0a4c8f5e-0000-4000-8000-000000000000\",\"version\":3}\n";
    fs::remove_file(jobs_file(folder.path())).unwrap();
    fs::write(journal(folder.path()), later).unwrap();
    let error = JobManager::builder().folder(folder.path()).open().await.unwrap_err().to_string();
    assert!(
        error.contains("later version of smart-async (format 3, this one knows up to 2)"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(journal(folder.path())).unwrap(), later);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_a_clear_error() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = JobManager::builder().folder(&file).open().await.unwrap_err().to_string();
    assert!(
        error.contains("failed to open the job folder") && error.contains("JOB_MCP_HOME"),
        "{error}"
    );

    fs::create_dir_all(jobs_file(folder.path())).unwrap();
    let error = JobManager::builder().folder(folder.path()).open().await.unwrap_err().to_string();
    assert!(error.contains("it is a folder, and should be a file"), "{error}");
}

#[tokio::test]
async fn traces_of_dead_owners_are_cleared_away() {
    let folder = TempDir::new().unwrap();
    let owners = folder.path().join("meta/owners");
    fs::create_dir_all(&owners).unwrap();
    fs::write(owners.join("0a4c8f5e-0000-4000-8000-000000000000.lock"), "").unwrap();
    let living = JournalStore::open(folder.path()).await.unwrap();
    let another = JournalStore::open(folder.path()).await.unwrap();
    assert_eq!(fs::read_dir(&owners).unwrap().count(), 1, "a reader changes nothing there");
    for store in [&living, &another] {
        store.insert(job(store, 0)).await.unwrap();
    }
    assert_eq!(fs::read_dir(&owners).unwrap().count(), 2);
    drop((living, another));
    assert_eq!(fs::read_dir(&owners).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_ask_at_once_both_learn_that_an_owner_is_dead() {
    let folder = TempDir::new().unwrap();
    let one = Arc::new(JournalStore::open(folder.path()).await.unwrap());
    let two = Arc::new(JournalStore::open(folder.path()).await.unwrap());
    let dead = OwnerId::new();
    fs::write(folder.path().join(format!("meta/owners/{dead}.lock")), "").unwrap();
    let mut left = job(&*one, 0);
    left.owner = Some(dead);
    let left = one.insert(left).await.unwrap().id;
    let ask = |store: Arc<JournalStore>| async move {
        for _ in 0..2000 {
            assert_eq!(abandoned(&*store).await, [left]);
        }
    };
    let asking = [tokio::spawn(ask(one)), tokio::spawn(ask(two))];
    for asking in asking {
        asking.await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_file_store_has_given_up_its_jobs() {
    let folder = TempDir::new().unwrap();
    gives_up_its_jobs(&JournalStore::open(folder.path()).await.unwrap()).await;
}

#[tokio::test]
async fn a_closed_memory_store_has_given_up_its_jobs() {
    gives_up_its_jobs(&MemoryStore::new()).await;
}

async fn gives_up_its_jobs(store: &dyn JobStore) {
    let id = store.insert(job(store, 0)).await.unwrap().id;
    store.close().await.unwrap();
    assert_eq!(abandoned(store).await, [id]);
}

async fn abandoned(store: &dyn JobStore) -> Vec<JobId> {
    store.abandoned(Some("reactor".into())).await.unwrap().iter().map(|job| job.id).collect()
}

/// The journal's lines, without the first one.
fn lines(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(journal(folder)).unwrap();
    text.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// An older program that shares the folder would not understand lines with checksums: it has to meet a later version.
#[tokio::test]
async fn a_journal_of_version_1_is_written_anew_when_it_is_opened() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("meta")).unwrap();
    let old = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)));
    let text = format!(
        "{{\"journal\":\"0a4c8f5e-0000-4000-8000-000000000000\",\"version\":1}}\n{}\n",
        json!({"put": old.to_json()})
    );
    fs::write(journal(folder.path()), text).unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    assert!(*store.get(old.id).await.unwrap().unwrap() == old);
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(header["version"], 2);
    assert!(lines(folder.path()).iter().all(|line| line.contains(",\"crc\":\"")));
}

/// Neither process leaves the lock to the other one by chance alone.
#[test]
fn two_processes_that_write_without_pause_both_get_on() {
    use std::time::{Duration, Instant};
    let folder = TempDir::new().unwrap();
    let write = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = JournalStore::open(folder.path()).await.unwrap();
            let id = store.insert(job(&store, 0)).await.unwrap().id;
            change(&store, id, JobEvent::Start, 1).await;
            let (began, mut written, mut longest) = (Instant::now(), 0, Duration::ZERO);
            while began.elapsed() < Duration::from_secs(2) {
                let before = Instant::now();
                change(&store, id, JobEvent::Progress, 2).await;
                longest = longest.max(before.elapsed());
                written += 1;
            }
            (written, longest)
        })
    };
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(write), scope.spawn(write));
        (one.join().unwrap(), two.join().unwrap())
    });
    println!("{one:?} and {two:?}");
    let less = one.0.min(two.0);
    assert!(less > 10 && less * 8 > one.0.max(two.0), "{one:?} and {two:?}");
}
