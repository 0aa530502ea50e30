//! Large results: in files of their own, on disk before their job's end is acknowledged, gone with their job, and read by
//! whoever waits for them before anything is pruned.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{
    Change, JobEvent, JobFailure, JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobStatus,
    OwnerId, Prune, ResultLocation, Timestamp,
};
use smart_async::manager::{Error, Retention, WaitFor, WallClock};
use smart_async::store::conformance::helpers::{at, unnumbered, whole};
use smart_async::store::{JobStore, JournalStore, StoreError};
use smart_async::{CurrentJob, Job, JobManager, JobRequest, WithJobs, job_fn, smart_async};
use smart_async_tests::{Client, Gate, runtime_clock};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(3600);

async fn open(folder: &Path) -> JournalStore {
    JournalStore::open(folder).await.unwrap()
}

async fn running(store: &JournalStore) -> JobRecord {
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)));
    job.owner = Some(store.owner());
    store.insert(job.clone()).await.unwrap();
    (*store.update(job.id, Change::new(JobEvent::Start, at(1))).await.unwrap()).clone()
}

fn large(text: &str) -> Change {
    Change::new(JobEvent::Complete(JobOutput::new(text.repeat(10_000))), at(2))
}

/// A job with a large result, as whoever asks for the whole should find it.
async fn completed(store: &JournalStore) -> JobRecord {
    let job = running(store).await;
    store.update(job.id, large("x")).await.unwrap();
    whole(store, job.id).await
}

fn file(folder: &Path, id: JobId) -> PathBuf {
    folder.join(format!("results/{id}.json"))
}

/// The names of the files in `results/`.
fn files(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder.join("results")) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn named(ids: &[JobId]) -> BTreeSet<String> {
    ids.iter().map(|id| format!("{id}.json")).collect()
}

/// What a crash at this very moment would leave.
fn after_a_crash(folder: &Path) -> TempDir {
    let left = TempDir::new().unwrap();
    for part in ["meta", "results"] {
        fs::create_dir(left.path().join(part)).unwrap();
    }
    fs::copy(folder.join("meta/journal.ndjson"), left.path().join("meta/journal.ndjson")).unwrap();
    for name in files(folder) {
        let name = Path::new("results").join(name);
        fs::copy(folder.join(&name), left.path().join(&name)).unwrap();
    }
    left
}

fn keep_all() -> Prune {
    let mut prune = Prune::default();
    prune.keep_newest = usize::MAX;
    prune
}

#[tokio::test]
async fn a_large_result_lies_in_a_file_of_its_own_and_the_journal_stays_small() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let job = running(&store).await;
    let mut output = JobOutput::new(json!({"text": "hay".repeat(2000)})).with_metadata("rows", 3);
    output.tool_result = Some(json!({"content": []}));
    let end = Change::new(JobEvent::Complete(output), at(2));
    let told = store.update(job.id, end).await.unwrap().to_json();
    let written = json!({
        "version": 1, "id": job.id, "result": {"text": "hay".repeat(2000)},
        "tool_result": {"content": []}, "metadata": {"rows": 3}
    });
    let text = fs::read(file(folder.path(), job.id)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), written);
    assert_eq!(told["result_file"], format!("results/{}.json", job.id));
    assert_eq!(told["result_bytes"], json!({"text": "hay".repeat(2000)}).to_string().len());
    assert_eq!(told["result_file_bytes"], text.len());
    for gone in ["result", "tool_result", "metadata"] {
        assert_eq!(told.get(gone), None, "{gone}");
    }

    let failing = running(&store).await;
    let failure = JobFailure::error("no needle").with_details("hay".repeat(2000).into());
    let end = Change::new(JobEvent::Fail(failure), at(2));
    let told = store.update(failing.id, end).await.unwrap().to_json();
    assert_eq!((&told["error"], told.get("error_details")), (&json!("no needle"), None));

    store.close().await.unwrap();
    for kept in ["meta/journal.ndjson", "meta/jobs.json"] {
        assert!(!fs::read_to_string(folder.path().join(kept)).unwrap().contains("hayhay"));
    }
    assert_eq!(files(folder.path()), named(&[job.id, failing.id]));
}

#[tokio::test]
async fn what_takes_4096_bytes_stays_in_its_record() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    // As JSON with the field's name and the quotes.
    let text = |bytes: usize| "x".repeat(bytes - json!({"result": ""}).to_string().len());
    for (bytes, is_large) in [(4096, false), (4097, true)] {
        let job = running(&store).await;
        let end = Change::new(JobEvent::Complete(JobOutput::new(text(bytes))), at(2));
        let told = store.update(job.id, end).await.unwrap();
        assert_eq!(told.result_location != ResultLocation::InRecord, is_large, "{bytes} bytes");
        assert_eq!(file(folder.path(), job.id).exists(), is_large, "{bytes} bytes");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn result_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let job = completed(&store).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("results")), 0o700);
    assert_eq!(mode(&file(folder.path(), job.id)), 0o600);
}

