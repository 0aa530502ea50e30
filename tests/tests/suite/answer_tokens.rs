//! The number of tokens that a model reads: of each answer about a job, of the job tools' definitions, and of the whole
//! conversation about a job of three minutes.
//!
//! Counted with the vocabulary `cl100k_base`. An answer is its structured content, once: its text says the same, and hosts show
//! one of the two. An id takes 17 to 30 tokens, 22.8 on average; here each counts as the 23 of [`ID`].

use std::time::Duration;

use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use smart_async::{JobManager, JobServer, WithJobs, smart_async};
use smart_async_tests::{Wire, runtime_clock};

const ID: &str = "2240ee0f-575b-4f9e-b0fc-8aad8fb35595";

/// The tokens of a text.
fn tokens(text: &str) -> usize {
    tiktoken_rs::cl100k_base_singleton().encode_ordinary(text).len()
}

/// The tokens of an answer about one job.
fn tokens_about(id: &str, answer: &Value) -> usize {
    tokens(&answer.to_string().replace(id, ID))
}

#[derive(Clone)]
struct Reactor;

#[derive(Serialize, JsonSchema)]
struct Report {
    days: u32,
}

#[tool_router]
impl Reactor {
    /// Takes three minutes.
    #[smart_async]
    #[tool]
    async fn simulate(&self) -> Json<Report> {
        for day in 1..=180 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            smart_async::progress().report(day, 180, format!("simulated day {day}"));
        }
        Json(Report { days: 180 })
    }
}

#[tool_handler(name = "reactor")]
impl ServerHandler for Reactor {}

fn server() -> JobServer<Reactor> {
    Reactor.with_jobs(JobManager::builder().clock(runtime_clock()).in_memory())
}

/// A host, as a model uses it.
struct Host {
    wire: Wire,
    /// Whether each call has a progress token.
    has_token: bool,
}

impl Host {
    async fn new(name: &'static str, has_token: bool, server: JobServer<Reactor>) -> Self {
        Self { wire: Wire::initialize_as(name, server, json!({})).await, has_token }
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut params = json!({"name": tool, "arguments": arguments});
        if self.has_token {
            params["_meta"] = json!({"progressToken": tool});
        }
        let mut answer = self.wire.ask("tools/call", params).await;
        answer["result"]["structuredContent"].take()
    }

    async fn ticket(&mut self) -> (String, Value) {
        let ticket = self.call("simulate", json!({})).await;
        (ticket["job_id"].as_str().unwrap().to_owned(), ticket)
    }

    /// A job of three minutes, from its call to its result. Returns the number of calls, and the tokens of the answers.
    async fn conversation(&mut self) -> (usize, usize) {
        let (id, ticket) = self.ticket().await;
        let (mut calls, mut read) = (1, tokens_about(&id, &ticket));
        loop {
            let answer = self.call("wait_job", json!({"job_ids": [id]})).await;
            calls += 1;
            read += tokens_about(&id, &answer);
            if answer["jobs"][0]["status"] == "completed" {
                assert_eq!(answer["jobs"][0]["result"], json!({"days": 180}));
                return (calls, read);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_answer_has_few_tokens() {
    let mut host = Host::new("somebody", true, server()).await;
    host.conversation().await;
    // From now on the usual time is known.
    let (id, ticket) = host.ticket().await;
    let at_cap = host.call("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(at_cap["stopped_by"], "cap");
    let status = host.call("job_status", json!({"job_id": id})).await;
    let running = host.call("list_jobs", json!({"limit": 1})).await["jobs"][0].take();
    let ended = loop {
        let mut answer = host.call("wait_job", json!({"job_ids": [id]})).await;
        if answer["jobs"][0]["status"] == "completed" {
            answer["jobs"][0]["result"].take();
            break answer;
        }
    };
    let row = host.call("list_jobs", json!({"limit": 1})).await["jobs"][0].take();
    let mut too_many = Vec::new();
    for (what, answer, most) in [
        ("ticket", ticket, 70),
        ("wait_job at its cap", at_cap, 85),
        ("an ended job in wait_job, beside its result", ended, 70),
        ("a row of list_jobs, ended", row, 42),
        ("a row of list_jobs, running", running, 42),
        ("job_status", status, 160),
    ] {
        let count = tokens_about(&id, &answer);
        println!("{what}: {count} tokens: {answer}");
        if count > most {
            too_many.push(format!("{what}: {count} tokens, more than {most}"));
        }
    }
    assert!(too_many.is_empty(), "{too_many:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_definitions_of_the_job_tools_have_few_tokens() {
    let mut host = Host::new("somebody", true, server()).await;
    let tools = host.wire.result("tools/list", json!({})).await;
    let (mut all, mut prune) = (0, 0);
    for tool in tools["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        if name == "simulate" {
            continue;
        }
        let shown = json!({"name": name, "description": tool["description"], "inputSchema": tool["inputSchema"]});
        let count = tokens(&shown.to_string());
        println!("the definition of {name}: {count} tokens");
        prune = prune.max(if name == "prune_jobs" { count } else { 0 });
        all += count;
    }
    println!("all definitions: {all} tokens");
    assert!(all <= 600 && prune <= 70, "{all} tokens, of which prune_jobs has {prune}");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_three_minutes_takes_few_calls_and_tokens() {
    let mut too_many = Vec::new();
    for (host, name, has_token, most_calls, most_tokens) in [
        ("an unknown host with a progress token", "somebody", true, 4, 600),
        ("a host that gives up after 60 s", "Zed", false, 4, 600),
        ("an unknown host without a progress token", "somebody", false, 9, 1000),
    ] {
        let (calls, read) = Host::new(name, has_token, server()).await.conversation().await;
        let found = format!("three minutes at {host}: {calls} calls, {read} tokens");
        println!("{found}");
        if calls > most_calls || read > most_tokens {
            too_many.push(found);
        }
    }
    assert!(too_many.is_empty(), "{too_many:#?}");
}
