//! The demo server as its users run it: a process of its own, spoken to line by line over stdio, ended in every way that
//! a process can end.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Server {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    asked: u64,
}

impl Server {
    /// A server that a client of the `initialize` era has greeted.
    fn start(home: &Path, environment: &[(&str, &str)]) -> Self {
        let mut server = Self::spawn(home, environment);
        server.ask(
            "initialize",
            json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"}
            }),
        );
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    fn spawn(home: &Path, environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo_server"))
            .arg("stdio")
            .env("JOB_MCP_HOME", home)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output, asked: 0 }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn request(&mut self, method: &str, params: Value) -> u64 {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// A request of the 2026-07-28 protocol, from a client with the Tasks extension.
    fn request_with_tasks(&mut self, method: &str, mut params: Value) {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
        });
        self.request(method, params);
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the server has ended");
        serde_json::from_str(&line).expect("stdout belongs to the protocol")
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        loop {
            let message = self.read();
            if message["id"] == id {
                return message["result"].clone();
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))["structuredContent"]
            .clone()
    }

    /// A job that counts for longer than any test, once it has counted to two at least.
    fn counting_job(&mut self) -> String {
        let ticket =
            self.call("count", json!({"to": 1_000_000, "step_ms": 10, "async_mode": true}));
        let id = ticket["job_id"].as_str().unwrap().to_owned();
        let mut counted = 0;
        while counted < 2 {
            let waited = self.call("wait_job", json!({"job_ids": [id], "progress": true}));
            counted = waited["jobs"][0]["progress"]["current"].as_u64().unwrap_or(0);
        }
        id
    }

    fn close_input(&mut self) {
        self.input = None;
    }

    fn end(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// No process is left behind, however a test ends.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The record of a job as the journal has it, which is what survives a crash.
fn on_disk(home: &Path, id: &str) -> Value {
    let text = fs::read_to_string(home.join("meta/journal.ndjson")).unwrap();
    let puts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut puts = puts.map(|line| line["put"].clone());
    puts.rfind(|job| job["id"] == id).unwrap()
}

/// The record of a job as an operator reads it, complete after an orderly end.
fn in_jobs_json(home: &Path, id: &str) -> Value {
    let text = fs::read_to_string(home.join("meta/jobs.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["jobs"].as_array().unwrap().iter().find(|job| job["id"] == id).unwrap().clone()
}

fn assert_interrupted(job: &Value) {
    assert_eq!(
        (&job["status"], &job["error_kind"]),
        (&json!("failed"), &json!("interrupted")),
        "{job}"
    );
    assert!(job["progress"]["current"].as_u64().unwrap() >= 1, "with its last progress: {job}");
}

#[test]
fn an_id_is_on_disk_from_the_moment_it_is_out() {
    let home = TempDir::new().unwrap();
    let mut server = Server::start(home.path(), &[("DEMO_TIMEOUT", "0.05")]);
    let ticket = server.call("count", json!({"to": 1_000_000, "step_ms": 10}));
    let job = on_disk(home.path(), ticket["job_id"].as_str().unwrap());
    assert_eq!(
        (&job["status"], &job["tool"], &job["server"]),
        (&json!("running"), &json!("count"), &json!("demo"))
    );
    assert!(
        ticket["message"].as_str().unwrap().starts_with("Task exceeded 50ms time budget;"),
        "{ticket}"
    );
}

#[test]
fn a_killed_servers_jobs_are_interrupted_when_it_starts_again() {
    let home = TempDir::new().unwrap();
    let mut server = Server::start(home.path(), &[]);
    let id = server.counting_job();
    // Progress goes to the disk a few times a second.
    while on_disk(home.path(), &id).get("progress").is_none() {
        server.call("wait_job", json!({"job_ids": [id], "timeout_seconds": 0.1}));
    }
    server.process.kill().unwrap();
    drop(server);
    assert_eq!(on_disk(home.path(), &id)["status"], "running", "no process was there to change it");
    let mut again = Server::start(home.path(), &[]);
    assert_interrupted(&again.call("job_status", json!({"job_id": id}))["job"]);
    assert_interrupted(&on_disk(home.path(), &id));
}

#[test]
fn the_end_of_the_input_ends_the_server_in_order() {
    let home = TempDir::new().unwrap();
    let mut server = Server::start(home.path(), &[]);
    let id = server.counting_job();
    server.close_input();
    assert!(server.end().success());
    assert_interrupted(&in_jobs_json(home.path(), &id));
}

/// The host goes while a call is open: the work is a job from then on, also where it ends before the server does.
#[test]
fn a_call_that_is_open_at_the_end_of_the_input_leaves_a_job_with_its_result() {
    let home = TempDir::new().unwrap();
    let mut server = Server::start(home.path(), &[]);
    let count = json!({"to": 40, "step_ms": 10});
    server.request("tools/call", json!({"name": "count", "arguments": count}));
    server.close_input();
    let answer = server.read();
    assert_eq!(answer["result"]["structuredContent"], json!({"counted": 40}), "it may read on");
    assert!(server.end().success());
    let text = fs::read_to_string(home.path().join("meta/jobs.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let job = &document["jobs"][0];
    assert_eq!((&job["status"], &job["result"]), (&json!("completed"), &json!({"counted": 40})));
}

#[cfg(unix)]
#[test]
fn sigterm_ends_the_server_in_order_and_as_the_signal_says() {
    use std::os::unix::process::ExitStatusExt;
    let home = TempDir::new().unwrap();
    let mut server = Server::start(home.path(), &[]);
    let id = server.counting_job();
    let killed =
        Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(server.end().signal(), Some(15));
    assert_interrupted(&in_jobs_json(home.path(), &id));
}

#[test]
fn two_servers_over_one_folder_lose_nothing_of_each_other() {
    let home = TempDir::new().unwrap();
    let mut one = Server::start(home.path(), &[]);
    let mut two = Server::start(home.path(), &[]);
    let (first, second) = (one.counting_job(), two.counting_job());
    assert_eq!(two.call("job_status", json!({"job_id": first}))["job"]["status"], "running");
    two.call("cancel_job", json!({"job_id": first}));
    // The answer may come before the job's server has stopped the work, and this one may see the end before it is synced. The
    // job's server tells of it afterwards.
    while one.call("wait_job", json!({"job_ids": [first]}))["jobs"][0]["terminal"] != true {}
    for server in [&mut one, &mut two] {
        let status = server.call("job_status", json!({"job_id": first}));
        assert_eq!(status["job"]["status"], "cancelled");
    }
    assert_eq!(one.call("job_status", json!({"job_id": second}))["job"]["status"], "running");
}

#[test]
fn a_client_of_2026_07_28_gets_a_question_as_the_answer_and_calls_again_with_what_was_said() {
    let home = TempDir::new().unwrap();
    let mut server = Server::spawn(home.path(), &[]);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}
    });
    server.ask("server/discover", json!({"_meta": meta}));
    let asked =
        server.ask("tools/call", json!({"name": "ask_name", "arguments": {}, "_meta": meta}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = &asked["inputRequests"]["name"];
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "What is your name?");
    let answer = server.ask(
        "tools/call",
        json!({
            "name": "ask_name", "arguments": {}, "_meta": meta,
            "inputResponses": {"name": {"action": "accept", "content": {"name": "Ada"}}},
            "requestState": asked["requestState"]
        }),
    );
    assert_eq!(answer["resultType"], "complete", "{answer}");
    assert_eq!(answer["content"][0]["text"], "Hello, Ada!");
}

#[test]
fn debug_output_goes_to_stderr_and_only_when_it_is_asked_for() {
    for debug in ["true", "false"] {
        let home = TempDir::new().unwrap();
        let mut server =
            Server::start(home.path(), &[("SMART_ASYNC_DEBUG", debug), ("DEMO_TIMEOUT", "0.05")]);
        server.call("add", json!({"a": 1, "b": 2}));
        let mut to = 20;
        // Work that ends while its record is being written is answered inline; then longer work is tried.
        let ticket = loop {
            let answer = server.call("count", json!({"to": to, "step_ms": 10}));
            if answer != json!({"counted": to}) {
                break answer;
            }
            to *= 2;
        };
        server.call("wait_job", json!({"job_ids": [ticket["job_id"]]}));
        server.close_input();
        let mut shown = String::new();
        server.process.stderr.take().unwrap().read_to_string(&mut shown).unwrap();
        if debug == "true" {
            let id = ticket["job_id"].as_str().unwrap();
            for expected in [
                "call{tool=\"add\" outcome=\"answered inline\"",
                "call answered inline",
                "call outlived its budget",
                id,
                "status=completed",
            ] {
                assert!(shown.contains(expected), "{expected} is missing in:\n{shown}");
            }
            // The SDK's events hold whole messages, also those of tools with `redact`.
            assert!(!shown.contains(" rmcp"), "{shown}");
        } else {
            assert_eq!(shown, "");
        }
    }
}

/// Returns what the server said on stderr, when its input ends now.
fn said_until_the_end(mut server: Server) -> String {
    server.close_input();
    let mut said = String::new();
    server.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn each_unusable_variable_is_said_on_stderr_once_and_without_set_up() {
    let home = TempDir::new().unwrap();
    let unusable = [
        ("DEMO_TIMEOUT", "soon"),
        ("SMART_ASYNC_TIMEOUT_SECONDS", "0"),
        ("SMART_ASYNC_WAIT_SECONDS", "-3"),
        ("SMART_ASYNC_DEBUG", "maybe"),
        ("JOB_CLEANUP_INTERVAL", "20 bananas"),
        ("JOB_RETENTION_HOURS", "-1"),
        ("JOB_RETENTION_JOBS", "many"),
        ("JOB_RETENTION_BYTES", "64 boxes"),
        ("JOB_MAX_RESULT_BYTES", "big"),
        ("JOB_MAX_LIVE", "none"),
    ];
    let mut server = Server::start(home.path(), &unusable);
    for _ in 0..2 {
        server.call("count", json!({"to": 1, "step_ms": 1}));
        let ticket = server.call("count", json!({"to": 1, "step_ms": 1, "async_mode": true}));
        server.call("wait_job", json!({"job_ids": [ticket["job_id"]]}));
    }
    let said = said_until_the_end(server);
    for (name, value) in unusable {
        assert_eq!(said.matches(&format!("{name}={value:?}")).count(), 1, "{name}: {said}");
    }
    assert_eq!(said.lines().count(), unusable.len(), "{said}");
    assert!(said.lines().all(|line| line.contains(" WARN smart_async")), "{said}");
}

#[test]
fn a_store_that_fails_is_said_on_stderr_once_however_often_it_is_tried() {
    let home = TempDir::new().unwrap();
    let environment = [("DEMO_TIMEOUT", "0.1"), ("RUST_BACKTRACE", "0")];
    let mut server = Server::start(home.path(), &environment);
    let id = server.counting_job();
    let meta = home.path().join("meta");
    fs::rename(&meta, home.path().join("elsewhere")).unwrap();
    fs::write(&meta, "no folder").unwrap();
    // One call waits for the store beyond its budget, and the job's progress is tried again all the time.
    assert_eq!(server.call("count", json!({"to": 20, "step_ms": 100})), json!({"counted": 20}));
    server.call("cancel_job", json!({"job_id": id}));
    let said = said_until_the_end(server);
    let is_part_of_id = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
    let without_ids = |line: &str| -> String {
        line.split(|letter| !is_part_of_id(letter)).filter(|part| part.len() < 36).collect()
    };
    let lines: Vec<_> = said.lines().filter(|line| line.contains(" smart_async::")).collect();
    let words = lines.iter().map(|line| without_ids(line.split_once(' ').unwrap().1));
    let mut different: Vec<_> = words.collect();
    different.sort();
    different.dedup();
    assert!(!lines.is_empty() && lines.len() == different.len(), "{said}");
    assert!(said.contains("failed to write the job store"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_used_is_said_on_stderr_and_nothing_is_served() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("a file");
    fs::write(&file, "").unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_demo_server"))
        .arg("stdio")
        .env("JOB_MCP_HOME", &file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && ended.stdout.is_empty());
    assert!(
        said.contains("failed to open the job folder") && said.contains("JOB_MCP_HOME"),
        "{said}"
    );
}

#[test]
fn a_client_over_stdio_is_told_of_its_tasks() {
    let home = TempDir::new().unwrap();
    let mut server = Server::spawn(home.path(), &[]);
    let arguments = json!({"to": 5, "step_ms": 50, "async_mode": true});
    server.request_with_tasks("tools/call", json!({"name": "count", "arguments": arguments}));
    let task = server.read()["result"]["taskId"].clone();
    let filter = json!({"notifications": {"taskIds": [task]}});
    server.request_with_tasks("subscriptions/listen", filter);
    let first = server.read();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({"taskIds": [task]}));
    loop {
        let told = server.read();
        assert_eq!(told["method"], "notifications/tasks");
        if told["params"]["status"] == "completed" {
            assert_eq!(told["params"]["result"]["structuredContent"], json!({"counted": 5}));
            break;
        }
    }
}
