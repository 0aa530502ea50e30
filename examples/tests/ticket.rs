//! The test file that `docs/guide/testing.md` shows.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::time::Duration;

use rmcp::model::CallToolRequestParams;
use rmcp::service::{Peer, RoleClient};
use rmcp::{ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use smart_async::{JobManager, WithJobs, smart_async};

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    /// Simulate the reactor.
    #[smart_async(default = 20)]
    #[tool]
    async fn simulate(&self) -> String {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "critical".to_owned()
    }

    /// Compute on a thread.
    #[smart_async(blocking)]
    #[tool]
    fn compute(&self) -> String {
        "42".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Reactor {}

async fn connect() -> Peer<RoleClient> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let server = Reactor.with_jobs(JobManager::in_memory()).serve(far).await.unwrap();
        server.waiting().await
    });
    let client = ().serve(near).await.unwrap();
    let peer = client.peer().clone();
    tokio::spawn(client.waiting());
    peer
}

async fn call(client: &Peer<RoleClient>, tool: &'static str, arguments: Value) -> Value {
    let arguments = arguments.as_object().unwrap().clone();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(request).await.unwrap().structured_content.unwrap()
}

async fn result(client: &Peer<RoleClient>, ticket: &Value) -> Value {
    let job = json!({"job_id": ticket["job_id"]});
    while call(client, "wait_job", job.clone()).await["terminal"] == false {}
    call(client, "job_result", job).await["result"].clone()
}

#[tokio::test]
async fn the_work() {
    assert_eq!(Reactor.compute().await.into_inline().unwrap(), "42");
}

#[tokio::test(start_paused = true)]
async fn the_ticket() {
    let client = connect().await;
    let ticket = call(&client, "simulate", json!({})).await;
    assert_eq!(ticket["status"], "running");
    assert_eq!(result(&client, &ticket).await, "critical");
}

#[tokio::test]
async fn the_ticket_of_a_blocking_tool() {
    let client = connect().await;
    let ticket = call(&client, "compute", json!({"async_mode": true})).await;
    assert_eq!(result(&client, &ticket).await, "42");
}
