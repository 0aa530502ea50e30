//! Blocking bodies: how many run at a time, how the others wait, and how a body ends that cannot be aborted.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::model::{ClientRequest, PingRequest};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use smart_async::job::{FailureKind, JobId, JobQuery, JobState, JobStatus, PendingReason};
use smart_async::jobs::Jobs;
use smart_async::manager::{Cancelled, Load, WaitFor};
use smart_async::{JobManager, Reply, smart_async};
use smart_async_tests::{Fixture, Gate, SimulatedProcess};
use tempfile::TempDir;
use tokio::runtime::Handle;

const LONG: Duration = Duration::from_secs(60);

/// Blocking tools, each of which holds its thread.
#[derive(Debug, Clone)]
struct Workshop {
    gate: Gate,
    begun: Arc<AtomicUsize>,
}

impl Workshop {
    fn new() -> Self {
        Self { gate: Gate::new(), begun: Arc::default() }
    }

    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.arrive();
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn wait_at_gate(&self) -> String {
        self.begin();
        Handle::current().block_on(self.gate.opened());
        "sawn".to_owned()
    }

    fn work_until_told(&self) -> String {
        self.begin();
        while !smart_async::is_cancelled() {
            std::thread::yield_now();
        }
        "half sawn".to_owned()
    }
}

#[tool_router]
impl Workshop {
    #[smart_async(blocking, default = "20ms")]
    #[tool]
    fn saw(&self) -> String {
        self.wait_at_gate()
    }

    #[smart_async(blocking, always_job, deadline = "40ms")]
    #[tool]
    fn saw_with_deadline(&self) -> String {
        self.wait_at_gate()
    }

    #[smart_async(blocking, deadline = "40ms")]
    #[tool]
    fn saw_inline_with_deadline(&self) -> String {
        self.wait_at_gate()
    }

    #[smart_async(blocking)]
    #[tool]
    fn saw_inline(&self) -> String {
        self.wait_at_gate()
    }

    #[smart_async(blocking, default = "20ms")]
    #[tool]
    fn saw_until_told(&self) -> String {
        self.work_until_told()
    }

    #[smart_async(blocking, always_job, deadline = "40ms")]
    #[tool]
    fn saw_until_deadline(&self) -> String {
        self.work_until_told()
    }

    #[smart_async(blocking, default = "20ms", restart = "rerun")]
    #[tool]
    fn saw_again(&self) -> String {
        self.wait_at_gate()
    }

    #[smart_async(blocking)]
    #[tool]
    fn saw_and_plane(&self) -> String {
        self.begin();
        match Handle::current().block_on(plane()) {
            Reply::Inline(planed) => format!("sawn and {planed}"),
            other => format!("{other:?}"),
        }
    }

    #[smart_async(blocking)]
    #[tool]
    fn panics(&self) -> String {
        self.begin();
        panic!("the saw is broken");
    }
}

#[smart_async(blocking)]
fn plane() -> String {
    "planed".to_owned()
}

#[tool_handler(name = "workshop")]
impl ServerHandler for Workshop {}

async fn serve(bodies: usize) -> Fixture<Workshop> {
    let jobs =
        JobManager::builder().blocking_bodies(bodies).cancel_answer(Duration::from_millis(50));
    // Whatever else the machine does.
    let jobs = jobs.load_source(Load::default);
    Fixture::serve(Workshop::new(), jobs.in_memory()).await
}

