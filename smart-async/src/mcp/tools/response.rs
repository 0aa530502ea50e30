//! The answers of job tools as MCP results.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use crate::core::job::JobId;
use crate::core::jobs::Error;

/// A value, or the answer that refuses the call.
pub(super) type ToolResult<T> = Result<T, CallToolResult>;

/// A successful answer with these fields. Fields that are `null` are left out.
pub(super) fn success(mut fields: Value) -> CallToolResult {
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    // The SDK's own constructor writes the text through `Display`, which takes twice as long.
    let text = serde_json::to_string(&fields).unwrap_or_else(|_| fields.to_string());
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(fields);
    result
}

/// An answer that a model reads as a failure of its call, with the job that it concerns.
pub(in crate::mcp) fn in_band_error(message: &str, id: Option<JobId>) -> CallToolResult {
    CallToolResult::structured_error(match id {
        Some(id) => json!({"error": message, "job_id": id}),
        None => json!({"error": message}),
    })
}

/// The answer for an error of the manager.
pub(super) fn failed(error: Error) -> CallToolResult {
    let id = match error {
        Error::AlreadyEnded { id, .. } | Error::ResultGone { id, .. } => Some(id),
        _ => None,
    };
    in_band_error(&error.to_string(), id)
}
