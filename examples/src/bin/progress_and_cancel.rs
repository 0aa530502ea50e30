//! Progress and cancellation, in the three places where work happens: the body of an async tool, a task that the body
//! spawns, and a blocking function.
//!
//! ```console
//! cargo run -p smart-async-examples --bin progress_and_cancel
//! ```

use std::time::Duration;

use anyhow::Result;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use smart_async::transport::stdio;
use smart_async::{JobManager, WithJobs, smart_async};

/// The server.
#[derive(Debug, Clone)]
struct Importer;

/// Arguments of `import`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Import {
    /// How many rows to import; one row takes 20 milliseconds.
    rows: u64,
}

/// Arguments of `sum_of_squares`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Squares {
    /// The last number.
    to: u64,
}

#[tool_router]
impl Importer {
    /// Import rows.
    #[smart_async(default = "500ms")]
    #[tool]
    async fn import(&self, Parameters(Import { rows }): Parameters<Import>) -> String {
        let progress = smart_async::progress();
        progress.message("opening the database");
        for row in 1..=rows {
            // The body chooses where it stops. A body that never asks is dropped at an `.await`, 5 seconds after the
            // request to cancel.
            if smart_async::is_cancelled() {
                return format!("stopped before row {row}");
            }
            store(row).await;
            progress.report(row, rows, format!("imported row {row}"));
        }
        format!("imported {rows} rows")
    }

    /// Add the squares of all numbers up to `to`.
    // `blocking` moves a plain `fn` to a thread where it holds up no other task. Such a body cannot be dropped, so a long
    // one has to ask whether it is cancelled.
    #[smart_async(blocking, default = "500ms", deadline = "1h")]
    #[tool]
    fn sum_of_squares(&self, Parameters(Squares { to }): Parameters<Squares>) -> String {
        let mut sum = 0_u64;
        for number in 1..=to {
            if number % 1_000_000 == 0 {
                if smart_async::is_cancelled() {
                    break;
                }
                smart_async::progress().report(number, to, "adding");
            }
            sum = sum.wrapping_add(number.wrapping_mul(number));
        }
        sum.to_string()
    }
}

/// Stores one row, in a task of its own. `carry` takes the job along: without it, `progress()` and `is_cancelled()` in the
/// spawned task would know of no job.
async fn store(_row: u64) {
    let task = smart_async::carry(async {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {} // the work
            () = smart_async::cancelled() => {}
        }
    });
    tokio::spawn(task).await.ok();
}

#[tool_handler(name = "importer")]
impl ServerHandler for Importer {}

#[tokio::main]
async fn main() -> Result<()> {
    let jobs = JobManager::open().await?;
    Importer.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    Ok(jobs.shutdown().await?)
}
