//! The demo server's life, as `demo_server stdio` and the tour's own child live it.

use rmcp::ServiceExt;
use smart_async::transport::stdio;
use smart_async::{JobManager, WithJobs};

use crate::demo::Demo;

/// Serves [`Demo`] over stdin and stdout until stdin ends.
///
/// # Errors
/// Where the job folder cannot be used, or the connection fails.
pub async fn serve_stdio() -> anyhow::Result<()> {
    let jobs = JobManager::open().await?;
    Demo.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    jobs.shutdown().await?;
    Ok(())
}
