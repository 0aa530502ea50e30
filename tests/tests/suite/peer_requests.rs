//! What a body asks of its own peer while its call is open: elicitation, in the protocols up to 2025-11-25. Over HTTP this is
//! proved with the examples.

use rmcp::model::{ClientResult, ElicitRequest, ServerRequest};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_tests::Wire;

/// A server that wants to know whom it serves.
#[derive(Debug, Clone)]
struct Porter;

#[tool_router]
impl Porter {
    #[smart_async]
    #[tool]
    async fn ask(&self, context: RequestContext<RoleServer>) -> String {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let question = json!({"mode": "form", "message": "Who is it?", "requestedSchema": schema});
        let question = ElicitRequest::new(serde_json::from_value(question).unwrap());
        match context.peer.send_request(ServerRequest::ElicitRequest(question)).await {
            Ok(ClientResult::ElicitResult(said)) => format!("{:?}", said.action),
            other => format!("{other:?}"),
        }
    }
}

#[tool_handler]
impl ServerHandler for Porter {}

/// The server with its tool `ask`.
pub(crate) fn server() -> impl ServerHandler {
    Porter.with_jobs(JobManager::in_memory())
}

#[tokio::test(start_paused = true)]
async fn a_question_of_a_body_reaches_its_client_on_stdio() {
    let mut wire = Wire::initialize(server(), json!({"elicitation": {}})).await;
    let call = wire.request("tools/call", json!({"name": "ask", "arguments": {}})).await;
    let question = wire.noted().await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    wire.respond(&question, json!({"action": "decline"})).await;
    let answer = wire.answer(call).await;
    assert_eq!(answer["result"]["content"][0]["text"], "Decline");
}

/// The protocol has no such requests any more; what the SDK says of that is the body's to tell.
#[tokio::test(start_paused = true)]
async fn a_client_of_2026_07_28_is_not_asked() {
    let mut wire = Wire::discover(server(), json!({"elicitation": {}})).await;
    let answer = wire.call("ask", json!({})).await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Err("), "{answer}");
}
