//! Callers of one server over Streamable HTTP, through the SDK's own service and without a socket: with an identity that the
//! host's middleware puts on their requests or without, in sessions or not.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use smart_async::transport::{HttpSessions, HttpTaskSubscriptions};
use smart_async::{ClientIdentity, JobManager, JobServer, WithJobs};
use smart_async_tests::TASKS;
use tempfile::TempDir;
use tower_service::Service;

use super::shop::Shop;

type Http = HttpTaskSubscriptions<StreamableHttpService<JobServer<Shop>, HttpSessions>>;

const USER: &str = "x-user";
const SESSION: &str = "mcp-session-id";

/// A server that is open to callers. Clones are the same.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) shop: Shop,
    pub(crate) jobs: JobManager,
    with_sessions: Http,
    without_sessions: Http,
}

impl House {
    pub(crate) fn open(jobs: JobManager) -> Self {
        let shop = Shop::new(jobs.clone());
        let server = shop.clone().with_jobs(jobs.clone());
        let serve = |sessions| {
            let server = server.clone();
            let config = StreamableHttpServerConfig::default().with_legacy_session_mode(sessions);
            let sessions = Arc::new(HttpSessions::default());
            let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
            HttpTaskSubscriptions::new(service)
        };
        Self { shop, jobs, with_sessions: serve(true), without_sessions: serve(false) }
    }

    pub(crate) fn in_memory() -> Self {
        Self::open(JobManager::in_memory())
    }

    /// Over a folder.
    pub(crate) async fn over(folder: &TempDir) -> Self {
        Self::open(JobManager::builder().folder(folder.path()).open().await.unwrap())
    }

    /// A caller of 2026-07-28, which knows tasks.
    pub(crate) fn caller(&self, user: Option<&str>) -> Caller {
        let caller = Caller::new(self.with_sessions.clone(), "2026-07-28");
        match user {
            Some(user) => caller.with(USER, user),
            None => caller,
        }
    }

    /// A caller of 2025-11-25, in a session of its own.
    pub(crate) async fn session(&self, user: Option<&str>) -> Caller {
        let mut caller = Caller::new(self.with_sessions.clone(), "2025-11-25");
        if let Some(user) = user {
            caller = caller.with(USER, user);
        }
        let greeting = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}
        });
        let answer = caller.post("initialize", greeting).await;
        let session = answer.headers()[SESSION].to_str().unwrap().to_owned();
        Stream::of(answer).next().await.unwrap();
        caller.with(SESSION, &session)
    }

    /// A caller of 2025-11-25 of a server that has no sessions.
    pub(crate) fn without_session(&self) -> Caller {
        Caller::new(self.without_sessions.clone(), "2025-11-25")
    }

    /// Nobody in particular, in each of the ways in which that is possible.
    pub(crate) async fn unknown(&self) -> [Caller; 3] {
        [self.caller(None), self.session(None).await, self.without_session()]
    }
}

/// One caller. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Caller {
    service: Http,
    headers: Vec<(&'static str, String)>,
    version: &'static str,
    asked: i64,
}

/// What the host's middleware does: it knows whose each request is, and says so.
fn identify<B>(mut request: Request<B>) -> Request<B> {
    let user = request.headers().get(USER).map(|user| ClientIdentity::new(user.to_str().unwrap()));
    if let Some(user) = user {
        request.extensions_mut().insert(user);
    }
    request
}

impl Caller {
    fn new(service: Http, version: &'static str) -> Self {
        Self { service, headers: Vec::new(), version, asked: 0 }
    }

