//! How much memory a server's process takes for a slow call while it is open, and how much of that it keeps afterwards: a plain
//! tool against an annotated one, over stdio and over HTTP. The process is one of its own, and its memory is what the system
//! counts as resident. No figure without Linux, which tells it in `/proc`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{Pair, figure, median, times};
use smart_async::transport::HttpTaskSubscriptions;
use smart_async::{JobManager, WithJobs, smart_async};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// The word by which this program knows that it is the server.
const SERVE: &str = "serve";
/// Calls that are open at the same time. Over HTTP each has a connection of its own, which is a file on both sides.
const CALLS: usize = 5_000;
/// Files that a process has open beside those connections.
const OTHER_FILES: usize = 100;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == SERVE) {
        return serve(&arguments[2], &arguments[3], Path::new(&arguments[4]));
    }
    if !cfg!(target_os = "linux") {
        return;
    }
    for transport in ["stdio", "http", "stateless"] {
        if shared::is_asked_for(transport) {
            compare(transport);
        }
    }
    if shared::is_asked_for("jobs") {
        let rounds = (0..times(3)).map(|_| burst("stdio", "ours", "late").in_flight);
        figure("in_flight.jobs", median(&rounds.collect::<Vec<_>>()), "bytes_per_call");
    }
}

// --- The server -------------------------------------------------------------------------------------------------------

/// How many slow calls have begun, and are not counted yet.
static BEGUN: Semaphore = Semaphore::const_new(0);
/// How many slow calls may end.
static MAY_END: Semaphore = Semaphore::const_new(0);

#[derive(Debug, Clone)]
struct Slow {
    tool_router: ToolRouter<Self>,
}

/// The number of a call, or of calls.
#[derive(Debug, Deserialize, JsonSchema)]
struct Number {
    number: u32,
}

async fn slow(number: u32) -> String {
    BEGUN.add_permits(1);
    MAY_END.acquire().await.unwrap().forget();
    format!("ended {number}")
}

#[tool_router]
impl Slow {
    /// Work until the calls may end.
    #[tool]
    async fn plain(&self, Parameters(Number { number }): Parameters<Number>) -> String {
        slow(number).await
    }

    /// Work until the calls may end.
    #[smart_async(default = 3600)]
    #[tool]
    async fn annotated(&self, Parameters(Number { number }): Parameters<Number>) -> String {
        slow(number).await
    }

    /// Work until the calls may end, long after the budget.
    #[smart_async(default = "100ms")]
    #[tool]
    async fn late(&self, Parameters(Number { number }): Parameters<Number>) -> String {
        slow(number).await
    }

    /// Wait until so many calls have begun.
    #[tool]
    async fn begun(&self, Parameters(Number { number }): Parameters<Number>) -> String {
        BEGUN.acquire_many(number).await.unwrap().forget();
        "all of them have begun".to_owned()
    }

    /// Let so many calls end.
    #[tool]
    async fn end(&self, Parameters(Number { number }): Parameters<Number>) -> String {
        MAY_END.add_permits(number as usize);
        "they may end".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Slow {}

fn serve(transport: &str, which: &str, folder: &Path) {
    shared::runtime(2).block_on(async {
        let server = Slow { tool_router: Slow::tool_router() };
        let jobs = match which {
            "ours" => Some(JobManager::builder().folder(folder).open().await.unwrap()),
            _ => None,
        };
        match (transport, jobs) {
            ("stdio", None) => {
                let streams = (tokio::io::stdin(), tokio::io::stdout());
                server.serve(streams).await.unwrap().waiting().await.unwrap();
            }
            ("stdio", Some(jobs)) => {
                let server = server.with_jobs(jobs).serve(smart_async::transport::stdio());
                server.await.unwrap().waiting().await.unwrap();
            }
            (_, None) => serve_http(axum::Router::new().route_service("/mcp", http(server))).await,
            (_, Some(jobs)) => {
                let service = HttpTaskSubscriptions::new(http(server.with_jobs(jobs)));
                serve_http(axum::Router::new().route_service("/mcp", service)).await;
            }
        }
    });
}

fn http<S: ServerHandler + Clone>(server: S) -> StreamableHttpService<S, LocalSessionManager> {
    let config = StreamableHttpServerConfig::default().with_sse_keep_alive(None);
    StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config)
}

/// Says the port, and serves until the client ends this process.
async fn serve_http(router: axum::Router) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

// --- The client -------------------------------------------------------------------------------------------------------

/// A server in a process of its own.
struct Server {
    process: Child,
    said: BufReader<ChildStdout>,
    way: Way,
    /// How many requests it has got.
    requests: usize,
    _folder: TempDir,
}

enum Way {
    Stdio(ChildStdin),
    Http { address: String, session: Option<String> },
}

/// A call whose answer has not been read.
enum Call {
    Stdio,
    Http(BufReader<TcpStream>),
}

impl Server {
    fn start(transport: &str, which: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([SERVE, transport, which])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let way = match transport {
            "stdio" => Way::Stdio(process.stdin.take().unwrap()),
            _ => {
                let mut address = String::new();
                said.read_line(&mut address).unwrap();
                Way::Http { address: address.trim().to_owned(), session: None }
            }
        };
        let mut this = Self { process, said, way, requests: 0, _folder: folder };
        if transport != "stateless" {
            this.greet();
        }
        this
    }

