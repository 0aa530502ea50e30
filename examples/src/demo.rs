//! The demo server's tools: one plain, and annotated ones of every kind.

use std::time::{Duration, Instant};

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ErrorData, Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_async::smart_async;

/// The demo server. It has no state; a server that has keeps it behind an `Arc`.
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

/// How to count.
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

/// How far the count came.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counted {
    counted: u64,
}

/// How long to compute.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Crunch {
    /// Milliseconds of computing without a pause.
    ms: u64,
}

/// What to note.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Note {
    text: String,
}

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
}

#[tool_handler(
    name = "demo",
    instructions = "Tools that count and compute, to show how long-running work goes on."
)]
impl ServerHandler for Demo {}
