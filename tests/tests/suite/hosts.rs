//! Budgets and waits that fit the host, which is known by its name, in both eras of the protocol.

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use smart_async::{JobManager, JobServer, WithJobs, smart_async};
use smart_async_tests::Wire;
use tokio::time::Instant;

#[derive(Clone)]
struct Slow;

#[tool_router]
impl Slow {
    /// Never ends, and says nothing of its budget.
    #[smart_async]
    #[tool]
    async fn dawdle(&self) -> String {
        std::future::pending().await
    }

    /// Never ends, and gets on by a step a second.
    #[smart_async]
    #[tool]
    async fn advance(&self) -> String {
        for step in 1_u64.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            smart_async::progress().report(step, 1000, format!("step {step}"));
        }
        unreachable!("it never ends")
    }

    /// Never ends, and would be waited for longer than most hosts bear.
    #[smart_async(default = 300)]
    #[tool]
    async fn linger(&self) -> String {
        std::future::pending().await
    }
}

#[tool_handler(name = "slow")]
impl ServerHandler for Slow {}

fn server() -> JobServer<Slow> {
    Slow.with_jobs(JobManager::in_memory())
}

/// A client of this name in each era.
async fn both_eras(name: &'static str, server: JobServer<Slow>) -> [Wire; 2] {
    let old = Wire::initialize_as(name, server.clone(), json!({})).await;
    [old, Wire::discover_as(name, server, json!({})).await]
}

/// After how many seconds the call became a job.
async fn budget(wire: &mut Wire, tool: &str) -> u64 {
    let began = Instant::now();
    let answer = wire.call(tool, json!({})).await;
    assert!(answer["result"]["structuredContent"]["job_id"].is_string(), "{answer}");
    began.elapsed().as_secs()
}