    fn greet(&mut self) {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"}
        }});
        let mut call = self.send(&hello);
        if let (Way::Http { session, .. }, Call::Http(answer)) = (&mut self.way, &mut call) {
            *session = Some(header(answer, "mcp-session-id: "));
        }
        self.read(call);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        if let Call::Http(mut answer) = self.send(&ready) {
            answer.read_line(&mut String::new()).unwrap();
        }
    }

    fn call(&mut self, tool: &str, number: usize) -> Call {
        self.requests += 1;
        let mut call = json!({"jsonrpc": "2.0", "id": self.requests, "method": "tools/call", "params": {
            "name": tool, "arguments": {"number": number}
        }});
        if matches!(self.way, Way::Http { session: None, .. }) {
            call["params"]["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        self.send(&call)
    }

    fn send(&mut self, message: &Value) -> Call {
        match &mut self.way {
            Way::Stdio(stdin) => {
                writeln!(stdin, "{message}").unwrap();
                Call::Stdio
            }
            Way::Http { address, session } => {
                let body = message.to_string();
                let head = match session {
                    Some(session) => {
                        format!("mcp-protocol-version: 2025-11-25\r\nmcp-session-id: {session}\r\n")
                    }
                    None if message["method"] == "initialize" => String::new(),
                    None => format!(
                        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {}\r\n",
                        message["params"]["name"].as_str().unwrap()
                    ),
                };
                let mut connection = TcpStream::connect(&*address).unwrap();
                write!(
                    connection,
                    "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                     accept: application/json, text/event-stream\r\n{head}content-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
                Call::Http(BufReader::new(connection))
            }
        }
    }

    /// Reads one answer: over stdio the next one, whichever call it is of.
    fn read(&mut self, call: Call) -> String {
        match call {
            Call::Stdio => answer(&mut self.said),
            Call::Http(mut connection) => answer(&mut connection),
        }
    }

    /// How many bytes of memory the process has.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
    }

    /// The same, once it does not change any more.
    fn settled(&self) -> f64 {
        let mut before = f64::NAN;
        loop {
            let now = self.resident();
            if now == before {
                return now;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn header(answer: &mut impl BufRead, name: &str) -> String {
    answer.lines().find_map(|line| Some(line.unwrap().strip_prefix(name)?.to_owned())).unwrap()
}

fn answer(from: &mut impl BufRead) -> String {
    from.lines()
        .map(Result::unwrap)
        .inspect(|line| assert!(!line.contains(r#""error""#), "{line}"))
        .find(|line| line.contains(r#""result""#))
        .unwrap()
}

// --- The figures ------------------------------------------------------------------------------------------------------

/// How many bytes more than before its first call a process has, a call.
struct Memory {
    /// While all calls are open.
    in_flight: f64,
    /// After all of them have ended.
    kept: f64,
    /// While as many are open for a second time, beyond those of the first time.
    again: f64,
}

fn burst(transport: &str, which: &str, tool: &str) -> Memory {
    let calls = match transport {
        "stdio" => times(CALLS),
        _ => times(CALLS).min(files_allowed() - OTHER_FILES),
    };
    let mut server = Server::start(transport, which);
    // The first call makes what is made once.
    let (_, end) = run(&mut server, tool, 1);
    end(&mut server);
    let before = server.settled();
    let mut measure = || {
        let (in_flight, end) = run(&mut server, tool, calls);
        end(&mut server);
        (in_flight, server.settled())
    };
    let (first, kept) = measure();
    let (second, _) = measure();
    let [in_flight, kept, again] =
        [first - before, kept - before, second - first].map(|bytes| bytes / calls as f64);
    Memory { in_flight, kept, again }
}

/// Makes so many calls. Returns the memory while all are open, and what ends them.
fn run(server: &mut Server, tool: &str, calls: usize) -> (f64, impl FnOnce(&mut Server) + use<>) {
    let is_late = tool == "late";
    let mut open: Vec<_> = (1..=calls).map(|number| server.call(tool, number)).collect();
    let begun = server.call("begun", calls);
    if is_late {
        // Their tickets are their answers.
        open.drain(..).for_each(|call| drop(server.read(call)));
    }
    server.read(begun);
    let resident = server.resident();
    let end = move |server: &mut Server| {
        let end = server.call("end", calls);
        open.push(end);
        for call in open {
            server.read(call);
        }
    };
    (resident, end)
}

fn compare(transport: &str) {
    let (mut in_flight, mut kept) = (Pair::default(), Pair::default());
    let mut again = Pair::default();
    for _ in 0..times(3) {
        let plain = burst(transport, "plain", "plain");
        let ours = burst(transport, "ours", "annotated");
        in_flight.push(plain.in_flight, ours.in_flight);
        kept.push(plain.kept, ours.kept);
        again.push(plain.again, ours.again);
    }
    in_flight.tell(&format!("in_flight.{transport}"), "bytes_per_call");
    kept.tell(&format!("in_flight.{transport}.kept"), "bytes_per_call");
    // Both may be next to nothing, and their ratio anything.
    for (which, again) in [("plain", again.plain), ("ours", again.ours)] {
        figure(&format!("in_flight.{transport}.again.{which}"), median(&again), "bytes_per_call");
    }
}

/// How many files this process may have open, and so its children.
fn files_allowed() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX)
}
