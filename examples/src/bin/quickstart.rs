//! The smallest whole server with jobs: one slow tool, served over stdio.
//!
//! Give it to any MCP client, or try it by hand as the README shows:
//!
//! ```console
//! cargo run -p smart-async-examples --bin quickstart
//! ```
//!
//! `count` with `{"to": 3}` answers inline. With `{"to": 60}` its budget of 20 seconds ends first, so the caller gets a
//! ticket and follows the job with `wait_job`. `COUNT_TIMEOUT=2` sets the budget to 2 seconds.

use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_async::transport::stdio;
use smart_async::{JobManager, WithJobs, smart_async};

/// The server. It must be `Clone + Send + Sync + 'static`, since the work of a call can outlive the call.
#[derive(Debug, Clone)]
struct Counter;

/// Arguments of `count`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Count {
    /// How far to count; one step takes one second.
    to: u64,
}

/// Result of `count`.
#[derive(Debug, Serialize, JsonSchema)]
struct Counted {
    counted: u64,
}

#[tool_router]
impl Counter {
    /// Count, one step a second.
    #[smart_async(timeout_env = "COUNT_TIMEOUT", default = 20)]
    #[tool]
    async fn count(&self, Parameters(Count { to }): Parameters<Count>) -> Json<Counted> {
        let progress = smart_async::progress();
        for number in 1..=to {
            tokio::time::sleep(Duration::from_secs(1)).await; // the work
            progress.report(number, to, format!("counted {number} of {to}"));
        }
        Json(Counted { counted: to })
    }
}

#[tool_handler(name = "counter")]
impl ServerHandler for Counter {}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let jobs = JobManager::open().await?; // ~/.job_mcp, or the folder that JOB_MCP_HOME names
    Counter.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    jobs.shutdown().await?; // lets jobs end for 2 seconds, and writes down the rest
    Ok(())
}
