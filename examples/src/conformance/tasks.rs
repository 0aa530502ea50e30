//! Fixtures of the Tasks extension.

use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ErrorData, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use smart_async::smart_async;

use super::Fixtures;

/// Whom to greet.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Greet {
    name: String,
}

/// What to compute.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SlowCompute {
    /// How long it takes.
    seconds: u64,
    /// What the suite calls it.
    label: Option<String>,
}

#[tool_router(router = task_router)]
impl Fixtures {
    /// Greet somebody. No task, ever.
    #[tool]
    async fn greet(&self, Parameters(Greet { name }): Parameters<Greet>) -> String {
        format!("Hello, {name}!")
    }

    /// Compute for some seconds; a task, unless it is done at once.
    #[smart_async(default = 0.25)]
    #[tool]
    async fn slow_compute(
        &self,
        Parameters(SlowCompute { seconds, label }): Parameters<SlowCompute>,
    ) -> String {
        let label = label.unwrap_or_else(|| "nothing in particular".to_owned());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => format!("computed {label}"),
            () = smart_async::cancelled() => format!("stopped computing {label}"),
        }
    }

    /// Fail as a tool fails, after a second; always a task, and for nobody who cannot take one.
    #[smart_async(always_job, task_required)]
    #[tool]
    async fn failing_job(&self) -> Result<String, String> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err("this job always fails".to_owned())
    }

    /// Fail as the protocol fails; always a task.
    #[smart_async(always_job)]
    #[tool]
    async fn protocol_error_job(&self) -> Result<String, ErrorData> {
        Err(ErrorData::internal_error("this job breaks the server's inside", None))
    }

    pub(super) fn task_tools() -> ToolRouter<Self> {
        Self::task_router()
    }
}
