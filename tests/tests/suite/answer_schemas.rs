//! Each answer of an annotated tool, also one that the library makes up in the tool's place, fits the schema that the list shows:
//! clients drop an answer that does not.

use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smart_async::{JobManager, smart_async};
use smart_async_tests::{FaultyStore, Fixture};

#[derive(Serialize, JsonSchema)]
struct Count {
    counted: u32,
}

#[derive(Deserialize, JsonSchema)]
struct To {
    to: u32,
}

/// Annotated tools, each with a schema of its own result that no error fits.
#[derive(Clone)]
struct Counters;

#[tool_router]
impl Counters {
    #[smart_async(default = 1)]
    #[tool]
    async fn count(&self, Parameters(To { to }): Parameters<To>) -> Json<Count> {
        for _ in 0..to {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Json(Count { counted: to })
    }

    #[smart_async(default = 5)]
    #[tool]
    async fn panics(&self) -> Json<Count> {
        panic!("at 1")
    }

    #[smart_async(deadline = 1)]
    #[tool]
    async fn too_slow(&self) -> Json<Count> {
        std::future::pending().await
    }

    #[smart_async(always_job)]
    #[tool]
    async fn always_job(&self) -> Json<Count> {
        Json(Count { counted: 0 })
    }
}

#[tool_handler]
impl ServerHandler for Counters {}

#[tokio::test(start_paused = true)]
async fn each_answer_fits_the_schema_that_the_list_shows() {
    let store = FaultyStore::working();
    let manager = JobManager::builder().with_store(store.clone());
    let fixture = Fixture::serve(Counters, manager).await;
    let tools = fixture.client.tools().await;
    let answer = async |tool: &str, arguments: Value| {
        let result = fixture.client.call(tool, arguments).await;
        let structured = result.structured_content.expect("an answer with structured content");
        let listed = tools.iter().find(|listed| listed.name == tool).expect("a tool of the list");
        let schema = json!(listed.output_schema);
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let faults: Vec<_> = validator.iter_errors(&structured).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{tool} answers {structured}, which does not fit: {faults:?}");
        structured
    };

    assert_eq!(answer("count", json!({"to": 0})).await["counted"], 0);
    assert_eq!(answer("count", json!({"to": 3})).await["status"], "running");
    assert_eq!(answer("count", json!({"to": 1, "async_mode": true})).await["status"], "pending");
    for (tool, arguments, kind) in [
        ("panics", json!({}), json!("panic")),
        ("too_slow", json!({}), json!("deadline")),
        ("count", json!({"to": 1, "async_mode": "perhaps"}), Value::Null),
        ("count", json!({"to": 1, "job_label": "a\nb"}), Value::Null),
    ] {
        let answer = answer(tool, arguments).await;
        assert!(answer["error"].is_string(), "{answer}");
        assert_eq!(answer["error_kind"], kind);
    }
    store.set_broken(true);
    for (tool, arguments) in
        [("count", json!({"to": 1, "async_mode": true})), ("always_job", json!({}))]
    {
        assert_eq!(answer(tool, arguments).await["error_kind"], "not_durable");
    }
    store.set_broken(false);
    fixture.jobs.shutdown().await.unwrap();
    assert_eq!(answer("count", json!({"to": 1})).await["error_kind"], "stopping");
}
