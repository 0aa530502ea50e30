//! Subscriptions to tasks over Streamable HTTP: through the SDK's own service, without a socket.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use smart_async::transport::HttpTaskSubscriptions;
use smart_async::{JobManager, JobServer, WithJobs};
use smart_async_tests::{GatedTools, Library, SUBSCRIPTION, TASKS};
use tower_service::Service;

const LISTEN: &str = "subscriptions/listen";

type Http<S> = HttpTaskSubscriptions<StreamableHttpService<JobServer<S>, LocalSessionManager>>;

fn serve<S: rmcp::ServerHandler>(server: JobServer<S>) -> Http<S> {
    HttpTaskSubscriptions::new(StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    ))
}

fn request(method: &str, name: &str, mut params: Value) -> Request<Full<Bytes>> {
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "raw", "version": "1"});
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({"extensions": {TASKS: {}}});
    let body = json!({"jsonrpc": "2.0", "id": "one", "method": method, "params": params});
    Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("host", "localhost")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
        .header("mcp-name", name)
        .body(Full::from(body.to_string()))
        .unwrap()
}

/// The messages of an answer, as they come.
struct Stream {
    body: BoxBody<Bytes, Infallible>,
    read: String,
}

impl Stream {
    async fn of<S: rmcp::ServerHandler>(
        service: &mut Http<S>,
        request: Request<Full<Bytes>>,
    ) -> Self {
        let answer = answer(service, request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Self { body: answer.into_body(), read: String::new() }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let message = data.map(|data| serde_json::from_str(data.trim()).unwrap());
                self.read = rest.to_owned();
                match message {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let frame = self.body.frame().await?.unwrap();
            self.read.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }
}

async fn answer<S: rmcp::ServerHandler>(
    service: &mut Http<S>,
    request: Request<Full<Bytes>>,
) -> Response<BoxBody<Bytes, Infallible>> {
    service.call(request).await.unwrap().map(BodyExt::boxed)
}

/// A server with a task that waits at the gate of the tools.
async fn connected() -> (Http<GatedTools>, GatedTools, String) {
    let tools = GatedTools::new();
    let mut service = serve(tools.clone().with_jobs(JobManager::in_memory()));
    let call = json!({"name": "make_always_job", "arguments": {"what": "a chair"}});
    let mut stream = Stream::of(&mut service, request("tools/call", "make_always_job", call)).await;
    let created = stream.next().await.unwrap();
    let task = created["result"]["taskId"].as_str().unwrap().to_owned();
    tools.gate.arrived(1).await;
    (service, tools, task)
}

fn listen(filter: &Value) -> Request<Full<Bytes>> {
    let mut request = request(LISTEN, "", json!({"notifications": filter}));
    request.headers_mut().remove("mcp-name");
    request
}

#[tokio::test]
async fn tasks_are_told_of_on_the_stream_of_the_request() {
    let (mut service, tools, task) = connected().await;
    let mut stream = Stream::of(&mut service, listen(&json!({"taskIds": [task]}))).await;
    let acknowledged = stream.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let expected = json!({"notifications": {"taskIds": [task]}, "_meta": {SUBSCRIPTION: "one"}});
    assert_eq!(acknowledged["params"], expected);
    tools.gate.open();
    loop {
        let told = stream.next().await.unwrap();
        assert_eq!(told["method"], "notifications/tasks");
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION], "one");
        if told["params"]["status"] == "completed" {
            assert_eq!(told["params"]["result"]["content"][0]["text"], "a chair");
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_of_tasks_leaves_out_the_wrapped_servers_own() {
    let mut service = serve(Library::new().with_jobs(JobManager::in_memory()));
    let filter = json!({"taskIds": [], "resourceSubscriptions": [smart_async_tests::BOOK]});
    let mut stream = Stream::of(&mut service, listen(&filter)).await;
    assert_eq!(stream.next().await.unwrap()["params"]["notifications"], json!({"taskIds": []}));
}

#[tokio::test]
async fn a_subscription_ends_with_its_stream() {
    let (mut service, _tools, task) = connected().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut stream = Stream::of(&mut service, listen(&json!({"taskIds": [task]}))).await;
    stream.next().await.unwrap();
    assert!(tasks() > before);
    drop(stream);
    while tasks() > before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_other_request_goes_through_as_it_stands() {
    let (mut service, _tools, task) = connected().await;
    let mut get =
        Stream::of(&mut service, request("tasks/get", &task, json!({"taskId": task}))).await;
    assert_eq!(get.next().await.unwrap()["result"]["taskId"], task);
    let filter = json!({"resourceSubscriptions": [format!("job://{task}")]});
    let mut stream = Stream::of(&mut service, listen(&filter)).await;
    assert_eq!(stream.next().await.unwrap()["params"]["notifications"], filter);
}

#[tokio::test]
async fn a_header_that_says_otherwise_than_the_body_is_refused_as_ever() {
    let (mut service, _tools, task) = connected().await;
    let filter = json!({"taskIds": [task]});
    let mut other = listen(&filter);
    other.headers_mut().insert("mcp-method", HeaderValue::from_static("tools/list"));
    let mut twice = listen(&filter);
    twice.headers_mut().append("mcp-method", HeaderValue::from_static("tools/list"));
    let mut call = request("tools/call", "not_annotated", json!({"name": "not_annotated"}));
    call.headers_mut().insert("mcp-method", HeaderValue::from_static(LISTEN));
    for request in [other, twice, call] {
        let answer = answer(&mut service, request).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_request_that_is_longer_than_any_subscription_arrives_whole() {
    let (mut service, _tools, task) = connected().await;
    let filter = json!({"taskIds": [task], "resourceSubscriptions": ["x".repeat(2 * 1024 * 1024)]});
    let mut stream = Stream::of(&mut service, listen(&filter)).await;
    // It is the SDK that reads it then.
    assert_eq!(stream.next().await.unwrap()["params"]["notifications"], json!({}));
}
