//! What a tool with `redact` or `store_result = false` says: its callers hear it for as long as the server lives, and no
//! disk and no log ever does.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::__private::{CallSite, call, marker, tool_result};
use smart_async::job::{JobQuery, JobState, Prune, ResultLocation};
use smart_async::manager::{Error, WaitFor};
use smart_async::{JobManager, Reply, WithJobs};
use smart_async_tests::{Client, Gate};
use tempfile::TempDir;

/// What nobody but the caller may hear.
const SECRET: &str = "hush-hush";

static REDACTED: CallSite = CallSite::new("redacted").default_timeout(0, 50_000_000).redact();
static WITHHELD: CallSite =
    CallSite::new("withheld").default_timeout(0, 50_000_000).store_result(false);

#[derive(Clone)]
struct Confessional(Gate);

#[derive(Debug, Deserialize, JsonSchema)]
struct Sin {
    end: String,
    #[serde(default)]
    inline: bool,
}

type Confessed = Reply<Result<CallToolResult, ErrorData>>;

/// Ends as it is told to, and says the secret in every way there is.
async fn confess(gate: Gate, sin: Sin) -> Result<CallToolResult, ErrorData> {
    smart_async::progress().report(1, 4, SECRET);
    if !sin.inline {
        gate.arrive();
        gate.opened().await;
        smart_async::progress().report(2, 4, format!("again {SECRET}"));
    }
    match &*sin.end {
        "text" => Ok(CallToolResult::success(vec![ContentBlock::text(SECRET)])),
        "object" => Ok(CallToolResult::structured(json!({"long": SECRET.repeat(5000)}))),
        "blocks" => Ok(CallToolResult::success(vec![
            ContentBlock::text(SECRET),
            ContentBlock::image(SECRET, "image/png"),
        ])),
        "error" => Err(ErrorData::invalid_params(SECRET, Some(json!({"details": SECRET})))),
        "refusal" => Ok(CallToolResult::structured_error(json!({"why": SECRET}))),
        "panic" => panic!("{SECRET}"),
        _ => std::future::pending().await,
    }
}

#[tool_router]
impl Confessional {
    /// As the macro writes it for `redact`.
    #[tool(meta = marker())]
    async fn redacted(&self, Parameters(sin): Parameters<Sin>) -> Confessed {
        call(&REDACTED, tool_result(), confess(self.0.clone(), sin)).await
    }

    /// As the macro writes it for `store_result = false`.
    #[tool(meta = marker())]
    async fn withheld(&self, Parameters(sin): Parameters<Sin>) -> Confessed {
        call(&WITHHELD, tool_result(), confess(self.0.clone(), sin)).await
    }
}

#[tool_handler(name = "confessional")]
impl ServerHandler for Confessional {}

/// Everything that is logged by anybody in this process.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of this process, from now on.
    fn of_everything() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self(Arc::default());
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            log
        })
        .clone()
    }

    /// What we logged ourselves: the SDK shows every message of its protocol, which is not ours to hide.
    fn of_ours(&self) -> String {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(" smart_async")).collect::<Vec<_>>().join("\n")
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every byte of every file below a folder.
fn everything_in(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &everything_in(&path);
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default());
        }
    }
    text
}

async fn open(folder: &Path) -> JobManager {
    // Nobody listens to its token here.
    let jobs = JobManager::builder().folder(folder).cancel_grace(Duration::ZERO);
    jobs.server("confessional").open().await.unwrap()
}

/// A call that became a job, and has ended.
async fn confession(jobs: &JobManager, tool: &str, end: &str) -> (Client, String) {
    let gate = Gate::new();
    let client = Client::connect(Confessional(gate.clone()).with_jobs(jobs.clone())).await;
    let id = client.job(tool, json!({"end": end})).await;
    let shown = client.status(&id).await;
    assert_eq!(shown["progress"]["message"], SECRET, "{tool} {end}: its caller hears it");
    gate.open();
    jobs.wait(&[id.parse().unwrap()], WaitFor::any(), Duration::MAX).await.unwrap();
    (client, id)
}

const ENDS: [&str; 6] = ["text", "object", "blocks", "error", "refusal", "panic"];

#[tokio::test]
async fn a_redacted_tool_is_heard_by_its_caller_and_by_no_disk_and_no_log() {
    let log = Log::of_everything();
    let folder = TempDir::new().unwrap();
    let jobs = open(folder.path()).await;
    for end in ENDS {
        let (client, id) = confession(&jobs, "redacted", end).await;
        let detail = json!({"job_id": id, "detail": true});
        let shown = client.ask("job_status", detail).await.to_string();
        assert!(shown.contains("again hush-hush"), "{end}: {shown}");
        let result = client.call("job_result", json!({"job_id": id})).await;
        let result = serde_json::to_string(&result).unwrap();
        assert!(result.contains(SECRET), "{end}: {result}");
        let whole = jobs.status(id.parse().unwrap()).await.unwrap();
        assert_eq!(whole.result_location, ResultLocation::InRecord, "{end}");
    }
    // Progress has its turn every quarter of a second.
    let gate = Gate::new();
    let client = Client::connect(Confessional(gate.clone()).with_jobs(jobs.clone())).await;
    let id = client.job("redacted", json!({"end": "never"})).await;
    gate.open();
    let stored = async |id: &str| {
        let job = jobs.store().get(id.parse().unwrap()).await.unwrap().unwrap();
        job.progress.as_ref().unwrap().clone()
    };
    while stored(&id).await.current < 2.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stored(&id).await.percentage, Some(50.0), "the figures are kept");
    client.ask("cancel_job", json!({"job_id": id})).await;
    let shown = client.status(&id).await;
    assert_eq!(shown["progress"]["message"], "again hush-hush");

    jobs.shutdown().await.unwrap();
    let written = everything_in(folder.path());
    assert!(written.contains("\"result_withheld\":true") && !written.contains(SECRET), "{written}");
    let logged = log.of_ours();
    assert!(logged.contains("job changed") && !logged.contains(SECRET), "{logged}");
}

