//! The fixtures of the official conformance suite, as tools annotated with `#[smart_async]`: what the suite expects of a
//! server's own tools is in `tools`, of its tasks in `tasks`, of its requests to the client in `questions`.
//!
//! The names, the arguments and the texts are the suite's (`@modelcontextprotocol/conformance`, 0.2.0-alpha.12). Fixtures of
//! prompts, resources and completion are not here: they are no matter of jobs.

#![expect(deprecated, reason = "clients of 2025-11-25 still set a level of logging")]

mod questions;
mod tasks;
mod tools;

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{LoggingLevel, ServerCapabilities, ServerConfig, SetLevelRequestParams};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool_handler};

/// The server.
#[derive(Debug, Clone)]
pub struct Fixtures {
    tools: Arc<ToolRouter<Self>>,
    /// What is worth a log message; clients of 2025-11-25 set it.
    log_level: Arc<Mutex<LoggingLevel>>,
}

impl Fixtures {
    /// The server with all its tools.
    pub fn new() -> Self {
        let tools = Self::plain_tools() + Self::task_tools() + Self::asking_tools();
        Self { tools: Arc::new(tools), log_level: Arc::new(Mutex::new(LoggingLevel::Debug)) }
    }

    /// From which level on clients of 2025-11-25 want to hear.
    fn log_level(&self) -> LoggingLevel {
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Fixtures {
    fn default() -> Self {
        Self::new()
    }
}

const fn severity(level: LoggingLevel) -> u8 {
    level as u8
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let can = ServerCapabilities::builder().enable_tools().enable_logging().build();
        let mut info = ServerConfig::new(can);
        info.server_info.name = "conformance".to_owned();
        info
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner) = request.level;
        Ok(())
    }
}
