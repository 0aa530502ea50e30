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

fn on_disk(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(jobs_file(folder)).unwrap()).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_on_disk() {
    let folder = TempDir::new().unwrap();
    let store = JsonFileStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    assert_eq!(on_disk(folder.path())["jobs"][0]["status"], "pending");
    change(&store, id, JobEvent::Start, 1).await;
    assert_eq!(on_disk(folder.path())["jobs"][0]["status"], "running");
    change(&store, id, JobEvent::Complete(JobOutput::new("x")), 2).await;
    assert_eq!(on_disk(folder.path())["jobs"][0]["result"], "x");
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
    assert_eq!(
        (mode(&home), mode(&home.join("meta")), mode(&jobs_file(&home))),
        (0o700, 0o700, 0o600)
    );
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
    let after = on_disk(folder.path());
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
        assert_eq!(on_disk(folder.path())["jobs"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_file_damaged_or_removed_while_in_use_loses_no_live_job() {
    for damage in [Some("{"), None, Some("{\"version\":1,\"jobs\":[]}")] {
        let folder = TempDir::new().unwrap();
        let store = JsonFileStore::open(folder.path()).await.unwrap();
        let id = store.insert(job(&store, 0)).await.unwrap().id;
        match damage {
            Some(damage) => fs::write(jobs_file(folder.path()), damage).unwrap(),
            None => fs::remove_dir_all(folder.path().join("meta")).unwrap(),
        }
        change(&store, id, JobEvent::Start, 1).await;
        assert_eq!(on_disk(folder.path())["jobs"][0]["status"], "running", "{damage:?}");
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
