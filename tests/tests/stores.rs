//! The rules of a store, for each store that comes with the crate; and those of the file store alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use smart_async::JobManager;
use smart_async::job::{
    Change, JobEvent, JobId, JobOutput, JobQuery, JobRecord, JobStatus, Progress, Prune, Timestamp,
};
use smart_async::store::{JobStore, JsonFileStore, MemoryStore, StoreError};
use tempfile::TempDir;

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn job(store: &dyn JobStore, second: i64) -> JobRecord {
    let mut job = JobRecord::pending(JobId::new(), "simulate", "reactor", at(second));
    job.owner = Some(store.owner());
    job
}

async fn change(store: &dyn JobStore, id: JobId, event: JobEvent, second: i64) -> Arc<JobRecord> {
    store.update(id, Change::new(event, at(second))).await.unwrap()
}

async fn completed(store: &dyn JobStore, second: i64) -> JobId {
    let id = store.insert(job(store, second)).await.unwrap().id;
    change(store, id, JobEvent::Start, second).await;
    change(store, id, JobEvent::Complete(JobOutput::new(second)), second + 1).await;
    id
}

async fn ids(store: &dyn JobStore, query: JobQuery) -> Vec<JobId> {
    store.list(query).await.unwrap().jobs.iter().map(|job| job.id).collect()
}

/// Runs a rule on every store.
macro_rules! rules {
    ($($rule:ident)*) => {$(
        mod $rule {
            #[tokio::test]
            async fn memory() {
                super::rule::$rule(&super::MemoryStore::new()).await;
            }

            #[tokio::test]
            async fn json_file() {
                let folder = super::TempDir::new().unwrap();
                super::rule::$rule(&super::JsonFileStore::open(folder.path()).await.unwrap()).await;
            }
        }
    )*};
}

rules! {
    a_job_that_was_inserted_is_there
    an_id_is_given_once
    a_change_sees_the_one_before
    a_change_to_an_unknown_job_is_refused
    a_terminal_job_changes_no_more
    jobs_are_listed_newest_first_and_counted_before_the_limit
    a_query_finds_by_everything_it_names
    pruning_removes_ended_jobs_only
    pruning_keeps_the_newest
    a_withdrawn_job_was_never_there
    ones_own_jobs_are_not_abandoned
    many_writers_lose_nothing
}

mod rule {
    use super::*;

    pub(super) async fn a_job_that_was_inserted_is_there(store: &dyn JobStore) {
        let job = job(store, 0);
        store.insert(job.clone()).await.unwrap();
        assert!(*store.get(job.id).await.unwrap().unwrap() == job);
        assert!(store.get(JobId::new()).await.unwrap().is_none());
    }

    pub(super) async fn an_id_is_given_once(store: &dyn JobStore) {
        let job = job(store, 0);
        store.insert(job.clone()).await.unwrap();
        change(store, job.id, JobEvent::Start, 1).await;
        let again = store.insert(job.clone()).await;
        assert!(matches!(again, Err(StoreError::Duplicate(id)) if id == job.id));
        let kept = store.get(job.id).await.unwrap().unwrap();
        assert_eq!(kept.status(), JobStatus::Running, "the first one stays as it is");
    }

    pub(super) async fn a_change_sees_the_one_before(store: &dyn JobStore) {
        let id = store.insert(job(store, 0)).await.unwrap().id;
        change(store, id, JobEvent::Start, 1).await;
        let progress = Some(Progress::new(1.0, Some(2.0), None));
        let told = Change::new(JobEvent::Progress, at(2)).with_progress(progress.clone());
        store.update(id, told).await.unwrap();
        let asked = change(store, id, JobEvent::RequestCancel, 3).await;
        assert!(asked.cancel_requested && asked.progress == progress && asked.updated_at == at(3));
    }

    pub(super) async fn a_change_to_an_unknown_job_is_refused(store: &dyn JobStore) {
        let id = JobId::new();
        let refused = store.update(id, Change::new(JobEvent::Start, at(0))).await;
        assert!(matches!(refused, Err(StoreError::NotFound(unknown)) if unknown == id));
    }

    pub(super) async fn a_terminal_job_changes_no_more(store: &dyn JobStore) {
        let id = completed(store, 0).await;
        let before = store.get(id).await.unwrap().unwrap();
        for event in
            [JobEvent::Start, JobEvent::Progress, JobEvent::RequestCancel, JobEvent::Cancel]
        {
            let refused = store.update(id, Change::new(event, at(9))).await;
            assert!(matches!(refused, Err(StoreError::Illegal { .. })));
        }
        assert!(store.get(id).await.unwrap().unwrap() == before);
    }

