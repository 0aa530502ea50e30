//! Fixtures of prompts. `JobServer` passes them on unchanged. One prompt asks its client something, so this file handles
//! `prompts/get` itself: the SDK's router drops the answers.

#![expect(missing_docs, reason = "what the SDK's macro adds is public and has none")]

use rmcp::handler::server::prompt::PromptContext;
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CacheScope, ContentBlock, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    InputRequiredResult, ListPromptsResult, PromptMessage, Role,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, prompt, prompt_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Fixtures;
use super::questions::read;
use super::tools::{PNG, resource};

/// The prompt that asks.
const ASKS: &str = "test_input_required_result_prompt";

/// Two words.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Two {
    /// First test argument
    arg1: String,
    /// Second test argument
    arg2: String,
}

/// Arguments of the prompt with a resource.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Embedded {
    /// URI of the resource to embed
    resource_uri: String,
}

#[prompt_router(router = "prompts_router")]
impl Fixtures {
    /// A prompt of text.
    #[prompt]
    async fn test_simple_prompt(&self) -> Vec<PromptMessage> {
        vec![text("This is a simple prompt for testing.")]
    }

    /// A prompt with two arguments.
    #[prompt]
    async fn test_prompt_with_arguments(
        &self,
        Parameters(Two { arg1, arg2 }): Parameters<Two>,
    ) -> Vec<PromptMessage> {
        vec![text(&format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]
    }

    /// A prompt with a resource.
    #[prompt]
    async fn test_prompt_with_embedded_resource(
        &self,
        Parameters(Embedded { resource_uri }): Parameters<Embedded>,
    ) -> Vec<PromptMessage> {
        let content = "Embedded resource content for testing.";
        let embedded = resource(&resource_uri, "text/plain", content);
        vec![
            PromptMessage::new(Role::User, embedded),
            text("Please process the embedded resource above."),
        ]
    }

    /// A prompt with an image.
    #[prompt]
    async fn test_prompt_with_image(&self) -> Vec<PromptMessage> {
        let image = ContentBlock::image(PNG, "image/png");
        vec![PromptMessage::new(Role::User, image), text("Please analyze the image above.")]
    }

    /// A prompt that asks what it is for.
    #[prompt]
    async fn test_input_required_result_prompt(&self) -> Result<InputRequiredResult, ErrorData> {
        let schema = json!({
            "type": "object",
            "properties": {"context": {"type": "string"}},
            "required": ["context"]
        });
        let message = "What context should the prompt use?";
        let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
        let request = json!({"method": "elicitation/create", "params": params});
        Ok(InputRequiredResult::from_input_requests(read(json!({"user_context": request}))?))
    }
}

impl Fixtures {
    pub(super) fn prompts() -> PromptRouter<Self> {
        Self::prompts_router()
    }

    pub(super) fn all_prompts(&self, context: &RequestContext<RoleServer>) -> ListPromptsResult {
        let mut list = ListPromptsResult::with_all_items(self.prompts.list_all());
        if context.protocol_version().is_some_and(|version| !version.has_initialize()) {
            list.ttl_ms = Some(0);
            list.cache_scope = Some(CacheScope::Public);
        }
        list
    }

    pub(super) async fn prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let answers = request.input_responses.as_ref().filter(|_| request.name == ASKS);
        let said =
            answers.and_then(|answers| answers.get("user_context")?.pointer("/content/context"));
        if let Some(said) = said.and_then(Value::as_str) {
            let prompt = vec![text(&format!("The context is: {said}"))];
            return Ok(GetPromptResult::new(prompt).into());
        }
        let context = PromptContext::new(self, request.name, request.arguments, context);
        self.prompts.get_prompt(context).await
    }
}

fn text(text: &str) -> PromptMessage {
    PromptMessage::new_text(Role::User, text)
}
