//! Fixtures of the Tasks extension, with those of its tasks that ask something.

use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::InputResponses;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResponse;
use rmcp::{ErrorData, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::{ask_for, smart_async};

use super::Fixtures;
use super::own_rounds::{answer, ask, name_form};

/// Arguments of `greet`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Greet {
    name: String,
}

/// Arguments of `slow_compute`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SlowCompute {
    /// How long it takes.
    seconds: u64,
    /// A label that the suite gives.
    label: Option<String>,
}

/// Arguments of `confirm_delete`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Delete {
    filename: String,
}

/// A confirmation.
#[derive(Debug, Deserialize, JsonSchema)]
struct Confirmation {
    confirm: bool,
}

/// A name.
#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

#[tool_router(router = task_router)]
impl Fixtures {
    /// Greet; never a task.
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

    /// Fail as a tool fails, after a second; always a task, and refused to clients without tasks.
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

    /// Ask before something is deleted; a task as soon as it asks.
    #[smart_async]
    #[tool]
    async fn confirm_delete(
        &self,
        Parameters(Delete { filename }): Parameters<Delete>,
    ) -> Result<String, ErrorData> {
        Ok(if confirmed(format!("Delete {filename}?")).await? {
            format!("deleted {filename}")
        } else {
            format!("kept {filename}")
        })
    }

    /// Ask two things at once.
    #[smart_async]
    #[tool]
    async fn multi_input(&self) -> Result<String, ErrorData> {
        let (confirmed, name) = tokio::try_join!(confirmed("Go on?".to_owned()), name())?;
        Ok(format!("{name} says {}", if confirmed { "yes" } else { "no" }))
    }

    /// Ask with the answer to the call, and take its time when the answer came: no task at first, and one then.
    #[smart_async(default = 0.5, task_required)]
    #[tool]
    async fn test_tool_with_task(
        &self,
        InputResponses(answers): InputResponses,
    ) -> Result<CallToolResponse, ErrorData> {
        let answers = answers.unwrap_or_default();
        let name = answers.get("user_name").and_then(|said| said.pointer("/content/name"));
        let Some(name) = name.and_then(Value::as_str) else {
            return ask(json!({"user_name": name_form()}), Some("asked for a name"));
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(answer(format!("Hello, {name}!")))
    }

    pub(super) fn task_tools() -> ToolRouter<Self> {
        Self::task_router()
    }
}

async fn confirmed(question: String) -> Result<bool, ErrorData> {
    let answer = ask_for("confirm", question).await?;
    Ok(answer.accepted().is_some_and(|Confirmation { confirm }| confirm))
}

async fn name() -> Result<String, ErrorData> {
    let answer = ask_for("name", "What is your name?").await?;
    Ok(answer.accepted().map_or_else(|| "no name".to_owned(), |Name { name }| name))
}
