//! A server of the test's own, in its own process, for tools that the demo server does not have.

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_examples::http::{HttpOptions, HttpServer};
use tokio::sync::watch;

/// A server whose tool stops when its caller leaves.
#[derive(Debug, Clone)]
pub(crate) struct Escort {
    stopped: watch::Sender<bool>,
}

#[tool_router]
impl Escort {
    /// Goes along until it is left.
    #[smart_async(default = 60, on_disconnect = "cancel")]
    #[tool]
    async fn accompany(&self) -> String {
        for step in 1.. {
            smart_async::progress().report(step, None::<u32>, "a step");
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
                () = smart_async::cancelled() => break,
            }
        }
        self.stopped.send_replace(true);
        "left".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Escort {}

impl Escort {
    /// Serves; returns where, its manager, and what says that the work was stopped.
    pub(crate) async fn serve() -> (String, JobManager, watch::Receiver<bool>) {
        let (stopped, receiver) = watch::channel(false);
        let address = "127.0.0.1:0".parse().unwrap();
        let server = HttpServer::bind(HttpOptions { address, stateless: false, one_user: false })
            .await
            .unwrap();
        let url = server.url().unwrap();
        let jobs = JobManager::in_memory();
        let serving =
            server.serve(Self { stopped }.with_jobs(jobs.clone()), std::future::pending());
        tokio::spawn(serving);
        let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/mcp"));
        (address.unwrap().to_owned(), jobs, receiver)
    }
}
