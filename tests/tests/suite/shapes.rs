//! Every shape that an annotated function may have compiles, runs, and answers as without the annotation.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Json, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_tests::Client;

#[derive(Debug, Deserialize, JsonSchema)]
struct Pair {
    a: i64,
    b: i64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, PartialEq)]
struct Sum {
    sum: i64,
}

trait Backend: Send + Sync + 'static {
    fn name(&self) -> String;
}

struct Quiet;

impl Backend for Quiet {
    fn name(&self) -> String {
        "quiet".to_owned()
    }
}

struct Server<B>(Arc<B>);

impl<B> Clone for Server<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[tool_router]
impl<B: Backend> Server<B>
where
    B: Sized,
{
    /// Takes its pattern apart in the signature.
    #[smart_async]
    #[tool]
    async fn pattern(&self, Parameters(Pair { a, b }): Parameters<Pair>) -> Json<Sum> {
        Json(Sum { sum: a + b })
    }

    #[doc = "Uses `?`, `return`, closures, macros and blocks."]
    #[smart_async(default = "1m30s", timeout_env = "NOBODY_SETS_THIS")]
    #[tool(title = "Control", annotations(read_only_hint = true))]
    #[allow(clippy::needless_return, reason = "that is the point")]
    async fn control(
        &self,
        Parameters(mut pair): Parameters<Pair>,
    ) -> Result<Json<Sum>, ErrorData> {
        pair.a += 1;
        let named = || self.0.name();
        let length = async { i64::try_from(format!("{}{:?}", named(), ()).len()) }
            .await
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        if pair.a > 100 {
            return Err(ErrorData::invalid_params("too much", None));
        }
        return Ok(Json(Sum { sum: pair.a + pair.b + length }));
    }

    #[smart_async]
    #[tool(name = "renamed", description = "A result as the SDK has it.")]
    async fn raw(
        &self,
        _: RequestContext<RoleServer>,
        object: JsonObject,
    ) -> Result<CallToolResult, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("{} fields", object.len()))]))
    }

    /// Returns nothing.
    #[smart_async]
    #[tool]
    async fn nothing(&self) {}

    /// Has no receiver.
    #[smart_async]
    #[tool]
    async fn associated(Parameters(Pair { a, .. }): Parameters<Pair>) -> Result<String, String> {
        let Some(half) = (a % 2 == 0).then_some(a / 2) else {
            return Err("odd".to_owned());
        };
        Ok(half.to_string())
    }

    /// Blocks, without a receiver.
    #[smart_async(blocking)]
    #[tool]
    fn associated_blocking(Parameters(Pair { a, b }): Parameters<Pair>) -> String {
        if a == 0 {
            return "nought".to_owned();
        }
        (a * b).to_string()
    }

    /// Answers with a list, which has no schema beside a ticket.
    #[smart_async]
    #[tool]
    async fn list(&self) -> Json<Vec<u8>> {
        Json(vec![1, 2, 3])
    }

    /// Answers with the same list, without the annotation.
    #[tool]
    async fn plain_list(&self) -> Json<Vec<u8>> {
        Json(vec![1, 2, 3])
    }

    /// Brings its own schema and metadata.
    #[smart_async(deadline = 60.5, on_disconnect = "keep", on_cancel = "keep")]
    #[tool(
        output_schema = rmcp::handler::server::tool::schema_for_output::<Sum>(),
        meta = rmcp::model::MetaObject::from(JsonObject::from_iter([("mine".to_owned(), json!(1))]))
    )]
    async fn own_schema(&self) -> Result<CallToolResult, ErrorData> {
        Ok(CallToolResult::structured(json!({"sum": 1})))
    }

    /// Generic, and no tool.
    #[smart_async]
    pub(crate) async fn generic<T, const N: usize>(
        &self,
        values: [T; N],
    ) -> Result<String, std::io::Error>
    where
        T: Display + Send + Sync + 'static,
    {
        Ok(values.iter().map(ToString::to_string).collect::<Vec<_>>().join(&self.0.name()))
    }
}

#[tool_handler]
impl<B: Backend> ServerHandler for Server<B> {}

/// A free function that is no tool.
#[smart_async]
async fn free<F>(make: impl FnOnce() -> F + Send + 'static, _guard: Arc<()>, _: Arc<()>) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    make().await + 1
}

