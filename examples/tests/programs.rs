//! The small examples as a user runs them: each is a process of its own, and the test is its client.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationCapability, Implementation,
};
use rmcp::service::{RequestContext, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, ErrorData, RoleClient, ServiceExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// A connection to an example over stdio, whose jobs lie in a folder that is removed afterwards.
struct Connection<C: ClientHandler> {
    client: RunningService<RoleClient, C>,
    _home: TempDir,
}

impl<C: ClientHandler> Connection<C> {
    async fn open(program: &str, environment: &[(&str, &str)], client: C) -> Self {
        let home = TempDir::new().unwrap();
        let mut command = Command::new(program);
        command.env("JOB_MCP_HOME", home.path()).envs(environment.iter().copied());
        let (transport, _) =
            TokioChildProcess::builder(command).stderr(Stdio::null()).spawn().unwrap();
        Self { client: client.serve(transport).await.unwrap(), _home: home }
    }

    /// Calls a tool, and returns its structured content, or its text where there is none.
    async fn call(&self, tool: &'static str, arguments: Value) -> Value {
        let arguments = arguments.as_object().unwrap().clone();
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.client.call_tool(request).await.unwrap();
        let result = serde_json::to_value(result).unwrap();
        assert_ne!(result["isError"], true, "{result}");
        match &result["structuredContent"] {
            Value::Null => result["content"][0]["text"].clone(),
            structured => structured.clone(),
        }
    }

    /// Waits until a job has ended, and returns it.
    async fn ended(&self, id: &Value) -> Value {
        loop {
            let waited = self.call("wait_job", json!({"job_ids": [id]})).await;
            if waited["jobs"][0]["terminal"] == true {
                return waited["jobs"][0].clone();
            }
        }
    }

    /// Waits until a job has reported progress, and returns that.
    async fn progress(&self, id: &Value) -> Value {
        let arguments = json!({"job_ids": [id], "progress": true});
        loop {
            let waited = self.call("wait_job", arguments.clone()).await;
            assert_eq!(waited["terminal"], false, "{waited}");
            let progress = &waited["jobs"][0]["progress"];
            if progress["current"].as_f64().is_some_and(|current| current > 0.0) {
                return progress.clone();
            }
        }
    }
}

#[tokio::test]
async fn quickstart_answers_inline_and_beyond_its_budget_with_a_ticket() {
    let program = env!("CARGO_BIN_EXE_quickstart");
    let server = Connection::open(program, &[("COUNT_TIMEOUT", "60")], ()).await;
    assert_eq!(server.call("count", json!({"to": 1})).await, json!({"counted": 1}));

    let server = Connection::open(program, &[("COUNT_TIMEOUT", "0.5")], ()).await;
    let mut to = 2;
    // Work that ends while its record is being written is answered inline; then longer work is tried.
    let ticket = loop {
        let answer = server.call("count", json!({"to": to})).await;
        if answer != json!({"counted": to}) {
            break answer;
        }
        to *= 2;
    };
    assert_eq!(ticket["status"], "running");
    assert!(ticket["message"].as_str().unwrap().contains("wait_job"), "{ticket}");
    let job = server.ended(&ticket["job_id"]).await;
    assert_eq!(job["result"], json!({"counted": to}));
    let detail = json!({"job_id": ticket["job_id"], "detail": true});
    let status = server.call("job_status", detail).await;
    assert_eq!(status["job"]["progress"]["message"], format!("counted {to} of {to}"));
    assert_eq!(server.call("list_jobs", json!({})).await["total"], 1);
}

#[tokio::test]
async fn progress_is_seen_and_work_stops_at_a_request_to_cancel() {
    let program = env!("CARGO_BIN_EXE_progress_and_cancel");
    let server = Connection::open(program, &[], ()).await;
    let endless = [
        ("import", json!({"rows": 1_000_000, "async_mode": true})),
        ("sum_of_squares", json!({"to": u64::MAX, "async_mode": true})),
    ];
    for (tool, arguments) in endless {
        let ticket = server.call(tool, arguments).await;
        server.progress(&ticket["job_id"]).await;
        let cancelled = server.call("cancel_job", json!({"job_id": ticket["job_id"]})).await;
        assert_eq!(cancelled["status"], "cancelled", "{tool}: {cancelled}");
    }
    assert_eq!(server.call("import", json!({"rows": 2})).await, "imported 2 rows");
    assert_eq!(server.call("sum_of_squares", json!({"to": 3})).await, "14");
}

/// A client whose user accepts every form with the answers given, one after the other.
#[derive(Clone)]
struct Asked {
    answers: Arc<Mutex<Vec<Value>>>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl ClientHandler for Asked {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(ElicitationCapability::default());
        ClientConfig::new(capabilities, Implementation::new("test", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        if let ElicitRequestParams::FormElicitationParams { message, .. } = request {
            self.messages.lock().unwrap().push(message);
        }
        let answer = self.answers.lock().unwrap().remove(0);
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(answer))
    }
}

#[tokio::test]
async fn questions_are_asked_on_the_open_call_where_the_client_has_elicitation() {
    let stay = json!({"nights": 2, "room": "double"});
    let client = Asked {
        answers: Arc::new(Mutex::new(vec![stay, json!({"sure": true})])),
        messages: Arc::default(),
    };
    let server = Connection::open(env!("CARGO_BIN_EXE_questions"), &[], client.clone()).await;
    assert_eq!(server.call("book", json!({})).await, "booked 2 nights for 240");
    let messages = client.messages.lock().unwrap().clone();
    assert_eq!(messages, ["How long, and which room?", "2 nights cost 240."]);
}

#[tokio::test]
async fn questions_are_answered_by_answer_job_where_it_has_not() {
    let server = Connection::open(env!("CARGO_BIN_EXE_questions"), &[], ()).await;
    let ticket = server.call("book", json!({})).await;
    assert_eq!(ticket["status"], "input_required");
    let id = &ticket["job_id"];
    let content = json!({"nights": 1, "room": "single"});
    server.call("answer_job", json!({"job_id": id, "content": content})).await;
    while server.call("job_status", json!({"job_id": id})).await["job"]["status"] == "running" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.call("answer_job", json!({"job_id": id, "content": {"sure": false}})).await;
    assert_eq!(server.ended(id).await["result"], "no room was booked");
}

#[tokio::test]
async fn a_server_runs_over_a_store_of_its_own() {
    let server = Connection::open(env!("CARGO_BIN_EXE_custom_store"), &[], ()).await;
    let ticket = server.call("greet", json!({})).await;
    assert_eq!(server.ended(&ticket["job_id"]).await["result"], "hello");
}

#[test]
fn the_tour_ends_quietly_when_its_reader_has_gone() {
    let mut tour = std::process::Command::new(env!("CARGO_BIN_EXE_tour"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    // The reader and with it the end of the pipe are dropped after one line, as by `head -1`.
    BufReader::new(tour.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut said = String::new();
    tour.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = tour.wait().unwrap();
    assert!(status.success() && said.is_empty(), "{status}: {said}");
}

/// An answer of which fields are left out, or that is written anew for the eye, is no JSON.
#[test]
fn the_tour_shows_answers_as_they_are() {
    let tour = std::process::Command::new(env!("CARGO_BIN_EXE_tour")).output().unwrap();
    assert!(tour.status.success(), "{}", String::from_utf8_lossy(&tour.stderr));
    let told = String::from_utf8(tour.stdout).unwrap();
    let mut answers: Vec<String> = Vec::new();
    let mut inside = false;
    for line in told.lines() {
        if let Some(begin) = line.strip_prefix("   <-- ") {
            answers.push(begin.split_once("] ").unwrap().1.to_owned());
            inside = true;
        } else if inside && line.starts_with("       ") {
            // The screen drops the blank that it breaks a line at.
            answers.last_mut().unwrap().extend([" ", line.trim_start()]);
        } else {
            inside = false;
        }
    }
    assert!(answers.len() > 10, "{told}");
    for answer in answers {
        let parsed: Result<Value, _> = serde_json::from_str(&answer);
        assert!(parsed.is_ok_and(|answer| answer.is_object()), "{answer}");
    }
}