    pub(super) async fn jobs_are_listed_newest_first_and_counted_before_the_limit(
        store: &dyn JobStore,
    ) {
        let mut all = Vec::new();
        for second in [3, 1, 2] {
            all.push((second, completed(store, second).await));
        }
        all.sort_by_key(|(second, _)| -second);
        let newest: Vec<_> = all.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids(store, JobQuery::default()).await, newest);
        let mut query = JobQuery::default();
        query.limit = Some(2);
        let page = store.list(query).await.unwrap();
        assert_eq!((page.jobs.len(), page.total), (2, 3));
        assert_eq!(page.jobs[0].id, newest[0]);
    }

    pub(super) async fn a_query_finds_by_everything_it_names(store: &dyn JobStore) {
        let mut wanted = job(store, 0);
        wanted.label = "the one".into();
        wanted.session = Some("monday".into());
        wanted.tags.insert("colour".into(), "red".into());
        store.insert(wanted.clone()).await.unwrap();
        store.insert(job(store, 1)).await.unwrap();
        let mut other = job(store, 2);
        other.server = "another".into();
        store.insert(other).await.unwrap();
        let conditions: [fn(&mut JobQuery); 4] = [
            |query| query.label = Some("the one".into()),
            |query| query.session = Some("monday".into()),
            |query| query.tag = Some(("colour".into(), None)),
            |query| query.tag = Some(("colour".into(), Some("red".into()))),
        ];
        for condition in conditions {
            let mut query = JobQuery::default();
            condition(&mut query);
            assert_eq!(ids(store, query).await, [wanted.id]);
        }
        let nothing: [fn(&mut JobQuery); 3] = [
            |query| query.tag = Some(("colour".into(), Some("blue".into()))),
            |query| query.statuses = vec![JobStatus::Running],
            |query| query.server = Some("a third".into()),
        ];
        for condition in nothing {
            let mut query = JobQuery::default();
            condition(&mut query);
            assert!(ids(store, query).await.is_empty());
        }
        let mut query = JobQuery::default();
        query.server = Some("reactor".into());
        assert_eq!(ids(store, query).await.len(), 2);
    }

    pub(super) async fn pruning_removes_ended_jobs_only(store: &dyn JobStore) {
        let pending = store.insert(job(store, 0)).await.unwrap().id;
        let running = store.insert(job(store, 1)).await.unwrap().id;
        change(store, running, JobEvent::Start, 1).await;
        let (old, new) = (completed(store, 2).await, completed(store, 10).await);
        let mut prune = Prune::default();
        prune.ended_before = Some(at(10));
        let pruned = store.prune(prune).await.unwrap();
        assert_eq!((pruned.removed, pruned.remaining), (1, 3));
        assert!(store.get(old).await.unwrap().is_none() && store.get(new).await.unwrap().is_some());
        let mut other = Prune::default();
        other.server = Some("another".into());
        assert_eq!(store.prune(other).await.unwrap().removed, 0, "another server's jobs");
        assert_eq!(store.prune(Prune::default()).await.unwrap().removed, 1);
        assert_eq!(ids(store, JobQuery::default()).await, [running, pending]);
    }

    pub(super) async fn pruning_keeps_the_newest(store: &dyn JobStore) {
        for second in [1, 5, 3] {
            completed(store, second).await;
        }
        let mut prune = Prune::default();
        prune.keep_newest = 1;
        assert_eq!(store.prune(prune).await.unwrap().removed, 2);
        let left = store.list(JobQuery::default()).await.unwrap();
        assert_eq!(left.jobs[0].created_at, at(5));
    }

    pub(super) async fn a_withdrawn_job_was_never_there(store: &dyn JobStore) {
        let id = store.insert(job(store, 0)).await.unwrap().id;
        store.withdraw(id).await.unwrap();
        store.withdraw(id).await.unwrap();
        assert!(store.get(id).await.unwrap().is_none());
    }

    pub(super) async fn ones_own_jobs_are_not_abandoned(store: &dyn JobStore) {
        store.insert(job(store, 0)).await.unwrap();
        let mut nobodys = job(store, 1);
        nobodys.owner = None;
        store.insert(nobodys.clone()).await.unwrap();
        assert_eq!(store.abandoned("reactor".into()).await.unwrap(), [nobodys.id]);
        assert!(store.abandoned("another".into()).await.unwrap().is_empty());
    }

    pub(super) async fn many_writers_lose_nothing(store: &dyn JobStore) {
        let writers = (0..50).map(|second| completed(store, second));
        let written = futures_join_all(writers).await;
        let mut listed = ids(store, JobQuery::default()).await;
        let mut written: Vec<_> = written;
        written.sort();
        listed.sort();
        assert_eq!(written, listed);
    }

    async fn futures_join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
        let mut pending: Vec<_> = futures.map(Box::pin).collect();
        let mut done = Vec::new();
        std::future::poll_fn(|context| {
            pending.retain_mut(|future| match future.as_mut().poll(context) {
                std::task::Poll::Ready(output) => {
                    done.push(output);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        done
    }
}

fn jobs_file(folder: &Path) -> std::path::PathBuf {
    folder.join("meta/jobs.json")
}

fn journal(folder: &Path) -> std::path::PathBuf {
    folder.join("meta/journal.ndjson")
}

/// The view that people read, once everything is at rest.
async fn view(folder: &Path, store: &JsonFileStore) -> Value {
    store.close().await.unwrap();
    serde_json::from_slice(&fs::read(jobs_file(folder)).unwrap()).unwrap()
}

/// The job as it is found by whoever opens what a crash at this very moment would leave: the journal alone.
async fn after_a_crash(folder: &Path, id: JobId) -> Option<Arc<JobRecord>> {
    let left = TempDir::new().unwrap();
    fs::create_dir_all(left.path().join("meta")).unwrap();
    fs::copy(journal(folder), journal(left.path())).unwrap();
    JsonFileStore::open(left.path()).await.unwrap().get(id).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = JsonFileStore::open(folder.path()).await.unwrap();
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
    let store = JsonFileStore::open(folder.path()).await.unwrap();
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
    let store = JsonFileStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id.to_string();
    while !fs::read_to_string(jobs_file(folder.path())).is_ok_and(|text| text.contains(&id)) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Opens what is left of a folder after `harm` was done to it.
async fn after(harm: impl Fn(&Path), jobs: i64) -> Vec<JobId> {
    let folder = TempDir::new().unwrap();
    let store = JsonFileStore::open(folder.path()).await.unwrap();
    let mut written = Vec::new();
    for second in 0..jobs {
        written.push(completed(&store, second).await);
    }
    store.close().await.unwrap();
    drop(store);
    harm(folder.path());
    let store = JsonFileStore::open(folder.path()).await.unwrap();
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
    let store = JsonFileStore::open(folder.path()).await.unwrap();
    let other = JsonFileStore::open(folder.path()).await.unwrap();
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

#[tokio::test]
async fn a_folder_of_the_first_version_is_taken_over() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("meta")).unwrap();
    let job = JobRecord::pending(JobId::new(), "simulate", "reactor", at(0));
    let before = json!({"version": 1, "jobs": [job.to_json()]});
    fs::write(jobs_file(folder.path()), before.to_string()).unwrap();
    let store = JsonFileStore::open(folder.path()).await.unwrap();
    assert!(*store.get(job.id).await.unwrap().unwrap() == job);
    assert!(*after_a_crash(folder.path(), job.id).await.unwrap() == job);
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("home");
    let store = JsonFileStore::open(&home).await.unwrap();
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
    let one = JsonFileStore::open(folder.path()).await.unwrap();
    let two = JsonFileStore::open(folder.path()).await.unwrap();
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
    let living = JsonFileStore::open(folder.path()).await.unwrap();
    let dying = JsonFileStore::open(folder.path()).await.unwrap();
    living.insert(job(&living, 0)).await.unwrap();
    let lost = dying.insert(job(&dying, 1)).await.unwrap().id;
    let asking = JsonFileStore::open(folder.path()).await.unwrap();
    assert!(asking.abandoned("reactor".into()).await.unwrap().is_empty());
    drop(dying);
    assert_eq!(asking.abandoned("reactor".into()).await.unwrap(), [lost]);
}

#[tokio::test]
async fn unknown_fields_and_entries_survive_a_rewrite() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("meta")).unwrap();
    let mut known = JobRecord::pending(JobId::new(), "simulate", "reactor", at(0)).to_json();
    known["shoe_size"] = 43.into();
    let before =
        json!({"version": 1, "motto": "forward", "jobs": [known, {"id": "no job at all"}]});
    fs::write(jobs_file(folder.path()), before.to_string()).unwrap();
    let store = JsonFileStore::open(folder.path()).await.unwrap();
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
        let store = JsonFileStore::open(folder.path()).await.unwrap();
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
        let store = JsonFileStore::open(folder.path()).await.unwrap();
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
    let later = "{\"version\":2,\"jobs\":\"in a form that nobody knows yet\"}";
    fs::write(jobs_file(folder.path()), later).unwrap();
    let error = JobManager::builder().folder(folder.path()).open().await.unwrap_err().to_string();
    assert!(
        error.contains("later version of smart-async (format 2, this one knows up to 1)"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(jobs_file(folder.path())).unwrap(), later);

    let later = "{\"journal\":\"0a4c8f5e-0000-4000-8000-000000000000\",\"version\":2}\n";
    fs::remove_file(jobs_file(folder.path())).unwrap();
    fs::write(journal(folder.path()), later).unwrap();
    let error = JobManager::builder().folder(folder.path()).open().await.unwrap_err().to_string();
    assert!(
        error.contains("later version of smart-async (format 2, this one knows up to 1)"),
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
    let living = JsonFileStore::open(folder.path()).await.unwrap();
    let another = JsonFileStore::open(folder.path()).await.unwrap();
    assert_eq!(fs::read_dir(&owners).unwrap().count(), 2);
    drop((living, another));
    assert_eq!(fs::read_dir(&owners).unwrap().count(), 0);
}