    pub(crate) fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }

    /// The id of the session that the caller is in.
    pub(crate) fn session_id(&self) -> &str {
        &self.headers.iter().find(|(name, _)| *name == SESSION).unwrap().1
    }

    pub(crate) fn is_of_today(&self) -> bool {
        self.version >= "2026-07-28"
    }

    /// The head of every request that has a body.
    fn head(&self) -> Builder {
        let head = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("host", "localhost")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", self.version);
        self.headers.iter().fold(head, |head, (name, value)| head.header(*name, value))
    }

    async fn post(
        &mut self,
        method: &str,
        mut params: Value,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        self.asked += 1;
        let mut request = self.head();
        if self.is_of_today() {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = self.version.into();
            meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "raw", "version": "1"});
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({"extensions": {TASKS: {}}});
            request = request.header("mcp-method", method);
            let name = ["name", "taskId", "uri"].iter().find_map(|key| params[key].as_str());
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        }
        let body = json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params});
        let request = request.body(Full::<Bytes>::from(body.to_string())).unwrap();
        self.service.call(identify(request)).await.unwrap().map(BodyExt::boxed)
    }

    /// Posts these bytes, which may be no message. Returns the status and the body of the answer.
    pub(crate) async fn post_bytes(&mut self, body: &[u8]) -> (u16, String) {
        let request = self.head().body(Full::<Bytes>::from(body.to_vec())).unwrap();
        let answer = self.service.call(identify(request)).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Ends the session.
    pub(crate) async fn end_session(&mut self) {
        let mut request = Request::builder()
            .method(Method::DELETE)
            .uri("/")
            .header("host", "localhost")
            .header("mcp-protocol-version", self.version);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let answer = self.service.call(identify(request)).await.unwrap();
        assert_eq!(answer.status(), 202);
    }

    /// Sends a request; what comes back is still to be read.
    pub(crate) async fn open(&mut self, method: &str, params: Value) -> Stream {
        Stream::of(self.post(method, params).await)
    }

    /// Sends a request, and returns the answer: its result or its error.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        let mut stream = self.open(method, params).await;
        loop {
            let mut message = stream.next().await.expect("the stream ended without an answer");
            for part in ["result", "error"] {
                if message.get(part).is_some() {
                    return json!({part: message[part].take()});
                }
            }
        }
    }

    /// Calls a tool, and returns its result.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut answer =
            self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await;
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].take()
    }

    /// Calls a tool, and returns its structured content, be it an error or not.
    pub(crate) async fn tool(&mut self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).await["structuredContent"].take()
    }

    /// Calls a tool that becomes a job or a task, and returns its id.
    pub(crate) async fn job(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments).await;
        let id = answer["taskId"].as_str().or(answer["structuredContent"]["job_id"].as_str());
        id.unwrap_or_else(|| panic!("no job: {answer}")).to_owned()
    }

    /// Calls a tool that becomes a job, and has it cancelled.
    pub(crate) async fn ended_job(&mut self) -> String {
        let id = self.job("make_later", json!({"what": "a chair"})).await;
        let answer = self.tool("cancel_job", json!({"job_id": id})).await;
        assert_eq!(answer["status"], "cancelled", "{answer}");
        id
    }

    /// The ids of the jobs that the caller is shown, by both lists; the count agrees with them.
    pub(crate) async fn listed(&mut self) -> Vec<String> {
        let list = self.tool("list_jobs", json!({})).await;
        let ids = |rows: &Value, key: &str| -> Vec<String> {
            let rows = rows.as_array().unwrap().iter();
            rows.map(|row| row[key].as_str().unwrap().replace("job://", "")).collect()
        };
        let jobs = ids(&list["jobs"], "id");
        assert_eq!(list["total"], jobs.len(), "{list}");
        let resources = self.ask("resources/list", json!({})).await;
        assert_eq!(ids(&resources["result"]["resources"], "uri"), jobs);
        jobs
    }
}

/// The messages that come back on a request.
pub(crate) struct Stream {
    body: BoxBody<Bytes, Infallible>,
    is_json: bool,
    read: String,
}

impl Stream {
    fn of(answer: Response<BoxBody<Bytes, Infallible>>) -> Self {
        let kind = answer.headers().get("content-type").map(|kind| kind.as_bytes().to_vec());
        let is_json = kind.is_some_and(|kind| kind.starts_with(b"application/json"));
        Self { body: answer.into_body(), is_json, read: String::new() }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let message = data.and_then(|data| serde_json::from_str(data.trim()).ok());
                self.read = rest.to_owned();
                match message {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            match self.body.frame().await {
                Some(frame) => {
                    let data = frame.unwrap().into_data().unwrap();
                    self.read.push_str(std::str::from_utf8(&data).unwrap());
                }
                None if self.is_json && !self.read.is_empty() => {
                    return serde_json::from_str(&std::mem::take(&mut self.read)).ok();
                }
                None => return None,
            }
        }
    }
}
