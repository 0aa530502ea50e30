//! A client that speaks JSON-RPC line by line, for rules about what stands on the wire. What it says of itself goes along
//! with each request, as the protocol of 2026-07-28 has it.

use std::collections::VecDeque;

use rmcp::{ServerHandler, ServiceExt};
use serde_json::{Value, json};
use smart_async::transport::TaskSubscriptions;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, split,
};

/// The identifier of the Tasks extension.
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

/// Where a notification names the subscription that it belongs to.
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// One connection.
#[derive(Debug)]
pub struct Wire {
    input: WriteHalf<DuplexStream>,
    output: BufReader<ReadHalf<DuplexStream>>,
    asked: i64,
    version: &'static str,
    name: &'static str,
    capabilities: Value,
    /// Notifications that came while an answer was waited for.
    noted: VecDeque<Value>,
}

impl Wire {
    /// A client of 2026-07-28 that knows tasks.
    pub async fn with_tasks<S: ServerHandler>(server: S) -> Self {
        Self::discover(server, json!({"extensions": {TASKS: {}}})).await
    }

    /// A client of 2026-07-28.
    pub async fn discover<S: ServerHandler>(server: S, capabilities: Value) -> Self {
        Self::discover_as("wire", server, capabilities).await
    }

    /// A client of 2026-07-28 of this name.
    pub async fn discover_as<S: ServerHandler>(
        name: &'static str,
        server: S,
        capabilities: Value,
    ) -> Self {
        let mut wire = Self::connect(name, server, "2026-07-28", capabilities);
        let answer = wire.ask("server/discover", json!({})).await;
        assert!(answer.get("result").is_some(), "{answer}");
        wire
    }

    /// A client of the era before, that says once who it is.
    pub async fn initialize<S: ServerHandler>(server: S, capabilities: Value) -> Self {
        Self::initialize_as("wire", server, capabilities).await
    }

    /// A client of the era before, of this name.
    pub async fn initialize_as<S: ServerHandler>(
        name: &'static str,
        server: S,
        capabilities: Value,
    ) -> Self {
        let mut wire = Self::connect(name, server, "2025-11-25", capabilities);
        wire.greet().await;
        wire
    }

    async fn greet(&mut self) {
        let greeting = json!({
            "protocolVersion": self.version,
            "capabilities": self.capabilities,
            "clientInfo": {"name": self.name, "version": "1"}
        });
        let answer = self.ask("initialize", greeting).await;
        assert!(answer.get("result").is_some(), "{answer}");
        self.note("notifications/initialized", json!({})).await;
    }

    /// A client of 2026-07-28 that knows tasks, on a connection that somebody else serves.
    pub async fn with_tasks_over(near: DuplexStream) -> Self {
        let mut wire = Self::of("wire", near, "2026-07-28", json!({"extensions": {TASKS: {}}}));
        wire.result("server/discover", json!({})).await;
        wire
    }

    /// A client of the era before, on a connection that somebody else serves.
    pub async fn over(near: DuplexStream) -> Self {
        let mut wire = Self::of("wire", near, "2025-11-25", json!({}));
        wire.greet().await;
        wire
    }

    fn connect<S: ServerHandler>(
        name: &'static str,
        server: S,
        version: &'static str,
        capabilities: Value,
    ) -> Self {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let (read, write) = split(far);
            if let Ok(running) = server.serve((TaskSubscriptions::new(read), write)).await {
                let _ = running.waiting().await;
            }
        });
        Self::of(name, near, version, capabilities)
    }

    fn of(
        name: &'static str,
        near: DuplexStream,
        version: &'static str,
        capabilities: Value,
    ) -> Self {
        let (output, input) = split(near);
        let (output, noted) = (BufReader::new(output), VecDeque::new());
        Self { input, output, asked: 0, version, name, capabilities, noted }
    }

    /// What the client says it can do, from now on.
    pub fn now_with(&mut self, capabilities: Value) {
        self.capabilities = capabilities;
    }

    fn meta(&self, mut params: Value) -> Value {
        if self.version >= "2026-07-28" {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = self.version.into();
            meta["io.modelcontextprotocol/clientInfo"] = json!({"name": self.name, "version": "1"});
            meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        params
    }

    async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.input.write_all(line.as_bytes()).await.expect("the server should listen");
    }

    /// Sends a line as it is.
    pub async fn raw(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.expect("the server should listen");
        self.input.write_all(b"\n").await.expect("the server should listen");
    }

    /// Sends a notification.
    pub async fn note(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Answers a request of the server's.
    pub async fn respond(&mut self, request: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).await;
    }

    /// Answers a request of the server's with an error.
    pub async fn refuse(&mut self, request: &Value, code: i64, message: &str) {
        let error = json!({"code": code, "message": message});
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error})).await;
    }

    /// Sends a request, and returns its id.
    pub async fn request(&mut self, method: &str, params: Value) -> i64 {
        self.asked += 1;
        let (id, params) = (self.asked, self.meta(params));
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// Sends a request, and waits for its answer, whole.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        self.answer(id).await
    }

    /// Waits for the answer to a request. What else comes by is remembered.
    pub async fn answer(&mut self, id: i64) -> Value {
        let is_answer = |message: &Value| message["id"] == id && message.get("method").is_none();
        if let Some(came) = self.noted.iter().position(is_answer) {
            return self.noted.remove(came).expect("it is there");
        }
        loop {
            let message = self.read().await;
            if message["id"] == id {
                return message;
            }
            self.noted.push_back(message);
        }
    }

    /// The next message that is no answer.
    pub async fn noted(&mut self) -> Value {
        match self.noted.pop_front() {
            Some(message) => message,
            None => self.read().await,
        }
    }

    /// What came by and nobody has looked at yet.
    pub fn unseen(&mut self) -> Vec<Value> {
        self.noted.drain(..).collect()
    }

    /// Sends nothing more, and reads on.
    pub async fn end_input(&mut self) {
        self.input.shutdown().await.expect("the input should end");
    }

    async fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).await.expect("the server should speak");
        serde_json::from_str(&line).expect("the server should speak JSON")
    }

    /// Calls a tool, and returns the whole answer.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Calls a tool that becomes a task, and returns what was answered.
    pub async fn task(&mut self, tool: &str, arguments: Value) -> Value {
        let mut answer = self.call(tool, arguments).await;
        assert_eq!(answer["result"]["resultType"], "task", "{answer}");
        answer["result"].take()
    }

    /// The next message that is no answer and tells of this method.
    pub async fn told(&mut self, method: &str) -> Value {
        loop {
            let mut message = self.noted().await;
            if message["method"] == method {
                return message["params"].take();
            }
        }
    }

    /// Sends a request, and returns its result.
    pub async fn result(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params).await;
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].take()
    }

    /// Opens a subscription of 2026-07-28, and returns its id and what was acknowledged.
    pub async fn listen(&mut self, notifications: Value) -> (i64, Value) {
        let id =
            self.request("subscriptions/listen", json!({"notifications": notifications})).await;
        let mut acknowledged = self.told("notifications/subscriptions/acknowledged").await;
        assert_eq!(acknowledged["_meta"][SUBSCRIPTION], id, "{acknowledged}");
        (id, acknowledged["notifications"].take())
    }

    /// `tasks/get`, as the result.
    pub async fn get_task(&mut self, id: &str) -> Value {
        let mut answer = self.ask("tasks/get", json!({"taskId": id})).await;
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].take()
    }
}