/// After how many seconds `wait_job` came back.
async fn wait(wire: &mut Wire) -> u64 {
    let answer = wire.call("dawdle", json!({"async_mode": true})).await;
    let job = answer["result"]["structuredContent"]["job_id"].clone();
    let began = Instant::now();
    let answer = wire.call("wait_job", json!({"job_ids": [job], "timeout_seconds": 9999})).await;
    assert_eq!(answer["result"]["structuredContent"]["stopped_by"], "cap", "{answer}");
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_what_the_host_bears_where_that_is_less() {
    for (name, dawdle, linger) in [
        ("somebody", 20, 300),
        ("Zed", 20, 40),
        ("claude-ai", 20, 160),
        ("JetBrains-PY-copilot-intellij", 20, 20),
        ("spring-ai-mcp-client - slow", 13, 13),
        ("Gemini-CLI-MCP-Client", 20, 300),
    ] {
        for mut wire in both_eras(name, server()).await {
            assert_eq!(budget(&mut wire, "dawdle").await, dawdle, "{name}");
            assert_eq!(budget(&mut wire, "linger").await, linger, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_as_long_as_the_host_bears() {
    for (name, waits) in [
        ("somebody", 25),
        ("claude-ai", 235),
        ("claude-code", 55),
        ("Visual-Studio-Code", 295),
        ("JetBrains-IU-copilot-intellij", 25),
        ("Java SDK MCP Client", 15),
    ] {
        for mut wire in both_eras(name, server()).await {
            assert_eq!(wait(&mut wire).await, waits, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_author_can_say_what_a_host_bears_and_can_take_it_off_the_table() {
    let server = server()
        .host_limit("mine", Duration::from_secs(9))
        .host_limit("mine", Duration::ZERO)
        .forget_host("Claude-AI");
    for mut wire in both_eras("mine", server.clone()).await {
        assert_eq!((budget(&mut wire, "dawdle").await, wait(&mut wire).await), (6, 4));
    }
    for mut wire in both_eras("claude-ai", server).await {
        assert_eq!((budget(&mut wire, "linger").await, wait(&mut wire).await), (300, 25));
    }
}

/// A wait with a progress token, for a job of its own: how long it took, and the notifications meanwhile.
async fn wait_with_token(wire: &mut Wire, tool: &str) -> (u64, Vec<Value>) {
    let answer = wire.call(tool, json!({"async_mode": true})).await;
    let job = answer["result"]["structuredContent"]["job_id"].clone();
    let began = Instant::now();
    let id = wire.request("tools/call", wait_params(&job)).await;
    let answer = wire.answer(id).await;
    assert_eq!(answer["result"]["structuredContent"]["stopped_by"], "cap", "{answer}");
    let notified =
        wire.unseen().into_iter().filter(|message| message["method"] == "notifications/progress");
    (began.elapsed().as_secs(), notified.map(|mut message| message["params"].take()).collect())
}

fn wait_params(job: &Value) -> Value {
    json!({
        "name": "wait_job",
        "arguments": {"job_ids": [job], "timeout_seconds": 9999},
        "_meta": {"progressToken": "w"}
    })
}

#[tokio::test(start_paused = true)]
async fn a_wait_with_a_progress_token_is_longer_where_the_host_bears_it() {
    for (name, waits) in [("somebody", 55), ("claude-code", 1200), ("opencode", 295), ("Zed", 55)] {
        for mut wire in both_eras(name, server()).await {
            let (waited, notified) = wait_with_token(&mut wire, "dawdle").await;
            assert_eq!(waited, waits, "{name}");
            assert_eq!(notified.len() as u64, (waits - 1) / 10, "one every ten seconds at {name}");
            let values: Vec<_> =
                notified.iter().map(|params| params["progress"].as_f64().unwrap()).collect();
            assert!(values.is_sorted_by(|one, two| one < two), "each is further: {values:?}");
            assert!(notified.iter().all(|params| params["message"] == "dawdle is running"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_notifies_of_the_progress_of_its_job() {
    let mut wire = Wire::initialize_as("somebody", server(), json!({})).await;
    let (_, notified) = wait_with_token(&mut wire, "advance").await;
    assert_eq!(notified.len(), 5);
    for (look, params) in notified.iter().enumerate() {
        let (expected, progress) = ((look + 1) as f64 * 10.0, params["progress"].as_f64().unwrap());
        assert!((expected - progress).abs() <= 1.5, "{params}");
        assert_eq!(params["total"], 1000.0);
        assert!(params["message"].as_str().unwrap().starts_with("step "), "{params}");
    }
}

/// A wait that the client gives up after this time.
async fn give_up(wire: &mut Wire, reason: &str, after: u64) {
    let answer = wire.call("dawdle", json!({"async_mode": true})).await;
    let job = answer["result"]["structuredContent"]["job_id"].clone();
    let id = wire.request("tools/call", wait_params(&job)).await;
    tokio::time::sleep(Duration::from_secs(after)).await;
    wire.note("notifications/cancelled", json!({"requestId": id, "reason": reason})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    wire.unseen();
}

const TIMED_OUT: &str = "McpError: MCP error -32001: Request timed out";

#[tokio::test(start_paused = true)]
async fn the_patience_of_a_client_is_learned_from_the_calls_that_it_gives_up() {
    for mut wire in both_eras("claude-code", server()).await {
        give_up(&mut wire, TIMED_OUT, 60).await;
        assert_eq!(wait_with_token(&mut wire, "dawdle").await.0, 55, "it is the application");
        give_up(&mut wire, TIMED_OUT, 30).await;
        assert_eq!(wait_with_token(&mut wire, "dawdle").await.0, 25);
        assert_eq!(budget(&mut wire, "linger").await, 20, "a budget is lowered as well");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_learned_from_a_user_who_cancels_nor_from_the_limit_of_one_call() {
    for mut wire in both_eras("claude-code", server()).await {
        give_up(&mut wire, "the user pressed Esc", 60).await;
        give_up(&mut wire, TIMED_OUT, 2).await;
        assert_eq!(wait_with_token(&mut wire, "dawdle").await.0, 1200);
    }
}

#[tokio::test(start_paused = true)]
async fn each_connection_learns_for_itself() {
    let server = server();
    let mut one = Wire::initialize_as("claude-code", server.clone(), json!({})).await;
    give_up(&mut one, TIMED_OUT, 60).await;
    let mut two = Wire::initialize_as("claude-code", server, json!({})).await;
    assert_eq!(wait_with_token(&mut two, "dawdle").await.0, 1200);
}
