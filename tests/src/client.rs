//! A real client of the SDK, connected through a pipe in memory.

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientRequest, ProtocolVersion, Request, Tool,
};
use rmcp::service::{PeerRequestOptions, RequestHandle, RunningService};
use rmcp::{
    ClientLifecycleMode, ErrorData, RoleClient, ServerHandler, ServiceError, ServiceExt,
    serve_client_with_lifecycle,
};
use serde_json::Value;

/// A client that is connected to a server of its own.
#[derive(Debug)]
pub struct Client(RunningService<RoleClient, ()>);

impl Client {
    /// Serves `server` and connects to it.
    pub async fn connect<S: ServerHandler>(server: S) -> Self {
        Self::try_connect(server).await.expect("the server should start")
    }

    /// As [`connect`](Self::connect), for servers that may refuse to start: then this is what the client is told.
    pub async fn try_connect<S: ServerHandler>(server: S) -> Result<Self, String> {
        Self::connect_as(server, ClientLifecycleMode::Initialize).await
    }

    /// As [`try_connect`](Self::try_connect), by `server/discover`, as the protocol of 2026-07-28 has it.
    pub async fn discover<S: ServerHandler>(server: S) -> Result<Self, String> {
        let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
        Self::connect_as(server, ClientLifecycleMode::Discover { preferred_versions }).await
    }

    async fn connect_as<S: ServerHandler>(
        server: S,
        mode: ClientLifecycleMode,
    ) -> Result<Self, String> {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            if let Ok(running) = server.serve(far).await {
                let _ = running.waiting().await;
            }
        });
        serve_client_with_lifecycle((), near, mode)
            .await
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Calls a tool.
    pub async fn try_call(
        &self,
        tool: &str,
        arguments: Value,
    ) -> Result<CallToolResult, ErrorData> {
        match self.0.call_tool(request(tool, arguments)).await {
            Ok(result) => Ok(result),
            Err(ServiceError::McpError(error)) => Err(error),
            Err(error) => panic!("{tool}: {error}"),
        }
    }

    /// Calls a tool that answers with a result.
    pub async fn call(&self, tool: &str, arguments: Value) -> CallToolResult {
        self.try_call(tool, arguments).await.expect("the tool should answer")
    }

    /// Calls a tool that answers with structured content, and no error.
    pub async fn ask(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{tool}: {:?}", result.content);
        result.structured_content.expect("the answer should have structured content")
    }

    /// Calls a tool that answers with an error that a model can read.
    pub async fn complaint(&self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result.is_error, Some(true), "{tool}: {:?}", result.content);
        let structured = result.structured_content.expect("the complaint should be structured");
        structured["error"].as_str().expect("a complaint is a text").to_owned()
    }

    /// Calls a tool that becomes a job, and returns the job's id.
    pub async fn job(&self, tool: &str, arguments: Value) -> String {
        let ticket = self.ask(tool, arguments).await;
        ticket["job_id"].as_str().expect("a ticket names its job").to_owned()
    }

    /// The job as `job_status` shows it.
    pub async fn status(&self, id: &str) -> Value {
        self.ask("job_status", serde_json::json!({"job_id": id})).await["job"].take()
    }

    /// Sends a call without waiting for its answer.
    pub async fn send(&self, tool: &str, arguments: Value) -> RequestHandle<RoleClient> {
        let call = ClientRequest::CallToolRequest(Request::new(request(tool, arguments)));
        self.0
            .send_cancellable_request(call, PeerRequestOptions::no_options())
            .await
            .expect("the request should be sent")
    }

    /// Every tool of the server.
    pub async fn tools(&self) -> Vec<Tool> {
        self.0.list_all_tools().await.expect("the tools should be listed")
    }

    /// The client as the SDK knows it.
    pub fn peer(&self) -> &RunningService<RoleClient, ()> {
        &self.0
    }

    /// Goes away.
    pub async fn leave(self) {
        let _ = self.0.cancel().await;
    }
}

fn request(tool: &str, arguments: Value) -> CallToolRequestParams {
    let request = CallToolRequestParams::new(tool.to_owned());
    match arguments {
        Value::Object(arguments) => request.with_arguments(arguments),
        _ => request,
    }
}
