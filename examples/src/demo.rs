//! The demo server's tools: one plain, and annotated ones of every kind.

use std::time::{Duration, Instant};

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::ErrorCode;
use rmcp::{ErrorData, Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_async::smart_async;

/// The demo server. It has no state; a server with state keeps it behind an `Arc`.
#[derive(Debug, Clone)]
pub struct Demo;

/// Two numbers.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Add {
    a: i64,
    b: i64,
}

/// Their sum.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sum {
    sum: i64,
}

/// Arguments of `count`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Count {
    /// How far to count.
    to: u64,
    /// How long each step takes, in milliseconds.
    step_ms: u64,
    /// Fail when this number is reached.
    fail_at: Option<u64>,
    /// Panic when this number is reached.
    panic_at: Option<u64>,
}

/// Result of `count`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counted {
    counted: u64,
}

/// Arguments of `crunch`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Crunch {
    /// Milliseconds of computing without a pause.
    ms: u64,
}

/// Arguments of `note`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Note {
    text: String,
}

/// Arguments of `slow_json`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SlowJson {
    /// How long it takes, in milliseconds.
    ms: u64,
    /// About how large the answer is, in KiB; at most 16384.
    kb: u64,
}

/// The answer to `ask_name`'s question.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Name {
    /// As friends call you.
    name: String,
}

/// Rows of about 64 bytes each.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rows {
    kb: u64,
    rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Row {
    number: u64,
    text: String,
}

/// The largest answer of `slow_json`, in KiB.
const LARGEST_KB: u64 = 16 * 1024;

/// A row is 64 bytes of JSON, or a few less.
const ROWS_OF_A_KB: u64 = 16;

#[tool_router]
impl Demo {
    /// Add two numbers, without smart-async.
    #[tool]
    async fn plain_add(&self, Parameters(Add { a, b }): Parameters<Add>) -> Json<Sum> {
        Json(Sum { sum: a.wrapping_add(b) })
    }

    /// Add two numbers.
    #[smart_async]
    #[tool]
    async fn add(&self, Parameters(Add { a, b }): Parameters<Add>) -> Json<Sum> {
        Json(Sum { sum: a.wrapping_add(b) })
    }

    /// Count, slowly.
    #[smart_async(timeout_env = "DEMO_TIMEOUT", default = 1)]
    #[tool]
    async fn count(
        &self,
        Parameters(count): Parameters<Count>,
    ) -> Result<Json<Counted>, ErrorData> {
        let progress = smart_async::progress();
        for number in 1..=count.to {
            tokio::time::sleep(Duration::from_millis(count.step_ms)).await;
            if count.fail_at == Some(number) {
                return Err(ErrorData::internal_error(format!("stumbled at {number}"), None));
            }
            assert!(count.panic_at != Some(number), "lost count at {number}");
            progress.report(number, count.to, format!("counted {number} of {}", count.to));
        }
        Ok(Json(Counted { counted: count.to }))
    }

    /// Compute without a pause.
    #[smart_async(blocking, default = 1)]
    #[tool]
    fn crunch(&self, Parameters(Crunch { ms }): Parameters<Crunch>) -> String {
        let end = Instant::now() + Duration::from_millis(ms);
        let mut rounds = 0_u64;
        while Instant::now() < end && !smart_async::is_cancelled() {
            rounds = std::hint::black_box(rounds.wrapping_add(1));
        }
        format!("crunched for {ms} ms")
    }

    /// Note something.
    #[smart_async]
    #[tool]
    async fn note(&self, Parameters(Note { text }): Parameters<Note>) -> String {
        format!("noted: {text}")
    }

    /// Take some time, and answer with JSON of some size.
    #[smart_async(default = 1)]
    #[tool]
    async fn slow_json(
        &self,
        Parameters(SlowJson { ms, kb }): Parameters<SlowJson>,
    ) -> Result<Json<Rows>, ErrorData> {
        if kb > LARGEST_KB {
            let limit = format!("kb is {kb}; at most {LARGEST_KB} are made");
            return Err(ErrorData::invalid_params(limit, None));
        }
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let row = |number| Row { number, text: format!("{number:032}") };
        Ok(Json(Rows { kb, rows: (0..kb * ROWS_OF_A_KB).map(row).collect() }))
    }

    /// Ask for a name, and greet.
    #[smart_async(default = 10)]
    #[tool]
    async fn ask_name(&self) -> Result<String, ErrorData> {
        let asked = smart_async::ask_for("name", "What is your name?").await?;
        Ok(match asked.accepted() {
            Some(Name { name }) => format!("Hello, {name}!"),
            None => "Hello, stranger!".to_owned(),
        })
    }

    /// Answer with an error of the protocol.
    #[smart_async]
    #[tool]
    async fn fail_rpc(&self) -> Result<Json<Sum>, ErrorData> {
        let details = serde_json::json!({"on_purpose": true});
        Err(ErrorData::new(ErrorCode(-32050), "this tool always fails", Some(details)))
    }
}

#[tool_handler(
    name = "demo",
    instructions = "Tools that count and compute, to show how long-running work goes on."
)]
impl ServerHandler for Demo {}