/// A workshop whose only thread is taken by a job.
async fn busy() -> (Fixture<Workshop>, String) {
    let fixture = serve(1).await;
    let first = fixture.client.job("saw", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    (fixture, first)
}

async fn reason(fixture: &Fixture<Workshop>, id: &str) -> Option<PendingReason> {
    let job = fixture.jobs.status(id.parse().unwrap()).await.unwrap();
    match &job.state {
        JobState::Pending { reason } => Some(reason.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_body_beyond_the_share_is_pending_with_a_reason_and_begins_in_its_turn() {
    let (fixture, first) = busy().await;
    let ticket = fixture.client.ask("saw", json!({})).await;
    assert_eq!(ticket["status"], "pending");
    assert_eq!(
        ticket["message"],
        "Task not begun: all threads are busy; waiting in background. This is normal. Do not call saw again. \
         Next: wait_job with job_id"
    );
    let called = ticket["job_id"].as_str().unwrap().to_owned();
    let at_once = fixture.client.job("saw", json!({"async_mode": true})).await;
    for id in [&called, &at_once] {
        // The job that is asked for gets its slot in a moment.
        let job = loop {
            let job = fixture.client.status(id).await;
            if job["waits_for"] != "a free slot: place 1 in the queue" {
                break job;
            }
        };
        assert_eq!(
            (&job["status"], &job["waits_for"]),
            (&json!("pending"), &json!("a free thread"))
        );
    }
    assert_eq!(reason(&fixture, &called).await, Some(PendingReason::Queued));
    // It has its slot among all jobs.
    assert_eq!(reason(&fixture, &at_once).await, Some(PendingReason::Starting));
    let ping = ClientRequest::PingRequest(PingRequest::default());
    fixture.client.peer().send_request(ping).await.unwrap();
    assert_eq!(fixture.tools.begun(), 1);
    fixture.tools.gate.open();
    for id in [&first, &called, &at_once] {
        let job = fixture.wait(id).await;
        assert_eq!((&job["status"], &job["result"]), (&json!("completed"), &json!("sawn")));
    }
    assert_eq!(fixture.tools.begun(), 3);
}

#[tokio::test]
async fn a_call_that_gets_its_turn_within_its_budget_is_answered_inline() {
    let (fixture, _first) = busy().await;
    let call = fixture.client.send("saw_inline", json!({})).await;
    fixture.tools.gate.open();
    call.await_response().await.unwrap();
    assert_eq!((fixture.tools.begun(), fixture.total().await), (2, 1));
}

#[tokio::test]
async fn a_body_that_waits_is_cancelled_at_once_and_never_begins() {
    let (fixture, first) = busy().await;
    for arguments in [json!({}), json!({"async_mode": true})] {
        let id = fixture.client.job("saw", arguments).await;
        let answer = fixture.client.ask("cancel_job", json!({"job_id": id})).await;
        assert_eq!(answer["status"], "cancelled");
        assert_eq!(fixture.client.status(&id).await["started_at"], Value::Null);
    }
    fixture.tools.gate.open();
    fixture.wait(&first).await;
    let last = fixture.client.job("saw", json!({"async_mode": true})).await;
    assert_eq!(fixture.wait(&last).await["status"], "completed");
    assert_eq!(fixture.tools.begun(), 2);
}

#[tokio::test]
async fn the_deadline_is_on_the_run_and_not_on_the_wait_before_it() {
    let (fixture, first) = busy().await;
    let job = fixture.client.job("saw_with_deadline", json!({})).await;
    let inline = fixture.client.send("saw_inline_with_deadline", json!({})).await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(fixture.client.status(&job).await["status"], "pending");
    fixture.tools.gate.open();
    for id in [&first, &job] {
        assert_eq!(fixture.wait(id).await["status"], "completed");
    }
    let rmcp::model::ServerResult::CallToolResult(answer) = inline.await_response().await.unwrap()
    else {
        panic!("no result")
    };
    assert_ne!(answer.is_error, Some(true), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_another_one_waits_for_shares_its_slot() {
    let fixture = serve(1).await;
    let answer = fixture.client.call("saw_and_plane", json!({})).await;
    assert_eq!(answer.content[0].as_text().unwrap().text, "sawn and planed");
}

#[tokio::test]
async fn a_panic_gives_its_slot_back() {
    let fixture = serve(1).await;
    for _ in 0..3 {
        let complaint = fixture.client.complaint("panics", json!({})).await;
        assert!(complaint.contains("the saw is broken"), "{complaint}");
    }
    assert_eq!(fixture.tools.begun(), 3);
}

#[tokio::test]
async fn a_body_told_to_stop_is_shown_as_it_is_until_it_has_ended() {
    let (fixture, id) = busy().await;
    let answer = fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!((&answer["status"], &answer["cancel_requested"]), (&json!("running"), &json!(true)));
    assert_eq!(answer["message"], "The job was told to stop, but its work has not stopped yet.");
    let job = fixture.client.status(&id).await;
    assert_eq!((&job["status"], &job["cancel_requested"]), (&json!("running"), &json!(true)));
    fixture.tools.gate.open();
    // It never looked, so it has done its work.
    let job = fixture.wait(&id).await;
    assert_eq!((&job["status"], &job["result"]), (&json!("completed"), &json!("sawn")));
}

#[tokio::test]
async fn a_body_that_saw_the_stop_ends_as_the_stop_says() {
    let fixture = serve(2).await;
    let cancelled = fixture.client.job("saw_until_told", json!({})).await;
    let id: JobId = cancelled.parse().unwrap();
    let _ = fixture.jobs.cancel(id).await.unwrap();
    assert_eq!(fixture.wait(&cancelled).await["status"], "cancelled");
    let overdue = fixture.client.job("saw_until_deadline", json!({})).await;
    let job = fixture.wait(&overdue).await;
    assert_eq!((&job["status"], &job["error_kind"]), (&json!("failed"), &json!("deadline")));
}

#[tokio::test]
async fn a_body_over_its_deadline_runs_until_it_ends_and_its_result_counts() {
    let fixture = serve(1).await;
    let id = fixture.client.job("saw_with_deadline", json!({})).await;
    loop {
        let job = fixture.client.status(&id).await;
        if job["note"] == "The work was told to stop, and has not stopped yet." {
            assert_eq!(job["status"], "running");
            break;
        }
        assert_eq!(job["terminal"], false);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(&id).await["result"], "sawn");
}

#[tokio::test]
async fn an_open_call_over_its_deadline_says_that_the_body_was_told_and_not_that_it_stopped() {
    let fixture = serve(1).await;
    let complaint = fixture.client.complaint("saw_inline_with_deadline", json!({})).await;
    let told = "ran longer than its deadline of 40ms and was told to stop";
    assert!(complaint.contains(told), "{complaint}");
    fixture.tools.gate.open();
}

#[tokio::test]
async fn a_body_that_ends_while_the_server_does_has_its_result() {
    let fixture = serve(1).await;
    let id = fixture.client.job("saw", json!({})).await.parse().unwrap();
    let waiting = fixture.client.job("saw", json!({})).await.parse().unwrap();
    fixture.tools.gate.arrived(1).await;
    let (jobs, gate) = (fixture.jobs.clone(), fixture.tools.gate.clone());
    let shutdown = tokio::spawn(async move { jobs.shutdown().await });
    // The job that waits ends at once, so the shutdown has begun.
    let waited = fixture.jobs.wait(&[waiting], WaitFor::any(), LONG).await.unwrap();
    let JobState::Failed { failure, started_at, .. } = &waited.jobs[0].state else { panic!() };
    assert_eq!((&failure.kind, started_at), (&FailureKind::Interrupted, &None));
    gate.open();
    shutdown.await.unwrap().unwrap();
    assert_eq!(fixture.jobs.result(id).await.unwrap().result, "sawn");
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test]
async fn a_body_that_saw_the_servers_end_is_interrupted() {
    let jobs = JobManager::builder().drain_grace(Duration::ZERO).in_memory();
    let fixture = Fixture::serve(Workshop::new(), jobs).await;
    let id = fixture.client.job("saw_until_told", json!({})).await.parse().unwrap();
    fixture.jobs.shutdown().await.unwrap();
    let job = fixture.jobs.status(id).await.unwrap();
    let JobState::Failed { failure, .. } = &job.state else { panic!("{job:?}") };
    assert_eq!(failure.kind, FailureKind::Interrupted);
}

/// The owner's name is kept for as long as the body runs, also where the runtime of its server has gone.
#[tokio::test]
async fn a_body_that_outlives_its_runtime_keeps_its_record() {
    let (folder, workshop) = (TempDir::new().unwrap(), Workshop::new());
    let process = SimulatedProcess::new();
    let (home, tools) = (folder.path().to_owned(), workshop.clone());
    let id: JobId = process
        .run(async move {
            let jobs = JobManager::builder().folder(home).open().await.unwrap();
            let fixture = Fixture::serve(tools, jobs).await;
            fixture.client.job("saw", json!({})).await.parse().unwrap()
        })
        .await;
    // The runtime does not wait for the body.
    process.kill().await;
    let open = || JobManager::builder().folder(folder.path()).server("workshop").open();
    let next = open().await.unwrap();
    assert_eq!(next.status(id).await.unwrap().status(), JobStatus::Running);
    workshop.gate.open();
    let waited = next.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    let JobState::Failed { failure, .. } = &waited.jobs[0].state else { panic!("no end") };
    assert_eq!(failure.kind, FailureKind::Interrupted);
}

/// The request comes from another process, while the job waits.
#[tokio::test]
async fn another_process_cancels_a_job_that_waits() {
    let folder = TempDir::new().unwrap();
    let open = || JobManager::builder().folder(folder.path()).blocking_bodies(1).open();
    let fixture = Fixture::serve(Workshop::new(), open().await.unwrap()).await;
    let _first = fixture.client.job("saw", json!({})).await;
    let id = fixture.client.job("saw", json!({})).await.parse().unwrap();
    let other = open().await.unwrap();
    let Cancelled::Stopped(job) = other.cancel(id).await.unwrap() else { panic!("it runs") };
    assert_eq!(job.status(), JobStatus::Cancelled);
    fixture.tools.gate.open();
}

/// A server in a process of its own, whose bodies never end.
#[test]
fn a_server_full_of_stubborn_bodies_answers_and_ends() {
    const BODIES: usize = 64;
    let folder = TempDir::new().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_blocking_server"))
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let mut answers = BufReader::new(output).lines().map(|line| {
        serde_json::from_str::<Value>(&line.unwrap()).expect("stdout has the protocol alone")
    });
    let mut send = |message: Value| writeln!(input, "{message}").unwrap();
    let info = json!({"name": "test", "version": "1"});
    let greeting = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
    send(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": greeting}));
    send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    answers.next().unwrap();
    let call = |id: usize, tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let calls = BODIES + 40;
    for number in 1..=calls {
        send(call(number, "hold", json!({"number": number})));
    }
    let (mut running, mut pending) = (Vec::new(), Vec::new());
    for mut answer in answers.by_ref().take(calls) {
        let ticket = answer["result"]["structuredContent"].take();
        match ticket["status"].as_str() {
            Some("running") => running.push(ticket["job_id"].clone()),
            Some("pending") => pending.push(ticket["job_id"].clone()),
            _ => panic!("{ticket}"),
        }
    }
    assert_eq!((running.len(), pending.len()), (BODIES, calls - BODIES));
    send(json!({"jsonrpc": "2.0", "id": 1001, "method": "ping"}));
    assert_eq!(answers.next().unwrap()["result"], json!({}));
    let mut ask = |tool: &str, arguments: Value| {
        send(call(1002, tool, arguments));
        answers.next().unwrap()["result"]["structuredContent"].take()
    };
    assert_eq!(ask("list_jobs", json!({"status_filter": "pending"}))["total"], calls - BODIES);
    assert_eq!(ask("cancel_job", json!({"job_id": pending[0]}))["status"], "cancelled");
    let told = ask("cancel_job", json!({"job_id": running[0]}));
    assert_eq!((&told["status"], &told["cancel_requested"]), (&json!("running"), &json!(true)));
    drop(input);
    // The process does not wait for the bodies, and says whose work did not stop and how it would have.
    let ended = server.wait_with_output().unwrap();
    assert!(!ended.status.success());
    let complaint = String::from_utf8(ended.stderr).unwrap();
    for part in ["hold (job ", " and 61 more did not stop; a blocking body", "is_cancelled()"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = Jobs::open(folder.path()).await.unwrap();
        let page = jobs.list(JobQuery::default()).await.unwrap();
        assert_eq!(page.jobs.len(), calls);
        assert!(page.jobs.iter().all(|job| job.status().is_terminal()));
    });
}