#[tokio::test]
async fn an_acknowledged_result_survives_a_crash_and_others_see_it() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let other = open(folder.path()).await;
    for _ in 0..5 {
        let job = completed(&store).await;
        let left = after_a_crash(folder.path());
        assert!(whole(&open(left.path()).await, job.id).await == job);
        assert!(whole(&other, job.id).await == job);
    }
    assert_eq!(files(folder.path()).len(), 5);
}

#[tokio::test]
async fn a_refused_end_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let job = completed(&store).await;
    let unknown = store.update(JobId::new(), large("y")).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))), "{unknown:?}");
    let again = store.update(job.id, large("y")).await;
    assert!(matches!(again, Err(StoreError::Illegal { .. })), "{again:?}");
    let other = open(folder.path()).await;
    let again = other.update(job.id, large("z")).await;
    assert!(matches!(again, Err(StoreError::Illegal { .. })), "{again:?}");
    // The store drops what was refused before it answers.
    assert_eq!(files(folder.path()), named(&[job.id]));
    assert!(whole(&other, job.id).await == job);
}

#[tokio::test]
async fn a_caller_that_leaves_leaves_no_file_that_nobody_names() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let job = running(&store).await;
    drop(store.update(job.id, large("x")));
    while !store.get(job.id).await.unwrap().unwrap().status().is_terminal() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let expected = job.apply(large("x")).unwrap();
    assert!(unnumbered(&whole(&store, job.id).await) == unnumbered(&expected));
    assert_eq!(files(folder.path()), named(&[job.id]));
}

#[tokio::test]
async fn a_jobs_file_goes_with_its_job_whoever_removes_it() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let other = open(folder.path()).await;
    let (first, second) = (completed(&store).await, completed(&store).await);
    other.withdraw(first.id).await.unwrap();
    assert_eq!(files(folder.path()), named(&[second.id]));
    assert_eq!(other.prune(Prune::default()).await.unwrap().removed, 1);
    assert!(files(folder.path()).is_empty());
    for id in [first.id, second.id] {
        assert!(store.get_with_result(id).await.unwrap().is_none());
    }
}

/// A crash between two steps leaves files that no job names, or a job whose removal was not followed by its file's.
#[tokio::test]
async fn files_that_no_job_names_are_cleared_away_with_the_first_job_and_with_each_prune() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let (kept, live) = (completed(&store).await, running(&store).await);
    let small = running(&store).await;
    let end = Change::new(JobEvent::Complete(JobOutput::new("small")), at(2));
    store.update(small.id, end).await.unwrap();
    let (removed, dead) = (JobId::new(), OwnerId::new());
    let own = store.owner();
    let orphans = [
        format!("{removed}.json"),
        format!("{}.json", live.id),
        format!("{}.json", small.id),
        format!("{}.{dead}.0.new", live.id),
        format!("{removed}.{dead}.17.new"),
    ];
    // Somebody's own files, and one that a living process is writing.
    let others =
        ["notes.txt".to_owned(), "notes.json".to_owned(), format!("{}.{own}.999.new", live.id)];
    let put = || {
        for name in orphans.iter().chain(&others) {
            fs::write(folder.path().join("results").join(name), "half of it").unwrap();
        }
    };
    let mut expected = named(&[kept.id]);
    expected.extend(others.clone());

    put();
    assert_eq!(store.prune(keep_all()).await.unwrap().removed, 0);
    assert_eq!(files(folder.path()), expected, "with a prune that removes nothing");
    put();
    let other = open(folder.path()).await;
    running(&other).await;
    assert_eq!(files(folder.path()), expected, "with the first job of another process");
    drop(store);
    running(&open(folder.path()).await).await;
    expected.remove(&others[2]);
    assert_eq!(files(folder.path()), expected, "once its writer is dead");
    assert!(whole(&other, kept.id).await == kept);
}

#[tokio::test]
async fn a_file_is_no_orphan_while_another_process_ends_its_job() {
    let folder = TempDir::new().unwrap();
    let ending = open(folder.path()).await;
    let clearing = open(folder.path()).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let (jobs, ()) = tokio::join!(
        async {
            let mut jobs = Vec::new();
            for _ in 0..30 {
                jobs.push(completed(&ending).await);
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            jobs
        },
        async {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                clearing.prune(keep_all()).await.unwrap();
            }
        }
    );
    for job in &jobs {
        assert!(whole(&clearing, job.id).await == *job);
    }
    assert_eq!(files(folder.path()).len(), 30);
}