#[tokio::test]
async fn a_redacted_panic_within_its_budget_is_the_callers_and_not_the_logs() {
    let log = Log::of_everything();
    let jobs = JobManager::in_memory();
    let client = Client::connect(Confessional(Gate::new()).with_jobs(jobs)).await;
    let arguments = json!({"end": "panic", "inline": true});
    let complaint = client.complaint("redacted", arguments.clone()).await;
    assert!(complaint.contains(SECRET), "{complaint}");
    let logged = log.of_ours();
    assert!(logged.contains("redacted panicked") && !logged.contains(SECRET), "{logged}");
}

#[tokio::test]
async fn a_withheld_result_is_in_memory_and_its_error_on_disk() {
    let folder = TempDir::new().unwrap();
    let jobs = open(folder.path()).await;
    for end in ["text", "object", "blocks"] {
        let (client, id) = confession(&jobs, "withheld", end).await;
        let result = client.call("job_result", json!({"job_id": id})).await;
        assert!(serde_json::to_string(&result).unwrap().contains(SECRET), "{end}");
        let stored = jobs.store().get_with_result(id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(stored.result_location, ResultLocation::InMemory);
        let stored = stored.to_json();
        for gone in ["result", "tool_result", "metadata"] {
            assert_eq!(stored.get(gone), None, "{end}: {gone}");
        }
    }
    let (_, id) = confession(&jobs, "withheld", "error").await;
    let stored = jobs.store().get(id.parse().unwrap()).await.unwrap().unwrap().to_json();
    assert_eq!(
        (&stored["error"], &stored["error_kind"], &stored["error_code"]),
        (&json!(SECRET), &json!("error"), &json!(-32602))
    );
    assert_eq!(stored.get("error_details"), None);
    assert!(!folder.path().join("results").exists(), "not in a file of its own either");
}

#[tokio::test]
async fn who_asks_elsewhere_or_later_is_told_in_words() {
    let folder = TempDir::new().unwrap();
    let jobs = open(folder.path()).await;
    let (_, text) = confession(&jobs, "withheld", "object").await;
    let (_, error) = confession(&jobs, "redacted", "error").await;
    let elsewhere = open(folder.path()).await;
    let client = Client::connect(Confessional(Gate::new()).with_jobs(elsewhere.clone())).await;
    for later in [false, true] {
        if later {
            jobs.shutdown().await.unwrap();
        }
        let complaint = client.complaint("job_result", json!({"job_id": text})).await;
        assert!(complaint.contains("the result was not kept on disk"), "{complaint}");
        let shown = client.status(&text).await;
        assert_eq!((shown.get("result"), &shown["status"]), (None, &json!("completed")));
        let note = shown["result_note"].as_str().unwrap();
        assert!(note.contains("the result was not kept on disk"), "{note}");
        let gone = elsewhere.result(text.parse().unwrap()).await.unwrap_err();
        assert!(matches!(gone, Error::ResultGone { .. }), "{gone}");

        let shown = client.status(&error).await;
        assert_eq!((&shown["error_kind"], &shown["error_code"]), (&json!("error"), &json!(-32602)));
        let complaint = client.complaint("job_result", json!({"job_id": error})).await;
        assert!(complaint.contains("the error's text is not kept on disk"), "{complaint}");
    }
}

#[tokio::test]
async fn what_is_kept_in_memory_goes_with_its_job() {
    let jobs = JobManager::in_memory();
    let (client, id) = confession(&jobs, "redacted", "text").await;
    assert_eq!(jobs.prune(Prune::default()).await.unwrap().removed, 1);
    let complaint = client.complaint("job_result", json!({"job_id": id})).await;
    assert!(complaint.contains("not found"), "{complaint}");
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 0);
}

/// A tool's own label is what people find the job by.
#[tokio::test]
async fn the_callers_label_is_kept() {
    let jobs = JobManager::in_memory();
    let gate = Gate::new();
    let client = Client::connect(Confessional(gate.clone()).with_jobs(jobs.clone())).await;
    let order = json!({"end": "text", "job_label": "on monday"});
    let id = client.job("redacted", order).await;
    gate.open();
    jobs.wait(&[id.parse().unwrap()], WaitFor::any(), Duration::MAX).await.unwrap();
    let stored = jobs.store().get(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.spec.label, "on monday");
    match &stored.state {
        JobState::Completed { output, .. } => assert_eq!(output.result, Value::Null),
        other => panic!("{other:?}"),
    }
}
