//! What the work of a method keeps of its server: that very server where it is wrapped, a clone anywhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_tests::Client;

/// A server that counts how often it is cloned. A clone has made nothing yet.
struct Counting {
    tool_router: ToolRouter<Self>,
    clones: Arc<AtomicUsize>,
    made: AtomicUsize,
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self {
            tool_router: self.tool_router.clone(),
            clones: Arc::clone(&self.clones),
            made: AtomicUsize::new(0),
        }
    }
}

#[tool_router]
impl Counting {
    fn new() -> Self {
        let (clones, made) = (Arc::default(), AtomicUsize::new(0));
        Self { tool_router: Self::tool_router(), clones, made }
    }

    /// Makes one more, and says how many there are.
    #[smart_async]
    #[tool]
    async fn make(&self) -> String {
        (self.made.fetch_add(1, Ordering::SeqCst) + 1).to_string()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Counting {}

#[tokio::test(start_paused = true)]
async fn work_keeps_the_wrapped_server_itself() {
    let server = Counting::new();
    let clones = Arc::clone(&server.clones);
    let client = Client::connect(server.with_jobs(JobManager::in_memory())).await;
    for made in ["1", "2"] {
        let answer = client.call("make", json!({})).await;
        assert_eq!(answer.content[0].as_text().unwrap().text, made);
    }
    assert_eq!(clones.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn work_that_nobody_wraps_keeps_a_clone() {
    let server = Counting::new();
    for _ in 0..2 {
        assert_eq!(server.make().await.into_inline().unwrap(), "1");
    }
    assert_eq!(server.clones.load(Ordering::SeqCst), 2);
}