#[tokio::test]
async fn unknown_files_stay_while_a_journal_that_was_set_aside_may_name_them() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let job = completed(&store).await;
    // Closed, so that no thread of it writes the view again.
    store.close().await.unwrap();
    fs::write(folder.path().join("meta/journal.ndjson"), "{").unwrap();
    fs::remove_file(folder.path().join("meta/jobs.json")).unwrap();
    let store = open(folder.path()).await;
    store.prune(keep_all()).await.unwrap();
    assert_eq!(files(folder.path()), named(&[job.id]));
    for entry in fs::read_dir(folder.path().join("meta")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("journal.ndjson.damaged-") {
            fs::remove_file(path).unwrap();
        }
    }
    store.prune(keep_all()).await.unwrap();
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_result_that_cannot_be_written_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let job = running(&store).await;
    let in_the_way = folder.path().join("results");
    fs::write(&in_the_way, "").unwrap();
    let refused = store.update(job.id, large("x")).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    assert!(*store.get(job.id).await.unwrap().unwrap() == job);
    fs::remove_file(in_the_way).unwrap();
    store.update(job.id, large("x")).await.unwrap();
    let expected = job.apply(large("x")).unwrap();
    assert!(unnumbered(&whole(&store, job.id).await) == unnumbered(&expected));
}

#[tokio::test]
async fn a_lost_or_damaged_file_is_said_and_the_record_stays() {
    let harms: [fn(&Path); 4] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::write(file, "{\"version\":1,").unwrap(),
        |file| {
            let other = json!({"version": 1, "id": JobId::new(), "result": "of another job"});
            fs::write(file, other.to_string()).unwrap();
        },
        |file| fs::write(file, json!({"version": 2}).to_string()).unwrap(),
    ];
    for harm in harms {
        let folder = TempDir::new().unwrap();
        let jobs = JobManager::builder().folder(folder.path()).server("baker");
        let jobs = jobs.open().await.unwrap();
        let id = jobs.submit(JobRequest::new("bake"), loaf(50_000)).await.unwrap();
        jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap(), output(50_000));
        harm(&file(folder.path(), id));
        let found = jobs.store().get_with_result(id).await.unwrap().unwrap();
        assert_eq!(found.status(), JobStatus::Completed);
        let gone = jobs.result(id).await.unwrap_err();
        assert!(matches!(gone, Error::ResultGone { .. }), "{gone}");
        let client = Client::connect(Baker.with_jobs(jobs)).await;
        let complaint = client.complaint("job_result", json!({"job_id": id})).await;
        assert!(complaint.contains("missing or damaged"), "{complaint}");
        assert_eq!(client.status(&id.to_string()).await["result_bytes"], 50_000);
    }
}

fn output(bytes: usize) -> JobOutput {
    JobOutput::new("x".repeat(bytes)).with_metadata("bytes", bytes)
}

fn loaf(bytes: usize) -> impl Job {
    job_fn(move |_| async move { Ok(output(bytes)) })
}

#[derive(Clone)]
struct Baker;

#[derive(Debug, Deserialize, JsonSchema)]
struct Order {
    bytes: usize,
    shape: String,
}

#[tool_router]
impl Baker {
    /// Bakes something of that size and shape.
    #[smart_async]
    #[tool]
    async fn bake(&self, Parameters(order): Parameters<Order>) -> CallToolResult {
        let loaf = "ö".repeat(order.bytes / 2);
        match &*order.shape {
            "text" => CallToolResult::success(vec![ContentBlock::text(loaf)]),
            "object" => CallToolResult::structured(json!({"loaf": loaf})),
            "picture" => CallToolResult::success(vec![
                ContentBlock::text("look:"),
                ContentBlock::image("A".repeat(order.bytes), "image/png"),
            ]),
            "mould" => CallToolResult::structured_error(json!({"why": loaf})),
            _ => CallToolResult::error(vec![ContentBlock::text(loaf)]),
        }
    }
}

#[tool_handler(name = "baker")]
impl ServerHandler for Baker {}

/// What all job tools say about a job, without what differs from run to run.
async fn told(jobs: &JobManager, order: Value) -> Vec<Value> {
    let client = Client::connect(Baker.with_jobs(jobs.clone())).await;
    let mut order = order;
    order["async_mode"] = true.into();
    let id = client.job("bake", order).await;
    let mut told = vec![client.ask("wait_job", json!({"job_ids": [id]})).await];
    told.push(client.ask("job_status", json!({"job_id": id})).await);
    for page in [json!({"job_id": id}), json!({"job_id": id, "offset": 2999, "max_bytes": 1000})] {
        let result = client.call("job_result", page).await;
        told.push(serde_json::to_value(result).unwrap());
    }
    told.push(client.ask("list_jobs", json!({"limit": 1})).await);
    let text = serde_json::to_string(&told).unwrap().replace(&id, "<id>");
    let mut told: Vec<Value> = serde_json::from_str(&text).unwrap();
    told.iter_mut().for_each(forget_times);
    told
}

