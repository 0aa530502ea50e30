//! A misspelt argument of the job is noticed, and a tool's own argument is never taken for one.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::JsonObject;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_tests::Client;

#[derive(Debug, Clone)]
struct Tools;

#[derive(Deserialize, JsonSchema)]
struct Closed {
    #[serde(default)]
    what: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(default)]
    what: String,
}

/// Arguments whose names are nearly those of the job.
#[derive(Deserialize, JsonSchema)]
struct Near {
    async_model: String,
    job_table: String,
}

#[derive(Deserialize, JsonSchema)]
struct Open {
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[tool_router]
impl Tools {
    #[smart_async]
    #[tool]
    async fn closed(&self, Parameters(closed): Parameters<Closed>) -> String {
        closed.what
    }

    #[smart_async]
    #[tool]
    async fn strict(&self, Parameters(strict): Parameters<Strict>) -> String {
        strict.what
    }

    #[smart_async]
    #[tool]
    async fn none(&self) -> String {
        "none".to_owned()
    }

    #[smart_async]
    #[tool]
    async fn near(&self, Parameters(near): Parameters<Near>) -> String {
        near.async_model + &near.job_table
    }

    #[smart_async]
    #[tool]
    async fn open(&self, Parameters(open): Parameters<Open>) -> String {
        Value::Object(open.rest).to_string()
    }

    #[smart_async]
    #[tool]
    async fn any(&self, Parameters(any): Parameters<JsonObject>) -> String {
        Value::Object(any).to_string()
    }
}

#[tool_handler]
impl ServerHandler for Tools {}

async fn connected(groups: bool) -> Client {
    let server = Tools.with_jobs(JobManager::in_memory());
    Client::connect(if groups { server.group_jobs() } else { server }).await
}

#[tokio::test]
async fn a_misspelt_argument_is_refused_with_its_right_name() {
    let client = connected(true).await;
    for (given, meant) in [
        ("asyncmod", "async_mode"),
        ("async_mod", "async_mode"),
        ("asynch_mode", "async_mode"),
        ("aysnc_mode", "async_mode"),
        ("async", "async_mode"),
        ("run_async", "async_mode"),
        ("job_lable", "job_label"),
        ("jobs_label", "job_label"),
        ("job_tag", "job_tags"),
        ("job_sesion", "job_session"),
    ] {
        for tool in ["closed", "strict", "none"] {
            let complaint = client.complaint(tool, json!({given: true})).await;
            let expected = format!("call again with {meant}, or without it");
            assert!(complaint.starts_with(given) && complaint.ends_with(&expected), "{complaint}");
        }
        let near = json!({"async_model": "a", "job_table": "b", given: true});
        assert!(client.complaint("near", near).await.contains(meant));
    }
}

#[tokio::test]
async fn an_argument_of_the_tool_is_never_refused() {
    let client = connected(true).await;
    let near = client.call("near", json!({"async_model": "a", "job_table": "b"})).await;
    assert_eq!(near.content[0].as_text().unwrap().text, "ab");
    let rest = json!({"asyncmod": 1, "job_lable": 2, "async": 3});
    for tool in ["open", "any"] {
        let answer = client.call(tool, rest.clone()).await;
        let given: Value =
            serde_json::from_str(&answer.content[0].as_text().unwrap().text).unwrap();
        assert_eq!(given, rest, "{tool} takes any names");
    }
    for far in ["mode", "label", "job_id", "sync"] {
        let answer = client.call("closed", json!({"what": "x", far: 1})).await;
        assert_eq!(answer.content[0].as_text().unwrap().text, "x", "{far}");
    }
}

#[tokio::test]
async fn only_arguments_that_the_server_takes_are_meant() {
    let client = connected(false).await;
    let answer = client.call("closed", json!({"what": "x", "job_tag": 1, "job_sesion": 2})).await;
    assert_eq!(answer.content[0].as_text().unwrap().text, "x");
}
