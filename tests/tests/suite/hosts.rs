//! Budgets and waits that fit the host, which is known by its name, in both eras of the protocol.

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
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
        ("claude-ai", 20, 40),
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
    for (name, waits) in [("somebody", 25), ("claude-ai", 55), ("Java SDK MCP Client", 15)] {
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
