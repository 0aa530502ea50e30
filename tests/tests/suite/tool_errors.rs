//! The errors of tools through a real client: `ToolError` takes every error that can be displayed, and a model reads it in band.

use std::error::Error;
use std::fmt;

use rmcp::model::CallToolResult;
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use smart_async::{JobManager, ToolError, WithJobs, smart_async};
use smart_async_tests::{Client, Wire};

#[derive(Clone)]
struct Failing;

#[derive(Debug)]
struct Meltdown;

impl fmt::Display for Meltdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the core melts")
    }
}

impl Error for Meltdown {}

fn chain() -> anyhow::Result<()> {
    Err(anyhow::Error::new(Meltdown).context("failed to cool"))
}

fn boxed() -> Result<(), Box<dyn Error>> {
    Err(Box::new(Meltdown))
}

/// Several tools may call it, so that it has their error.
#[smart_async]
async fn cool() -> Result<String, ToolError> {
    Err(Meltdown.into())
}

#[tool_router]
impl Failing {
    #[smart_async(default = 20)]
    #[tool]
    async fn chained(&self) -> Result<String, ToolError> {
        chain()?;
        Ok("cooled".to_owned())
    }

    #[smart_async(default = 20)]
    #[tool]
    async fn own(&self) -> Result<CallToolResult, ToolError> {
        Err(Meltdown)?
    }

    #[smart_async(blocking, default = 20)]
    #[tool]
    fn boxed(&self) -> Result<String, ToolError> {
        boxed()?;
        Ok("cooled".to_owned())
    }

    #[smart_async(default = 20)]
    #[tool]
    async fn io() -> Result<String, ToolError> {
        Ok(std::fs::read_to_string("/no/such/file")?)
    }

    #[smart_async(default = 20)]
    #[tool]
    async fn text(&self) -> Result<String, ToolError> {
        Err("no rods".into())
    }

    /// It fails with the error of a function that is no tool.
    #[smart_async(default = 20)]
    #[tool]
    async fn inner(&self) -> Result<String, ToolError> {
        cool().await.into_inline().map_err(ToolError::from)?
    }

    #[smart_async(default = 20)]
    #[tool]
    async fn protocol(&self) -> Result<String, ToolError> {
        Err(ErrorData::invalid_params("no such day", Some(json!({"day": 32}))))?
    }
}

#[tool_handler]
impl ServerHandler for Failing {}

#[tokio::test]
async fn every_error_that_can_be_displayed_reaches_the_model_as_text() {
    let client = Client::connect(Failing.with_jobs(JobManager::in_memory())).await;
    let said = [
        ("chained", "failed to cool: the core melts"),
        ("own", "the core melts"),
        ("boxed", "the core melts"),
        ("io", "No such file or directory (os error 2)"),
        ("text", "no rods"),
        ("inner", "the core melts"),
    ];
    for (tool, text) in said {
        let inline = client.call(tool, json!({})).await;
        assert_eq!(inline.is_error, Some(true), "{tool}");
        assert_eq!(inline.content[0].as_text().unwrap().text, text, "{tool}");

        let job = client.job(tool, json!({"async_mode": true})).await;
        let ended = client.ask("wait_job", json!({"job_ids": [job]})).await;
        assert_eq!(ended["jobs"][0]["status"], "failed", "{ended}");
        assert_eq!(ended["jobs"][0]["error"], text, "{ended}");
    }
}

#[tokio::test]
async fn an_error_of_the_protocol_stays_one() {
    let server = Failing.with_jobs(JobManager::in_memory());
    let mut wire = Wire::discover(server, json!({})).await;
    let answer = wire.ask("tools/call", json!({"name": "protocol", "arguments": {}})).await;
    let expected = json!({"code": -32602, "message": "no such day", "data": {"day": 32}});
    assert_eq!(answer["error"], expected, "{answer}");
}

#[test]
fn an_error_shows_its_text_in_a_unit_test() {
    let error = ToolError::from(Meltdown);
    assert_eq!(error.message(), "the core melts");
    assert_eq!(format!("{error:?}"), "ToolError(\"the core melts\")");
    assert_eq!(ToolError::from(ErrorData::internal_error("down", None)).message(), "down");
}
