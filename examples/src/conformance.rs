//! The fixtures of the official conformance suite, as tools annotated with `#[smart_async]`: `tools` has the fixtures of
//! ordinary tools, `tasks` those of tasks. Questions are in three places: `questions` asks through the SDK while a call of
//! 2025-11-25 is open; `rounds` and `tasks` ask with [`smart_async::ask_for`]; the tools of `own_rounds` ask for more than
//! elicitation, so they return the SDK's `InputRequiredResult` themselves.
//!
//! The suite defines the names, the arguments and the texts (`@modelcontextprotocol/conformance`, 0.2.0-alpha.12). Its
//! `prompts` are here because one of them asks a question. Fixtures of resources and completion are left out, because they
//! have nothing to do with jobs.

#![expect(deprecated, reason = "clients of 2025-11-25 still set a level of logging")]

mod own_rounds;
mod prompts;
mod questions;
mod rounds;
mod tasks;
mod tools;

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{
    GetPromptRequestParams, GetPromptResponse, ListPromptsResult, LoggingLevel,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, SetLevelRequestParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool_handler};

/// The server.
#[derive(Debug, Clone)]
pub struct Fixtures {
    tools: Arc<ToolRouter<Self>>,
    prompts: Arc<PromptRouter<Self>>,
    /// The lowest level of log messages to send; clients of 2025-11-25 set it.
    log_level: Arc<Mutex<LoggingLevel>>,
}

impl Fixtures {
    /// The server with all its tools and prompts.
    pub fn new() -> Self {
        let asking = Self::asking_tools() + Self::rounds_tools() + Self::own_rounds_tools();
        Self {
            tools: Arc::new(Self::plain_tools() + Self::task_tools() + asking),
            prompts: Arc::new(Self::prompts()),
            log_level: Arc::new(Mutex::new(LoggingLevel::Debug)),
        }
    }

    /// Returns the level from which on clients of 2025-11-25 get log messages.
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
        let can = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
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

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(self.all_prompts(&context))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.prompt(request, context).await
    }
}
