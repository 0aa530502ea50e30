//! Fixtures that return the SDK's `InputRequiredResult` themselves, because they ask for more than elicitation: a sample of
//! the client's model, its roots. `#[smart_async]` passes that result on while the call is open. The client repeats the call
//! with the answers and the state, and each call is a run of its own.

use std::collections::BTreeMap;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::{InputResponses, RequestState};
use rmcp::model::{
    CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, InputRequests,
    InputRequiredResult,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, tool, tool_router};
use serde_json::{Value, json};
use smart_async::smart_async;

use super::Fixtures;
use super::questions::read;

/// The state that `test_input_required_result_multiple_inputs` sends with its questions. It holds no data, so it needs no
/// protection: the tool reads the answers anew.
const ASKED: &str = "asked for a name, a greeting and roots";

#[tool_router(router = own_rounds_router)]
impl Fixtures {
    /// Ask the client's model.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_sampling(
        &self,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answers = answers.unwrap_or_default();
        match answers.get("capital_question") {
            Some(said) => Ok(answer(sampled(said))),
            None => {
                need(&context, |client| client.sampling.is_some(), "sampling")?;
                let question = sampling("What is the capital of France?", 100);
                ask(json!({"capital_question": question}), None)
            }
        }
    }

    /// Ask for the client's roots.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_list_roots(
        &self,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answers = answers.unwrap_or_default();
        match answers.get("client_roots") {
            Some(listed) => Ok(answer(roots(listed))),
            None => {
                need(&context, |client| client.roots.is_some(), "roots")?;
                ask(json!({"client_roots": {"method": "roots/list"}}), None)
            }
        }
    }

    /// Ask the person, the model and the client at once, as far as this client can be asked.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_multiple_inputs(
        &self,
        InputResponses(answers): InputResponses,
        RequestState(state): RequestState,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let questions = questions(&context);
        match (state.as_deref(), answers) {
            (None, _) => ask(questions, Some(ASKED)),
            (Some(ASKED), Some(answers)) if all_answered(&questions, &answers) => {
                let said: Vec<_> = answers.values().map(Value::to_string).collect();
                Ok(answer(said.join(", ")))
            }
            (Some(ASKED), _) => ask(questions, Some(ASKED)),
            (Some(_), _) => Err(ErrorData::invalid_params("requestState: it is not ours", None)),
        }
    }

    /// Ask everything that this client can be asked.
    #[smart_async]
    #[tool]
    async fn test_input_required_result_capabilities(
        &self,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match answers {
            Some(answers) => Ok(answer(format!("got {} answers", answers.len()))),
            None => ask(questions(&context), None),
        }
    }

    pub(super) fn own_rounds_tools() -> ToolRouter<Self> {
        Self::own_rounds_router()
    }
}

/// Answers the call with requests to the client, and with an optional state that the client returns with its answers.
///
/// # Errors
/// If the client supports none of the requests.
pub(super) fn ask(questions: Value, state: Option<&str>) -> Result<CallToolResponse, ErrorData> {
    let questions: InputRequests = read(questions)?;
    if questions.is_empty() {
        return Ok(answer("there is nothing that this client can be asked".to_owned()));
    }
    Ok(InputRequiredResult::new(Some(questions), state.map(str::to_owned)).into())
}

pub(super) fn answer(text: String) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}

/// Returns a request that asks for a name.
pub(super) fn name_form() -> Value {
    json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": "What is your name?",
            "requestedSchema": {
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"]
            }
        }
    })
}

fn sampling(prompt: &str, tokens: u32) -> Value {
    let message = json!({"role": "user", "content": {"type": "text", "text": prompt}});
    let params = json!({"messages": [message], "maxTokens": tokens});
    json!({"method": "sampling/createMessage", "params": params})
}

/// Returns one request of each kind that this client supports.
fn questions(context: &RequestContext<RoleServer>) -> Value {
    let client = context.client_capabilities().unwrap_or_default();
    let mut questions = serde_json::Map::new();
    if client.elicitation.is_some() {
        questions.insert("user_name".to_owned(), name_form());
    }
    if client.sampling.is_some() {
        questions.insert("greeting".to_owned(), sampling("Generate a greeting", 50));
    }
    if client.roots.is_some() {
        questions.insert("client_roots".to_owned(), json!({"method": "roots/list"}));
    }
    Value::Object(questions)
}

fn all_answered(questions: &Value, answers: &BTreeMap<String, Value>) -> bool {
    let mut keys = questions.as_object().into_iter().flat_map(serde_json::Map::keys);
    keys.all(|key| answers.contains_key(key))
}

/// Returns the error for a client that lacks the needed capability.
fn need(
    context: &RequestContext<RoleServer>,
    can: impl Fn(&ClientCapabilities) -> bool,
    what: &str,
) -> Result<(), ErrorData> {
    if context.client_capabilities().as_ref().is_some_and(can) {
        return Ok(());
    }
    let needed = read(json!({(what): {}}))?;
    Err(ErrorData::missing_required_client_capability(needed))
}

/// Returns the text that the client's model answered with.
fn sampled(said: &Value) -> String {
    said.pointer("/content/text").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn roots(listed: &Value) -> String {
    let roots = listed.get("roots").and_then(Value::as_array).into_iter().flatten();
    let places = roots.filter_map(|root| root.get("uri")?.as_str());
    format!("roots: {}", places.collect::<Vec<_>>().join(", "))
}
