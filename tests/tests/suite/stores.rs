//! The rules of every store (`smart_async::store::conformance`) for those that come with the crate; and those of the
//! file store alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use smart_async::JobManager;
use smart_async::job::{
    Change, JobEvent, JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobStatus, OwnerId, Progress,
    Prune,
};
use smart_async::store::conformance::helpers::{self, at, change, completed, job};
use smart_async::store::faults::{Operation, Verdict, Watcher};
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

/// Opens what is left of a folder after `harm` was done to it.
async fn after(harm: impl Fn(&Path), jobs: i64) -> Vec<JobId> {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let mut written = Vec::new();
    for second in 0..jobs {
        written.push(completed(&store, second).await);
    }
    store.close().await.unwrap();
    drop(store);
    harm(folder.path());
    let store = JournalStore::open(folder.path()).await.unwrap();
    let mut found = ids(&store, JobQuery::default()).await;
    found.reverse();
    assert_eq!(found, written);
    // It goes on from there.
    completed(&store, jobs).await;
    found
}

#[tokio::test]
async fn a_torn_last_line_spoils_nothing() {
    for torn in [
        "{\"put\":{\"id\":\"0a4c",
        "\n{\"put\":",
        "\n",
        "\u{0}\u{0}\u{0}",
        "{}\n",
        "{\"later\":1}\n",
    ] {
        after(
            |folder| {
                let mut text = fs::read(journal(folder)).unwrap();
                text.extend_from_slice(torn.as_bytes());
                fs::write(journal(folder), text).unwrap();
            },
            3,
        )
        .await;
    }
}

#[tokio::test]
async fn a_view_that_is_lost_old_damaged_or_of_another_journal_loses_nothing() {
    let harms: [fn(&Path); 5] = [
        |folder| fs::remove_file(jobs_file(folder)).unwrap(),
        |folder| fs::write(jobs_file(folder), "{").unwrap(),
        |folder| fs::write(jobs_file(folder), "{\"version\":1,\"jobs\":[]}\n").unwrap(),
        |folder| {
            let other = "{\"version\":1,\"journal\":\"0a4c8f5e-0000-4000-8000-000000000000\",\"position\":9,\"jobs\":[]}\n";
            fs::write(jobs_file(folder), other).unwrap();
        },
        |folder| fs::write(folder.join("meta/jobs.json.new"), "half of it").unwrap(),
    ];
    for harm in harms {
        after(harm, 5).await;
    }
}

#[tokio::test]
async fn a_journal_that_is_lost_or_damaged_falls_back_to_the_view() {
    let harms: [fn(&Path); 3] = [
        |folder| fs::remove_file(journal(folder)).unwrap(),
        |folder| fs::write(journal(folder), "").unwrap(),
        |folder| fs::write(journal(folder), "\u{0}\u{0}\u{0}\n").unwrap(),
    ];
    for harm in harms {
        after(harm, 5).await;
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
    let long = Some(Progress::new(1.0, None, Some("x".repeat(100_000))));
    let mut longest = 0;
    loop {
        let told = Change::new(JobEvent::Progress, at(2)).with_progress(long.clone());
        store.update(id, told).await.unwrap();
        let length = fs::metadata(journal(folder.path())).unwrap().len();
        if length < longest {
            break;
        }
        longest = length;
        assert!(longest < 64 * 1024 * 1024, "it grows without end");
    }
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
    assert!(*inserted.expect("it waits for nothing else").unwrap() == long);
    recorder.held();
    assert_eq!(first_line().unwrap(), before);
    assert!(store.get(long.id).await.unwrap().is_some());
    recorder.go_on();
    settle(folder.path());
    assert_ne!(first_line().unwrap(), before, "another journal stands in its place");
    assert!(*after_a_crash(folder.path(), long.id).await.unwrap() == long);
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
async fn a_damaged_file_is_set_aside_and_never_overwritten() {
    for damage in [
        "",
        "{",
        "{\"version\":1,\"jobs\":[{\"id\":",
        "[]",
        "null",
        "\u{0}\u{0}\u{0}",
        "{\"jobs\":[]}",
    ] {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("meta")).unwrap();
        fs::write(jobs_file(folder.path()), damage).unwrap();
        let store = JournalStore::open(folder.path()).await.unwrap();
        store.insert(job(&store, 0)).await.unwrap();
        let meta = fs::read_dir(folder.path().join("meta")).unwrap();
        let aside = meta
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains("jobs.json.damaged-"))
            .unwrap_or_else(|| panic!("{damage:?} was not set aside"));
        assert_eq!(fs::read_to_string(aside).unwrap(), damage);
        assert_eq!(view(folder.path(), &store).await["jobs"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn files_damaged_or_removed_while_in_use_lose_no_job() {
    let harms: [fn(&Path); 5] = [
        |folder| fs::write(jobs_file(folder), "{").unwrap(),
        |folder| fs::write(journal(folder), "{").unwrap(),
        |folder| fs::remove_file(journal(folder)).unwrap(),
        |folder| fs::remove_dir_all(folder.join("meta")).unwrap(),
        |folder| fs::remove_dir_all(folder).unwrap(),
    ];
    for harm in harms {
        let folder = TempDir::new().unwrap();
        let store = JournalStore::open(folder.path()).await.unwrap();
        let id = store.insert(job(&store, 0)).await.unwrap().id;
        harm(folder.path());
        change(&store, id, JobEvent::Start, 1).await;
        assert_eq!(after_a_crash(folder.path(), id).await.unwrap().status(), JobStatus::Running);
        assert_eq!(view(folder.path(), &store).await["jobs"][0]["status"], "running");
    }
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

/// Has the journal grow until it is replaced by a shorter one.
async fn shorten(store: &JournalStore, folder: &Path) {
    let id = store.insert(job(store, 0)).await.unwrap().id;
    change(store, id, JobEvent::Start, 1).await;
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
    }
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

/// The journal's lines, without the first one.
fn lines(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(journal(folder)).unwrap();
    text.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_line_whose_checksum_is_wrong_is_passed_over_and_kept() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    change(&store, id, JobEvent::Start, 1).await;
    store.close().await.unwrap();
    drop(store);
    // A byte that leaves the line JSON, and its record a record.
    let line = lines(folder.path()).pop().unwrap();
    let damaged = line.replace("\"reactor\"", "\"reactos\"");
    assert_ne!(line, damaged);
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    fs::write(journal(folder.path()), text.replace(&line, &damaged)).unwrap();
    let _ = fs::remove_file(jobs_file(folder.path()));
    for _ in 0..2 {
        let store = JournalStore::open(folder.path()).await.unwrap();
        let found = store.get(id).await.unwrap().unwrap();
        assert_eq!(
            (found.status(), &*found.to_json()["server"].to_string()),
            (JobStatus::Pending, "\"reactor\"")
        );
        shorten(&store, folder.path()).await;
        assert!(lines(folder.path()).contains(&damaged), "a person may mend it");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_that_a_person_mended_needs_no_checksum() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    store.close().await.unwrap();
    drop(store);
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    let start = text.rfind(",\"crc\":").unwrap();
    let mended = format!("{}}}\n", &text[..start]).replace("\"reactor\"", "\"another\"");
    fs::write(journal(folder.path()), mended).unwrap();
    let _ = fs::remove_file(jobs_file(folder.path()));
    let store = JournalStore::open(folder.path()).await.unwrap();
    assert_eq!(store.get(id).await.unwrap().unwrap().to_json()["server"], "another");
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
