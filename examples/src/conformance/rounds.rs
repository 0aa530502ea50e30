//! Fixtures whose calls are answered with a question in 2026-07-28, and which the client repeats with the answer. The tools
//! do not see the difference: they ask with [`ask_for`] and go on with the answer.

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::{ErrorData, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use smart_async::{ask_for, smart_async};

use super::Fixtures;

/// A name.
#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

/// A favourite color.
#[derive(Debug, Deserialize, JsonSchema)]
struct Color {
    color: String,
}

/// A confirmation.
#[derive(Debug, Deserialize, JsonSchema)]
struct Confirmation {
    ok: bool,
}

#[tool_router(router = rounds_router)]
impl Fixtures {
    /// Ask for a name.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_elicitation(&self) -> Result<String, ErrorData> {
        Ok(format!("Hello, {}!", name("user_name", "What is your name?").await?))
    }

    /// Ask for a name, for a scenario that looks at what stands on the stream of the call.
    #[smart_async]
    #[tool]
    async fn test_streaming_elicitation(&self) -> Result<String, ErrorData> {
        Ok(format!("Hello, {}!", name("user_name", "What is your name?").await?))
    }

    /// Ask whether it is all right; the call that brings the answer has to name the work.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_request_state(&self) -> Result<String, ErrorData> {
        confirm().await?;
        Ok("state-ok".to_owned())
    }

    /// Ask whether it is all right; a call that names other work is refused.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_tampered_state(&self) -> Result<String, ErrorData> {
        confirm().await?;
        Ok("state-ok".to_owned())
    }

    /// Ask for a name, then for a color.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_multi_round(&self) -> Result<String, ErrorData> {
        let name = name("step1", "Step 1: What is your name?").await?;
        let color = ask_for("step2", "Step 2: What is your favorite color?").await?;
        Ok(match color.accepted() {
            Some(Color { color }) => format!("{name} likes {color}"),
            None => format!("{name} likes no color"),
        })
    }

    pub(super) fn rounds_tools() -> ToolRouter<Self> {
        Self::rounds_router()
    }
}

async fn name(key: &str, question: &str) -> Result<String, ErrorData> {
    let answer = ask_for(key, question).await?;
    Ok(answer.accepted().map_or_else(|| "stranger".to_owned(), |Name { name }| name))
}

async fn confirm() -> Result<(), ErrorData> {
    match ask_for("confirm", "Please confirm").await?.accepted() {
        Some(Confirmation { ok: true }) => Ok(()),
        _ => Err(ErrorData::invalid_request("it was not confirmed", None)),
    }
}
