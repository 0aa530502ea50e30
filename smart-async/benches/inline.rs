//! What an annotated tool costs while it stays within its budget: against the same tool without the attribute, through a
//! client; and the call alone, against `spawn` and `timeout`. With the allocations of a call.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleClient, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use shared::counting::{self, Counting};
use shared::server::{Adder, add, connect};
use shared::{Pair, figure, micros, on_worker, times};
use smart_async::{JobManager, Reply, WithJobs, smart_async};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The word by which this program knows that it is the server.
const SERVE: &str = "serve";
/// How many calls a round makes.
const ROUND: usize = 256;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == SERVE) {
        return serve(&arguments[2], arguments[3].parse().unwrap());
    }
    for workers in [1, 2] {
        if shared::is_asked_for("bare") {
            bare_call(workers);
        }
        if shared::is_asked_for("pair") {
            in_process(workers);
        }
        if shared::is_asked_for("stdio") {
            over_stdio(workers);
        }
    }
    if shared::is_asked_for("allocations") {
        allocations();
    }
    if shared::is_asked_for("carried") {
        carried();
    }
}

// --- The call alone ---------------------------------------------------------------------------------------------------

#[smart_async]
async fn annotated(a: i64, b: i64) -> i64 {
    a + b
}

async fn plain(a: i64, b: i64) -> i64 {
    a + b
}

/// What a budget costs at least: a task, and a timer.
async fn spawned_and_timed(a: i64, b: i64) -> i64 {
    let work = tokio::spawn(plain(a, b));
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap()
}

async fn ours(a: i64, b: i64) -> i64 {
    let Reply::Inline(sum) = annotated(a, b).await else { panic!("it has 20 seconds") };
    sum
}

/// How long each of so many calls takes, one after the other, in nanoseconds.
async fn each<F: Future<Output = i64>>(call: impl Fn(i64, i64) -> F) -> f64 {
    const CALLS: usize = 2_000;
    let began = Instant::now();
    for number in 0..CALLS {
        std::hint::black_box(call(std::hint::black_box(number as i64), 3).await);
    }
    micros(began) * 1e3 / CALLS as f64
}

fn bare_call(workers: usize) {
    let runtime = shared::runtime(workers);
    let pair = on_worker(&runtime, async {
        let mut pair = Pair::default();
        for _ in 0..times(300) {
            pair.push(each(spawned_and_timed).await, each(ours).await);
        }
        pair
    });
    pair.tell(&format!("inline.bare.{workers}"), "ns");
    // From a thread that is no worker of the runtime, so that the body wakes another thread, as in a program's `main`.
    let mut pair = Pair::default();
    for _ in 0..times(100) {
        pair.push(runtime.block_on(each(spawned_and_timed)), runtime.block_on(each(ours)));
    }
    pair.tell(&format!("inline.outside.{workers}"), "ns");
}

// --- Through a client -------------------------------------------------------------------------------------------------

