//! Fixtures of tools: every kind of content, errors, logging, progress, and a capability that the client must have.

#![expect(deprecated, reason = "clients of 2025-11-25 still log")]

use std::time::Duration;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{
    CallToolResult, ClientCapabilities, ContentBlock, LoggingLevel,
    LoggingMessageNotificationParam, ResourceContents,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, tool, tool_router};
use serde_json::json;
use smart_async::smart_async;

use super::{Fixtures, severity};

/// One red pixel.
pub(super) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// Four samples of silence.
const WAV: &str = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQgAAAAAAAAAAAAAAA==";

#[tool_router(router = plain_router)]
impl Fixtures {
    /// Answer at once. Scenarios about the transport call the first tool of the list.
    #[smart_async]
    #[tool]
    async fn acknowledge(&self) -> CallToolResult {
        answer([ContentBlock::text("acknowledged")])
    }

    /// Answer with text.
    #[smart_async]
    #[tool]
    async fn test_simple_text(&self) -> CallToolResult {
        answer([ContentBlock::text("This is a simple text response for testing.")])
    }

    /// Answer with an image.
    #[smart_async]
    #[tool]
    async fn test_image_content(&self) -> CallToolResult {
        answer([ContentBlock::image(PNG, "image/png")])
    }

    /// Answer with a sound.
    #[smart_async]
    #[tool]
    async fn test_audio_content(&self) -> CallToolResult {
        answer([ContentBlock::audio(WAV, "audio/wav")])
    }

    /// Answer with a resource.
    #[smart_async]
    #[tool]
    async fn test_embedded_resource(&self) -> CallToolResult {
        let text = "This is an embedded resource content.";
        answer([resource("test://embedded-resource", "text/plain", text)])
    }

    /// Answer with everything.
    #[smart_async]
    #[tool]
    async fn test_multiple_content_types(&self) -> CallToolResult {
        let text = json!({"test": "data", "value": 123}).to_string();
        answer([
            ContentBlock::text("Multiple content types test:"),
            ContentBlock::image(PNG, "image/png"),
            resource("test://mixed-content-resource", "application/json", &text),
        ])
    }

    /// Send three log messages on the way.
    #[smart_async]
    #[tool]
    async fn test_tool_with_logging(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let steps = ["Tool execution started", "Tool processing data", "Tool execution completed"];
        for step in steps {
            self.log(&context, step).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(answer([ContentBlock::text("logged three messages")]))
    }

    /// Send a log message, if the client wants it.
    #[smart_async]
    #[tool]
    async fn test_logging_tool(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        self.log(&context, "logged").await?;
        Ok(answer([ContentBlock::text("logged what was wanted")]))
    }

    /// Fail.
    #[smart_async]
    #[tool]
    async fn test_error_handling(&self) -> Result<CallToolResult, String> {
        Err("This tool intentionally returns an error for testing".to_owned())
    }

    /// Report progress three times, with pauses long enough that each report is sent.
    #[smart_async]
    #[tool]
    async fn test_tool_with_progress(&self) -> CallToolResult {
        let progress = smart_async::progress();
        for done in [0, 50, 100] {
            progress.report(done, 100, "testing");
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        answer([ContentBlock::text("reported progress three times")])
    }

    /// Serve only clients that can sample.
    #[smart_async]
    #[tool]
    async fn test_missing_capability(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        if context.client_capabilities().is_none_or(|client| client.sampling.is_none()) {
            let needed = ClientCapabilities::builder().enable_sampling().build();
            return Err(ErrorData::missing_required_client_capability(needed));
        }
        Ok(answer([ContentBlock::text("the client can sample")]))
    }

    pub(super) fn plain_tools() -> ToolRouter<Self> {
        Self::plain_router()
    }

    /// Sends a log message to the client, if its level allows that.
    async fn log(&self, context: &RequestContext<RoleServer>, text: &str) -> Result<(), ErrorData> {
        // From 2026-07-28 on each request names its own level.
        let wanted = match context.protocol_version() {
            Some(version) if !version.has_initialize() => context.meta.log_level(),
            _ => Some(self.log_level()),
        };
        if wanted.is_none_or(|wanted| severity(wanted) > severity(LoggingLevel::Info)) {
            return Ok(());
        }
        let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(text));
        let sent = context.peer.notify_logging_message(message).await;
        sent.map_err(|error| ErrorData::internal_error(format!("failed to log: {error}"), None))
    }
}

fn answer(content: impl Into<Vec<ContentBlock>>) -> CallToolResult {
    CallToolResult::success(content.into())
}

pub(super) fn resource(uri: &str, kind: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(kind))
}
