//! Fixtures that ask their client something while a call of 2025-11-25 is open: elicitation and sampling.

#![expect(deprecated, reason = "clients of 2025-11-25 are still asked to sample")]

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, ClientResult, ContentBlock, CreateMessageRequest, ElicitRequest, ServerRequest,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use smart_async::smart_async;

use super::Fixtures;

/// Arguments of the sampling fixture.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Sampling {
    prompt: String,
}

/// Arguments of the elicitation fixtures.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Elicitation {
    message: String,
}

#[tool_router(router = asking_router)]
impl Fixtures {
    /// Have the client's model answer.
    #[smart_async]
    #[tool]
    async fn test_sampling(
        &self,
        Parameters(Sampling { prompt }): Parameters<Sampling>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let content = json!({"type": "text", "text": prompt});
        let params = json!({"messages": [{"role": "user", "content": content}], "maxTokens": 100});
        let request = CreateMessageRequest::new(read(params)?);
        let said = ask(&context, ServerRequest::CreateMessageRequest(request)).await?;
        let text = said.pointer("/content/text").and_then(Value::as_str).unwrap_or_default();
        Ok(answer(format!("LLM response: {text}")))
    }

    /// Ask for a name and an address.
    #[smart_async]
    #[tool]
    async fn test_elicitation(
        &self,
        Parameters(Elicitation { message }): Parameters<Elicitation>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let properties = json!({
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"}
        });
        let said = elicit(&context, &message, properties, &["username", "email"]).await?;
        Ok(answer(format!("User response: {said}")))
    }

    /// Ask with defaults.
    #[smart_async]
    #[tool]
    async fn test_elicitation_sep1034_defaults(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let status = ["active", "inactive", "pending"];
        let properties = json!({
            "name": {"type": "string", "description": "User name", "default": "John Doe"},
            "age": {"type": "integer", "description": "User age", "default": 30},
            "score": {"type": "number", "description": "User score", "default": 95.5},
            "status": {"type": "string", "enum": status, "default": "active"},
            "verified": {"type": "boolean", "description": "Verified?", "default": true}
        });
        elicited(&context, properties).await
    }

    /// Ask with every kind of choice.
    #[smart_async]
    #[tool]
    async fn test_elicitation_sep1330_enums(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let options = ["option1", "option2", "option3"];
        let titled = |titles: [&str; 3]| {
            json!([
                {"const": "value1", "title": titles[0]},
                {"const": "value2", "title": titles[1]},
                {"const": "value3", "title": titles[2]}
            ])
        };
        let properties = json!({
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {
                "type": "string",
                "oneOf": titled(["First Option", "Second Option", "Third Option"])
            },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"]
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {
                "type": "array",
                "items": {"anyOf": titled(["First Choice", "Second Choice", "Third Choice"])}
            }
        });
        elicited(&context, properties).await
    }

    pub(super) fn asking_tools() -> ToolRouter<Self> {
        Self::asking_router()
    }
}

async fn elicited(
    context: &RequestContext<RoleServer>,
    properties: Value,
) -> Result<CallToolResult, ErrorData> {
    let said = elicit(context, "Please fill this in", properties, &[]).await?;
    let action = said.get("action").and_then(Value::as_str).unwrap_or_default();
    let content = said.get("content").unwrap_or(&Value::Null);
    Ok(answer(format!("Elicitation completed: action={action}, content={content}")))
}

async fn elicit(
    context: &RequestContext<RoleServer>,
    message: &str,
    properties: Value,
    required: &[&str],
) -> Result<Value, ErrorData> {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
    let request = ElicitRequest::new(read(params)?);
    ask(context, ServerRequest::ElicitRequest(request)).await
}

/// Sends a request to the client of the open call, and returns its answer as JSON.
async fn ask(
    context: &RequestContext<RoleServer>,
    request: ServerRequest,
) -> Result<Value, ErrorData> {
    let answered: ClientResult = context
        .peer
        .send_request(request)
        .await
        .map_err(|error| failed(&format!("failed to ask the client: {error}")))?;
    serde_json::to_value(answered).map_err(|error| failed(&error.to_string()))
}

/// Builds a value of one of the SDK's types from its JSON.
pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T, ErrorData> {
    serde_json::from_value(params).map_err(|error| failed(&error.to_string()))
}

fn failed(message: &str) -> ErrorData {
    ErrorData::internal_error(message.to_owned(), None)
}

fn answer(text: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}
