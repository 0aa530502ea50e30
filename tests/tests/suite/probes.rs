//! Throw-away processes: a client starts one, asks it for its version, and kills it. None of them takes on a job that waits to
//! run again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use smart_async::job::{JobRecord, JobSpec, JobState, PendingReason};
use smart_async::store::JobStore;
use smart_async::{JobId, JobManager, JobServer, WithJobs, smart_async};
use smart_async_tests::{Era, FaultyStore, Gate, ServerProcess, Wire};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::http_scopes::caller::House;

fn start(folder: &Path, era: Era) -> ServerProcess {
    ServerProcess::start(Command::new(env!("CARGO_BIN_EXE_folder_server")).arg(folder), era)
}

fn status(server: &mut ServerProcess, id: &str) -> Value {
    let answer = server.call("job_status", json!({"job_id": id, "detail": true}));
    answer["structuredContent"]["job"].clone()
}

#[test]
fn no_probe_of_either_era_burns_a_rerun_and_the_next_server_in_use_makes_it() {
    let folder = TempDir::new().unwrap();
    let mut first = start(folder.path(), Era::Initialize);
    let ticket = first.call("stand_on", json!({}));
    let id = ticket["structuredContent"]["job_id"].as_str().unwrap().to_owned();
    while status(&mut first, &id)["status"] != "running" {}
    first.kill();
    for era in [Era::Initialize, Era::Discover] {
        for pings in [0, 50] {
            let mut probe = start(folder.path(), era);
            if era == Era::Initialize {
                probe.note("notifications/initialized");
            }
            for _ in 0..pings {
                probe.ask("ping", json!({}));
            }
            probe.kill();
        }
        // An inspector reads the list of tools as well.
        let mut inspector = start(folder.path(), era);
        assert!(inspector.ask("tools/list", json!({}))["result"]["tools"].is_array());
        inspector.kill();
    }
    let mut next = start(folder.path(), Era::Discover);
    let mut job = status(&mut next, &id);
    while job["status"] == "pending" {
        job = status(&mut next, &id);
    }
    assert_eq!((&job["status"], &job["attempt"]), (&json!("running"), &json!(2)), "{job}");
}

#[derive(Debug, Clone)]
struct Mill(Gate);

#[tool_router]
impl Mill {
    #[smart_async(always_job, restart = "rerun")]
    #[tool]
    async fn grind(&self) -> String {
        self.0.arrive();
        self.0.opened().await;
        "flour".to_owned()
    }
}

#[tool_handler(name = "mill")]
impl ServerHandler for Mill {}

/// A store in which a job of this tool waits to run again.
async fn waiting(server: &str, tool: &str, arguments: Value) -> FaultyStore {
    let store = FaultyStore::working();
    let mut spec = JobSpec::new(tool, server, store.now());
    (spec.arguments, spec.max_reruns) = (arguments.as_object().cloned(), Some(1));
    let mut job = JobRecord::new(JobId::new(), spec);
    job.state = JobState::Pending { reason: PendingReason::WaitingForServer };
    job.attempt = 2;
    store.insert(job).await.unwrap();
    store
}

/// A mill that has just started, and the gate that the job of its store arrives at when it runs again.
async fn mill() -> (JobServer<Mill>, Gate) {
    let jobs = JobManager::builder().with_store(waiting("mill", "grind", json!({})).await);
    let gate = Gate::new();
    (Mill(gate.clone()).with_jobs(jobs), gate)
}

/// Returns whether the job runs again within this time.
async fn runs_within(gate: &Gate, seconds: u64) -> bool {
    timeout(Duration::from_secs(seconds), gate.arrived(1)).await.is_ok()
}

async fn greeted(era: Era, server: JobServer<Mill>) -> Wire {
    match era {
        Era::Initialize => Wire::initialize(server, json!({})).await,
        Era::Discover => Wire::with_tasks(server).await,
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nothing_but_a_version_is_asked_of_takes_work_on_after_a_minute() {
    for era in [Era::Initialize, Era::Discover] {
        let (server, gate) = mill().await;
        // The process lives on where the SDK ends a connection that does not keep to the protocol.
        let _process = server.clone();
        let mut wire = greeted(era, server).await;
        for params in [json!({}), json!({"unknown": [1]})] {
            wire.ask("ping", params).await;
        }
        // Not as the protocol has it, so that the SDK takes it for a request of another kind.
        wire.ask("initialize", json!({"protocolVersion": 7})).await;
        wire.note("notifications/roots/list_changed", json!({})).await;
        assert!(!runs_within(&gate, 59).await, "{era:?}");
        assert!(runs_within(&gate, 2).await, "{era:?}");
    }
    let (_server, gate) = mill().await;
    assert!(!runs_within(&gate, 59).await, "no client is there yet");
    assert!(runs_within(&gate, 2).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_lists_are_read_takes_work_on_five_seconds_later() {
    for era in [Era::Initialize, Era::Discover] {
        let lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
        for list in lists.into_iter().chain((era == Era::Initialize).then_some("logging/setLevel"))
        {
            let (server, gate) = mill().await;
            let mut wire = greeted(era, server).await;
            wire.ask(list, json!({"level": "info"})).await;
            assert!(!runs_within(&gate, 4).await, "{list}");
            wire.ask(list, json!({"level": "info"})).await;
            assert!(runs_within(&gate, 2).await, "{list}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_asked_for_anything_else_takes_work_on_at_once() {
    let requests = [
        ("tools/call", json!({"name": "list_jobs", "arguments": {}})),
        ("tools/call", json!({"name": "unknown", "arguments": {}})),
        ("prompts/get", json!({"name": "none"})),
        ("resources/read", json!({"uri": "file:///none"})),
        ("resources/read", json!({"uri": "job://none"})),
        (
            "completion/complete",
            json!({
                "ref": {"type": "ref/prompt", "name": "none"},
                "argument": {"name": "none", "value": ""}
            }),
        ),
        ("tasks/get", json!({"taskId": "none"})),
        ("a/method/of/its/own", json!({})),
    ];
    for era in [Era::Initialize, Era::Discover] {
        for (method, params) in &requests {
            // The SDK refuses this one itself.
            if era == Era::Initialize && *method == "tasks/get" {
                continue;
            }
            let (server, gate) = mill().await;
            let mut wire = greeted(era, server).await;
            wire.ask(method, params.clone()).await;
            assert!(runs_within(&gate, 1).await, "{era:?} {method}");
        }
    }
}

/// No client starts a process that serves HTTP, so each request shows that it is in use.
#[tokio::test(start_paused = true)]
async fn over_http_the_first_request_is_enough() {
    let store = waiting("shop", "make_for_all", json!({"what": "a chair"})).await;
    let house = House::open(JobManager::builder().with_store(store));
    let _session = house.session(None).await;
    assert!(runs_within(&house.shop.gate, 1).await);
}
