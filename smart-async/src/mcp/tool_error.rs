//! The error of a tool that is made of any other error.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock};

use crate::core::jobs::{self, AnswerError, StateError};
use crate::core::manager::OpenError;
use crate::core::store::StoreError;

/// The error of a tool that fails with errors of several kinds: `?` makes it of every error that can be displayed, such as
/// `std::io::Error`, `anyhow::Error`, `Box<dyn Error>`, one of your own, or text.
///
/// A model reads the error's text as the result of the tool, with `isError`. The text has no more than the error displays: that of
/// `anyhow` has its whole chain, most others leave their source out. An [`ErrorData`] stays the error of the protocol that it is, and
/// the library's own errors name no folder of the server.
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
            None => Cause::Text(own_error_text(any).unwrap_or_else(|| format!("{error:#}"))),
        })
    }
}

/// The text that clients read of an error of this library, which names no place of the server; `None` for any other error.
pub(crate) fn own_error_text(error: &dyn Any) -> Option<String> {
    fn find<E: Error + 'static>(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
        error.downcast_ref::<E>().map(|error| error as _)
    }
    let boxed = || error.downcast_ref::<Box<dyn Error>>().map(|error| &**error);
    let sent = || error.downcast_ref::<Box<dyn Error + Send + Sync>>().map(|error| &**error as _);
    let error = find::<jobs::Error>(error)
        .or_else(|| find::<AnswerError>(error))
        .or_else(|| find::<StateError>(error))
        .or_else(|| find::<StoreError>(error))
        .or_else(|| find::<OpenError>(error))
        .or_else(boxed)
        .or_else(sent)?;
    if let Some(error) = error.downcast_ref::<jobs::Error>() {
        Some(error.answer_text())
    } else if let Some(error) = error.downcast_ref::<AnswerError>() {
        Some(error.answer_text())
    } else if let Some(error) = error.downcast_ref::<StateError>() {
        Some(error.answer_text())
    } else if let Some(error) = error.downcast_ref::<StoreError>() {
        Some(error.answer_text())
    } else {
        error.downcast_ref::<OpenError>().map(OpenError::client_text)
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_errors_of_this_library_name_no_place_also_in_a_box() {
        let store = || StoreError::io("read", "/srv/secret", io::Error::from_raw_os_error(5));
        let state = StateError::Store { field: "plan".parse().unwrap(), source: store() };
        let open = OpenError::Folder { folder: "/srv/secret".into(), source: store() };
        let boxed: Box<dyn Error> = Box::new(jobs::Error::Store(store()));
        let sent: Box<dyn Error + Send + Sync> = Box::new(state.clone());
        for error in [
            ToolError::from(store()),
            ToolError::from(jobs::Error::Store(store())),
            ToolError::from(AnswerError::Job(jobs::Error::Store(store()))),
            ToolError::from(state),
            ToolError::from(open),
            ToolError::from(boxed),
            ToolError::from(sent),
        ] {
            let text = error.message();
            assert!(!text.contains("/srv") && text.contains("(os error 5)"), "{text}");
        }
        let name = OpenError::FolderName { name: "/srv/secret ".into(), reason: "it has blanks" };
        assert!(!ToolError::from(name).message().contains("/srv"));
    }
}
