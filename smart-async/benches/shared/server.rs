//! One trivial tool, plain and annotated, one that answers with what it is given, and clients of them.

use std::sync::Mutex;

use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::{Json, RoleClient, ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_async::smart_async;

/// The server. The SDK makes a router for each call unless it is kept, which would cost more than what is measured here.
#[derive(Debug, Clone)]
pub(crate) struct Adder {
    tool_router: ToolRouter<Self>,
}

/// Two numbers.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Add {
    a: i64,
    b: i64,
}

/// Their sum.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sum {
    sum: i64,
}

#[tool_router]
impl Adder {
    pub(crate) fn new() -> Self {
        Self { tool_router: Self::tool_router() }
    }

    /// Add two numbers.
    #[tool]
    async fn plain(&self, Parameters(Add { a, b }): Parameters<Add>) -> Json<Sum> {
        Json(Sum { sum: a + b })
    }

    /// Add two numbers: what one would write by hand, whose work is lost when its time is over.
    #[tool]
    async fn by_hand(&self, Parameters(Add { a, b }): Parameters<Add>) -> Json<Sum> {
        let work = tokio::spawn(async move { Sum { sum: a + b } });
        Json(tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap())
    }

    /// Add two numbers.
    #[smart_async]
    #[tool]
    async fn annotated(&self, Parameters(Add { a, b }): Parameters<Add>) -> Json<Sum> {
        Json(Sum { sum: a + b })
    }

    /// Give the answer that was made beforehand.
    #[tool]
    async fn ready(&self) -> CallToolResult {
        READY.lock().unwrap().pop().unwrap()
    }
}

/// Answers for the tool that has its answer ready, one for each call of it.
pub(crate) static READY: Mutex<Vec<CallToolResult>> = Mutex::new(Vec::new());

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Adder {}

/// Serves `server` in this process, and connects to it.
pub(crate) async fn connect<S: ServerHandler>(server: S) -> RunningService<RoleClient, ()> {
    let (near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        if let Ok(running) = server.serve(far).await {
            let _ = running.waiting().await;
        }
    });
    ().serve(near).await.unwrap()
}

/// Calls a tool that adds.
pub(crate) async fn add(client: &rmcp::Peer<RoleClient>, tool: &'static str) {
    let arguments = serde_json::json!({"a": 2, "b": 3});
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let answer = client.call_tool(request).await.unwrap();
    assert_eq!(answer.structured_content.unwrap()["sum"], 5);
}
