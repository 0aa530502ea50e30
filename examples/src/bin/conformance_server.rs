//! The server for the official conformance suite: `conformance_server 127.0.0.1:PORT [--stateless]`. Its jobs are in
//! `JOB_MCP_HOME`, which has to be set, so that they do not end up among a person's own.

use anyhow::{Context, ensure};
use smart_async::{JobManager, WithJobs};
use smart_async_examples::conformance::Fixtures;
use smart_async_examples::http::{HttpOptions, serve_until_told};

const USAGE: &str = "usage: conformance_server 127.0.0.1:PORT [--stateless]";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    ensure!(
        std::env::var_os("JOB_MCP_HOME").is_some(),
        "set JOB_MCP_HOME to a folder for the jobs"
    );
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let options = HttpOptions::parse(&words).context(USAGE)?;
    let jobs = JobManager::builder().end_on_sigterm(false).open().await?;
    serve_until_told(Fixtures::new().with_jobs(jobs), options).await
}
