//! The error of a tool that is made of any other error.

use std::any::Any;
use std::fmt::{self, Debug, Display, Formatter};

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};

/// The error of a tool that fails with errors of several kinds: `?` makes it of every error that can be displayed, such as
/// `std::io::Error`, `anyhow::Error`, `Box<dyn Error>`, one of your own, or text.
///
/// A model reads the error's text as the result of the tool, with `isError`. The text has no more than the error displays: that of
/// `anyhow` has its whole chain, most others leave their source out. An [`ErrorData`] stays the error of the protocol that it is.
///
/// ```
/// use smart_async::{ToolError, smart_async};
///
/// # #[derive(Clone)]
/// # struct Files;
/// # #[rmcp::tool_router]
/// # impl Files {
/// /// Count the lines of a file.
/// #[smart_async(default = 20)]
/// #[rmcp::tool]
/// async fn count_lines(&self) -> Result<String, ToolError> {
///     let text = std::fs::read_to_string("notes.txt")?;
///     if text.is_empty() {
///         return Err("the file is empty".into());
///     }
///     Ok(text.lines().count().to_string())
/// }
/// # }
/// ```
pub struct ToolError(Cause);

enum Cause {
    Text(String),
    Protocol(ErrorData),
}

impl ToolError {
    /// The text of the error.
    pub fn message(&self) -> &str {
        match &self.0 {
            Cause::Text(text) => text,
            Cause::Protocol(error) => &error.message,
        }
    }
}

/// It cannot be displayed itself: then it would have two conversions from itself.
impl<E: Display + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        Self(match any.downcast_ref::<ErrorData>() {
            Some(error) => Cause::Protocol(error.clone()),
            // In the other form, anyhow shows the outermost error alone.
            None => Cause::Text(format!("{error:#}")),
        })
    }
}

impl Debug for ToolError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolError").field(&self.message()).finish()
    }
}

impl IntoCallToolResult for ToolError {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        match self.0 {
            Cause::Text(text) => Ok(CallToolResult::error(vec![ContentBlock::text(text)]).into()),
            Cause::Protocol(error) => Err(error),
        }
    }
}
