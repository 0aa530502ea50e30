//! A server over stdin and stdout, so that a test sees what stands there and on its stderr.
//!
//! `stdio_server <plain|tools|jobs>`: without `.with_jobs`, the same with the job tools in its router, and with `.with_jobs`.

use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::{ServerHandler, ServiceExt, tool, tool_handler, tool_router};
use smart_async::{JobManager, WithJobs, job_tools, smart_async};

#[derive(Clone)]
struct Plain {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Plain {
    #[smart_async]
    #[tool]
    async fn quick(&self) -> String {
        "done".to_owned()
    }

    #[smart_async(default = "50ms")]
    #[tool]
    async fn slow(&self) -> String {
        tokio::time::sleep(Duration::from_secs(60)).await;
        "done".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Plain {}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let jobs = JobManager::builder().server("plain").in_memory();
    jobs.clone().make_global().expect("there is no other manager");
    let way = std::env::args().nth(1).unwrap_or_default();
    let mut tool_router = Plain::tool_router();
    if way == "tools" {
        tool_router.merge(job_tools());
    }
    let plain = Plain { tool_router };
    if way == "jobs" {
        let serving = plain.with_jobs(jobs.clone()).serve(smart_async::transport::stdio());
        let _ = serving.await.expect("the client begins").waiting().await;
    } else {
        let serving = plain.serve(smart_async::transport::stdio());
        let _ = serving.await.expect("the client begins").waiting().await;
    }
    jobs.shutdown().await.expect("memory can be written");
}
