//! A server whose work waits for a signal, and begins other work.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use smart_async::job::JobOutput;
use smart_async::manager::job_fn;
use smart_async::{JobManager, JobRequest, Reply, smart_async};
use smart_async_tests::Gate;

/// The server. Clones are the same shop.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    pub(crate) gate: Gate,
    jobs: JobManager,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Order {
    what: String,
}

#[smart_async(always_job)]
async fn polish() -> String {
    "polished".to_owned()
}

impl Shop {
    pub(crate) fn new(jobs: JobManager) -> Self {
        Self { gate: Gate::new(), jobs }
    }

    async fn work(&self, what: String) -> String {
        self.gate.arrive();
        tokio::select! {
            () = self.gate.opened() => {}
            () = smart_async::cancelled() => {}
        }
        what
    }

    async fn submit(&self) -> String {
        let work = job_fn(async |_| Ok(JobOutput::new("delivered")));
        self.jobs.submit(JobRequest::new("deliver"), work).await.unwrap().to_string()
    }
}

#[tool_router]
impl Shop {
    #[smart_async(always_job)]
    #[tool]
    async fn make_later(&self, Parameters(order): Parameters<Order>) -> String {
        self.work(order.what).await
    }

    #[smart_async(default = 60)]
    #[tool]
    async fn make(&self, Parameters(order): Parameters<Order>) -> String {
        self.work(order.what).await
    }

    #[smart_async(default = 60, on_disconnect = "cancel")]
    #[tool]
    async fn make_while_watched(&self, Parameters(order): Parameters<Order>) -> String {
        self.work(order.what).await
    }

    #[smart_async(always_job, coalesce, restart = "rerun")]
    #[tool]
    async fn make_for_all(&self, Parameters(order): Parameters<Order>) -> String {
        self.work(order.what).await
    }

    #[smart_async(always_job, idempotent = "1h")]
    #[tool]
    async fn order(&self, Parameters(order): Parameters<Order>) -> String {
        self.work(order.what).await
    }

    /// Asks for a name.
    #[smart_async(always_job)]
    #[tool]
    async fn engrave(&self) -> String {
        match smart_async::ask_for::<Order>("name", "Whose name?").await {
            Ok(answer) => {
                answer.accepted().map_or_else(|| "without a name".into(), |said| said.what)
            }
            Err(error) => error.to_string(),
        }
    }

    /// Begins a job of its own, and says which.
    #[smart_async(default = 60)]
    #[tool]
    async fn order_delivery(&self) -> String {
        self.submit().await
    }

    /// As `order_delivery`, but no annotated tool.
    #[tool]
    async fn order_pickup(&self) -> String {
        self.submit().await
    }

    /// As `order_delivery`, but no annotated tool: it calls an annotated function.
    #[tool]
    async fn order_polish(&self) -> String {
        match polish().await {
            Reply::Job(ticket) => ticket.job_id.to_string(),
            other => format!("{other:?}"),
        }
    }
}

#[tool_handler(name = "shop")]
impl ServerHandler for Shop {}
