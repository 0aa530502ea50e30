//! A demo server in a process of its own, and a real client that is connected to it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// The argument that makes the tour's executable the demo server.
pub const SERVE: &str = "--serve";

/// Variables that would change the tour if the child inherited them.
const NOT_INHERITED: [&str; 3] =
    ["DEMO_TIMEOUT", "SMART_ASYNC_TIMEOUT_SECONDS", "SMART_ASYNC_WAIT_SECONDS"];

/// How long one answer may take. No step of the tour comes near it.
const PATIENCE: Duration = Duration::from_secs(20);

const HINT: &str = "SMART_ASYNC_DEBUG=true shows the server's messages";

/// A running demo server and the connection to it.
#[derive(Debug)]
pub struct Session {
    client: RunningService<RoleClient, ()>,
}

/// A tool's answer, and how long it took.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub result: CallToolResult,
    /// How long it took.
    pub took: Duration,
}

impl Session {
    /// Starts this executable as the demo server, with its jobs in `folder`.
    ///
    /// # Errors
    /// If the server cannot be started, or does not answer.
    pub async fn start(folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("failed to find the tour's executable")?;
        let mut command = Command::new(program);
        command.arg(SERVE).env("JOB_MCP_HOME", folder);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        let stderr = match std::env::var_os("SMART_ASYNC_DEBUG") {
            Some(_) => Stdio::inherit(),
            None => Stdio::null(),
        };
        let (transport, _) = TokioChildProcess::builder(command)
            .stderr(stderr)
            .spawn()
            .context("failed to start the demo server")?;
        let client = timeout(PATIENCE, ().serve(transport))
            .await
            .with_context(|| format!("the demo server does not answer; {HINT}"))?
            .with_context(|| format!("failed to connect to the demo server; {HINT}"))?;
        Ok(Self { client })
    }

    /// Returns the names of the server's tools.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn tools(&self) -> Result<Vec<String>> {
        let tools = timeout(PATIENCE, self.client.list_all_tools())
            .await
            .context("tools/list got no answer")?
            .context("tools/list failed")?;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// If there is no answer, or the answer is a protocol error. An error of the tool is an answer.
    pub async fn call(&self, tool: &'static str, arguments: &Value) -> Result<Answer> {
        let Value::Object(arguments) = arguments.clone() else {
            bail!("the arguments of {tool} are no object");
        };
        let began = Instant::now();
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = timeout(PATIENCE, self.client.call_tool(request))
            .await
            .with_context(|| format!("{tool} got no answer within {PATIENCE:?}; {HINT}"))?
            .with_context(|| format!("{tool} failed; {HINT}"))?;
        Ok(Answer { result, took: began.elapsed() })
    }

    /// Closes the connection, which ends the server, and waits until its process is gone.
    ///
    /// # Errors
    /// If the connection broke in an unforeseen way.
    pub async fn end(mut self) -> Result<()> {
        self.client.close().await.context("failed to close the connection")?;
        Ok(())
    }
}

impl Answer {
    /// Returns the text of the answer, as a model reads it.
    pub fn text(&self) -> String {
        let texts = self.result.content.iter().filter_map(|block| block.as_text());
        texts.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Returns the structured content.
    ///
    /// # Errors
    /// If there is none, or the answer is an error.
    pub fn json(&self) -> Result<&Value> {
        ensure!(self.result.is_error != Some(true), "an error was answered: {:?}", self.result);
        self.result.structured_content.as_ref().context("the answer has no structured content")
    }
}