#[smart_async(blocking)]
fn parse(text: String) -> Result<u64, std::num::ParseIntError> {
    let number: u64 = text.trim().parse()?;
    Ok(number)
}

async fn client() -> Client {
    Client::connect(Server(Arc::new(Quiet)).with_jobs(JobManager::in_memory())).await
}

#[tokio::test]
async fn every_shape_of_tool_answers_as_without_the_annotation() {
    let client = client().await;
    let text = async |tool: &str, arguments| {
        client
            .call(tool, arguments)
            .await
            .content
            .first()
            .map(|block| block.as_text().unwrap().text.clone())
    };
    assert_eq!(client.ask("pattern", json!({"a": 1, "b": 2})).await, json!({"sum": 3}));
    assert_eq!(client.ask("control", json!({"a": 1, "b": 2})).await, json!({"sum": 11}));
    assert_eq!(
        client.try_call("control", json!({"a": 100, "b": 2})).await.unwrap_err().message,
        "too much"
    );
    assert_eq!(text("renamed", json!({"x": 1, "y": 2})).await.unwrap(), "2 fields");
    assert_eq!(text("nothing", json!({})).await, None);
    assert_eq!(text("associated", json!({"a": 4, "b": 0})).await.unwrap(), "2");
    assert_eq!(text("associated", json!({"a": 3, "b": 0})).await.unwrap(), "odd");
    assert_eq!(text("associated_blocking", json!({"a": 3, "b": 5})).await.unwrap(), "15");
    assert_eq!(text("associated_blocking", json!({"a": 0, "b": 5})).await.unwrap(), "nought");
    assert_eq!(client.ask("own_schema", json!({})).await, json!({"sum": 1}));
}

#[tokio::test]
async fn a_result_that_is_no_object_reaches_every_client_as_from_a_plain_tool() {
    let server = || Server(Arc::new(Quiet)).with_jobs(JobManager::in_memory());
    // The SDK omits such structured content for clients of protocols before 2026-07-28.
    let clients = [
        (Client::connect(server()).await, None),
        (Client::discover(server()).await.unwrap(), Some(json!([1, 2, 3]))),
    ];
    for (client, structured) in clients {
        let annotated = client.call("list", json!({})).await;
        assert_eq!(annotated, client.call("plain_list", json!({})).await);
        assert_eq!(annotated.structured_content, structured);
        assert_eq!(annotated.content, [ContentBlock::text("[1,2,3]")]);
        let ticket = client.ask("list", json!({"async_mode": true})).await;
        client.ask("wait_job", json!({"job_ids": [ticket["job_id"]]})).await;
        let stored = client.call("job_result", json!({"job_id": ticket["job_id"]})).await;
        assert_eq!(stored.structured_content.unwrap()["result"], json!([1, 2, 3]));
        assert_eq!(stored.content, annotated.content);
    }
}

#[tokio::test]
async fn what_the_author_wrote_in_tool_stays() {
    let tools = client().await.tools().await;
    let tool = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap();
    assert_eq!(tool("control").title.as_deref(), Some("Control"));
    assert_eq!(tool("control").annotations.as_ref().unwrap().read_only_hint, Some(true));
    assert_eq!(
        tool("control").description.as_deref(),
        Some("Uses `?`, `return`, closures, macros and blocks.")
    );
    assert_eq!(tool("renamed").description.as_deref(), Some("A result as the SDK has it."));
    assert_eq!(tool("list").output_schema, None);
    let own = tool("own_schema");
    assert_eq!(own.meta.as_ref().unwrap().get("mine"), Some(&json!(1)));
    let schema = own.output_schema.as_ref().unwrap();
    assert_eq!((&schema["type"], schema["anyOf"].as_array().unwrap().len()), (&json!("object"), 3));
}

#[tokio::test]
async fn functions_that_are_no_tools_answer_inline() {
    let server = Server(Arc::new(Quiet));
    assert_eq!(server.generic([1, 2]).await.into_inline().unwrap().unwrap(), "1quiet2");
    let guard = Arc::new(());
    assert_eq!(
        free(async || 6, Arc::clone(&guard), Arc::clone(&guard)).await.into_inline().unwrap(),
        7
    );
    assert_eq!(Arc::strong_count(&guard), 1, "what was passed is dropped with the work");
    assert_eq!(parse(" 8 ".to_owned()).await.into_inline().unwrap().unwrap(), 8);
    assert!(parse("eight".to_owned()).await.into_inline().unwrap().is_err());
}
