//! Starts and ends the demo server, for `demo_server` and for the tour's child process.

use smart_async::transport::stdio;
use smart_async::{JobManager, WithJobs};

use crate::demo::Demo;
use crate::http::{HttpOptions, serve_until_told};

/// Serves [`Demo`] over stdin and stdout until stdin ends.
///
/// # Errors
/// If the job folder cannot be used, or the connection fails.
pub async fn serve_stdio() -> anyhow::Result<()> {
    let jobs = JobManager::open().await?;
    Demo.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    jobs.shutdown().await?;
    Ok(())
}

/// Serves [`Demo`] over Streamable HTTP until SIGTERM or Ctrl-C.
///
/// # Errors
/// If the job folder or the address cannot be used.
pub async fn serve_http(options: HttpOptions) -> anyhow::Result<()> {
    let jobs = JobManager::builder().end_on_sigterm(false).open().await?;
    serve_until_told(Demo.with_jobs(jobs), options).await
}