fn forget_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.ends_with("_at") || name.ends_with("_seconds") {
                    *value = "<time>".into();
                }
                forget_times(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(forget_times),
        _ => {}
    }
}

#[tokio::test]
async fn the_tools_say_the_same_wherever_a_result_is_kept() {
    let folder = TempDir::new().unwrap();
    let on_disk = JobManager::builder().folder(folder.path()).open().await.unwrap();
    let in_memory = JobManager::in_memory();
    for shape in ["text", "object", "picture", "mould", "nothing"] {
        for bytes in [100, 3000, 5000, 15_000, 40_000, 600_000] {
            let order = json!({"bytes": bytes, "shape": shape});
            let (found, expected) =
                tokio::join!(told(&on_disk, order.clone()), told(&in_memory, order));
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    found == expected,
                    "{bytes} bytes of {shape}: {found:.300} {expected:.300}"
                );
            }
        }
    }
    assert!(!files(folder.path()).is_empty());
}

/// Work that ends when the gate is open.
fn behind(gate: &Gate) -> impl Job + use<> {
    let gate = gate.clone();
    job_fn(move |_: CurrentJob| {
        let gate = gate.clone();
        async move {
            gate.opened().await;
            Ok(JobOutput::new("done"))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_job_is_not_pruned_while_somebody_waits_for_it() {
    let jobs = JobManager::in_memory();
    let (first, second) = (Gate::new(), Gate::new());
    let one = jobs.submit(JobRequest::new("one"), behind(&first)).await.unwrap();
    let two = jobs.submit(JobRequest::new("two"), behind(&second)).await.unwrap();
    let waiting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.wait(&[one, two], WaitFor::all(), LONG).await }
    });
    tokio::task::yield_now().await;
    first.open();
    jobs.wait(&[one], WaitFor::any(), LONG).await.unwrap();
    assert_eq!(jobs.prune(Prune::default()).await.unwrap().removed, 0, "somebody waits for it");
    second.open();
    let waited = waiting.await.unwrap().unwrap();
    assert!(waited.jobs.iter().all(|job| job.status() == JobStatus::Completed));
    assert_eq!(jobs.prune(Prune::default()).await.unwrap().removed, 2, "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_holds_no_job() {
    let jobs = JobManager::in_memory();
    let (ended, never) = (Gate::new(), Gate::new());
    let one = jobs.submit(JobRequest::new("one"), behind(&ended)).await.unwrap();
    let two = jobs.submit(JobRequest::new("two"), behind(&never)).await.unwrap();
    let both = [one, two];
    let waiting = jobs.wait(&both, WaitFor::all(), LONG);
    assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
    ended.open();
    jobs.wait(&[one], WaitFor::any(), LONG).await.unwrap();
    assert_eq!(jobs.prune(Prune::default()).await.unwrap().removed, 1);
}

/// The first prune comes between the end of the job and the waiter's turn to read it.
#[tokio::test(start_paused = true)]
async fn a_waiter_gets_the_record_though_a_prune_comes_at_once() {
    let jobs = JobManager::in_memory();
    let gate = Gate::new();
    let id = jobs.submit(JobRequest::new("one"), behind(&gate)).await.unwrap();
    let mut changes = jobs.subscribe();
    let waiting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.wait(&[id], WaitFor::any(), LONG).await }
    });
    tokio::task::yield_now().await;
    gate.open();
    while changes.recv().await.unwrap().status != JobStatus::Completed {}
    jobs.prune(Prune::default()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().jobs[0].status(), JobStatus::Completed);
    jobs.prune(Prune::default()).await.unwrap();
    assert!(matches!(jobs.status(id).await, Err(Error::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn the_sweep_spares_what_has_just_ended_and_a_prune_does_not() {
    let retention = Retention::new(Duration::ZERO, 0).max_bytes(0);
    let standing = WallClock::new(|| Timestamp::UNIX_EPOCH);
    for (clock, left) in [(standing, 1), (runtime_clock(), 0)] {
        let jobs = JobManager::builder().retention(retention).clock(clock).in_memory();
        let id = jobs.submit(JobRequest::new("bake"), loaf(1)).await.unwrap();
        jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
        tokio::time::sleep(LONG + Duration::from_secs(1)).await;
        assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), left);
        assert_eq!(jobs.prune(Prune::default()).await.unwrap().removed, left);
    }
}