/// How long each of a round's calls takes, with so many at once, in microseconds.
async fn calls(
    client: &Arc<RunningService<RoleClient, ()>>,
    tool: &'static str,
    at_once: usize,
) -> f64 {
    let began = Instant::now();
    if at_once == 1 {
        for _ in 0..ROUND {
            add(client, tool).await;
        }
    } else {
        let callers = (0..at_once).map(|_| {
            let client = Arc::clone(client);
            tokio::spawn(async move {
                for _ in 0..ROUND / at_once {
                    add(&client, tool).await;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    }
    micros(began) / ROUND as f64
}

type Client = Arc<RunningService<RoleClient, ()>>;

/// The plain tool of a server without jobs, and the annotated one of a server with them, in turn.
async fn compare(name: &str, plain: Client, ours: Client) {
    for at_once in [1, 64] {
        let (mut pair, mut by_hand) = (Pair::default(), Pair::default());
        for round in 0..times(150) {
            // Whoever goes first finds the caches cold.
            let (first, second) = if round % 2 == 0 {
                let first = calls(&plain, "plain", at_once).await;
                (first, calls(&ours, "annotated", at_once).await)
            } else {
                let second = calls(&ours, "annotated", at_once).await;
                (calls(&plain, "plain", at_once).await, second)
            };
            pair.push(first, second);
            by_hand.push(first, calls(&plain, "by_hand", at_once).await);
        }
        pair.tell(&format!("{name}.{at_once}"), "us");
        figure(&format!("{name}.{at_once}.by_hand"), by_hand.ratio(), "x");
    }
}

fn in_process(workers: usize) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    let runtime = shared::runtime(workers);
    on_worker(&runtime, async move {
        let jobs = JobManager::builder().folder(home).open().await.unwrap();
        let plain = Arc::new(connect(Adder::new()).await);
        let ours = Arc::new(connect(Adder::new().with_jobs(jobs.clone())).await);
        compare(&format!("inline.pair.{workers}"), plain, ours).await;
        jobs.shutdown().await.unwrap();
    });
}

fn over_stdio(workers: usize) {
    let runtime = shared::runtime(workers);
    on_worker(&runtime, async move {
        let plain = Arc::new(child("plain", workers).await);
        let ours = Arc::new(child("ours", workers).await);
        compare(&format!("inline.stdio.{workers}"), Arc::clone(&plain), Arc::clone(&ours)).await;
        for client in [plain, ours] {
            Arc::into_inner(client).unwrap().cancel().await.unwrap();
        }
    });
}

/// A client of this program, as a server in a process of its own.
async fn child(which: &str, workers: usize) -> RunningService<RoleClient, ()> {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args([SERVE, which, &workers.to_string()]);
    ().serve(TokioChildProcess::new(command).unwrap()).await.unwrap()
}

fn serve(which: &str, workers: usize) {
    let folder = tempfile::tempdir().unwrap();
    shared::runtime(workers).block_on(async {
        if which == "plain" {
            let streams = (tokio::io::stdin(), tokio::io::stdout());
            Adder::new().serve(streams).await.unwrap().waiting().await.unwrap();
        } else {
            let jobs = JobManager::builder().folder(folder.path()).open().await.unwrap();
            let server = Adder::new().with_jobs(jobs.clone());
            let stdio = smart_async::transport::stdio();
            server.serve(stdio).await.unwrap().waiting().await.unwrap();
            jobs.shutdown().await.unwrap();
        }
    });
}

// --- Allocations ------------------------------------------------------------------------------------------------------

/// How often a call asks for memory. One worker, and nobody else about, so that it is the same each time.
fn allocations() {
    let runtime = shared::runtime(1);
    let [plain, spawned, ours] = on_worker(&runtime, async {
        [count(plain).await, count(spawned_and_timed).await, count(ours).await]
    });
    figure("inline.allocations.plain", plain, "per_call");
    figure("inline.allocations.spawned", spawned, "per_call");
    figure("inline.allocations.ours", ours, "per_call");
    let [plain, ours] = on_worker(&runtime, async {
        let plain = Arc::new(connect(Adder::new()).await);
        let ours = Arc::new(connect(Adder::new().with_jobs(JobManager::in_memory())).await);
        [count_calls(&plain, "plain").await, count_calls(&ours, "annotated").await]
    });
    figure("inline.allocations.pair.plain", plain, "per_call");
    figure("inline.allocations.pair.ours", ours, "per_call");
}

async fn count<F: Future<Output = i64>>(call: impl Fn(i64, i64) -> F) -> f64 {
    const CALLS: usize = 1_000;
    // What is made once is made now.
    call(1, 1).await;
    let before = counting::allocations();
    for number in 0..CALLS {
        std::hint::black_box(call(number as i64, 1).await);
    }
    (counting::allocations() - before) as f64 / CALLS as f64
}

async fn count_calls(client: &Client, tool: &'static str) -> f64 {
    calls(client, tool, 1).await;
    let before = counting::allocations();
    calls(client, tool, 1).await;
    (counting::allocations() - before) as f64 / ROUND as f64
}

// --- The carried case -------------------------------------------------------------------------------------------------

/// A session over HTTP of the protocol before 2026-07-28, whose client can be asked: there the body is spawned by way of
/// the SDK, so that what it asks finds its client. The requests do not go over a network.
fn carried() {
    let runtime = shared::runtime(2);
    for (name, capabilities) in [("carried", json!({"elicitation": {}})), ("http", json!({}))] {
        on_worker(&runtime, async move {
            let plain = Session::open(Adder::new(), &capabilities).await;
            let ours = Adder::new().with_jobs(JobManager::in_memory());
            let ours = Session::open(ours, &capabilities).await;
            let mut pair = Pair::default();
            for _ in 0..times(100) {
                pair.push(plain.calls("plain").await, ours.calls("annotated").await);
            }
            pair.tell(&format!("inline.{name}"), "us");
        });
    }
}

struct Session<S: ServerHandler> {
    service: StreamableHttpService<S, LocalSessionManager>,
    id: String,
}

impl<S: ServerHandler + Clone> Session<S> {
    async fn open(server: S, capabilities: &Value) -> Self {
        let config = StreamableHttpServerConfig::default().with_sse_keep_alive(None);
        let service =
            StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config);
        let mut this = Self { service, id: String::new() };
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "bench", "version": "1"}
        }});
        let answer = this.service.handle(this.request(&hello)).await;
        this.id = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        answer.into_body().collect().await.unwrap();
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert!(this.service.handle(this.request(&ready)).await.status().is_success());
        this
    }

    fn request(&self, message: &Value) -> http::Request<Full<bytes::Bytes>> {
        let request = http::Request::post("/mcp")
            .header("host", "localhost")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2025-11-25");
        let request = match self.id.as_str() {
            "" => request,
            id => request.header("mcp-session-id", id),
        };
        request.body(Full::from(message.to_string())).unwrap()
    }

    /// How long each of a round's calls takes, one after the other, in microseconds.
    async fn calls(&self, tool: &str) -> f64 {
        let began = Instant::now();
        for number in 1..=ROUND {
            let call = json!({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {
                "name": tool, "arguments": {"a": 2, "b": 3}
            }});
            let answer = self.service.handle(self.request(&call)).await;
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body.windows(7).any(|part| part == b"\"sum\":5"), "{body:?}");
        }
        micros(began) / ROUND as f64
    }
}
