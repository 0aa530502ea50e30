//! The answers of job tools as MCP results.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use crate::call::reply::FollowUp;
use crate::core::job::JobId;
use crate::core::jobs::Error;
use crate::core::text::truncated;

/// The longest error that is answered, in bytes: some quote the work or its caller.
const ERROR_BYTES: usize = 4 * 1024;

/// A value, or the answer that refuses the call.
pub(super) type ToolResult<T> = Result<T, CallToolResult>;

/// A successful answer with these fields. Fields that are `null` are left out.
pub(super) fn success(mut fields: Value) -> CallToolResult {
    leave_out_null(&mut fields);
    // The SDK's own constructor writes the text through `Display`, which takes twice as long.
    let text = serde_json::to_string(&fields).unwrap_or_else(|_| fields.to_string());
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(fields);
    result
}

/// An answer that a model reads as a failure of its call, with the job that it concerns.
pub(in crate::mcp) fn in_band_error(message: &str, id: Option<JobId>) -> CallToolResult {
    refusal(message, id, None)
}

/// As [`in_band_error`], with the call to make next.
pub(super) fn refusal(message: &str, id: Option<JobId>, next: Option<String>) -> CallToolResult {
    let mut fields = json!({"error": shown_error(message), "job_id": id, "next": next});
    leave_out_null(&mut fields);
    CallToolResult::structured_error(fields)
}

/// The answer for an error of the manager.
pub(super) fn failed(follow_up: &FollowUp, error: Error) -> CallToolResult {
    let (id, next) = match error {
        Error::NotFound(_) => (None, follow_up.find()),
        Error::AlreadyEnded { id, .. } | Error::ResultGone { id, .. } => (Some(id), None),
        _ => (None, None),
    };
    refusal(&error.answer_text(), id, next)
}

/// An error as answers show it.
pub(in crate::mcp) fn shown_error(message: &str) -> String {
    match message.len() <= ERROR_BYTES {
        true => message.to_owned(),
        false => format!("{}…", truncated(message, ERROR_BYTES)),
    }
}

fn leave_out_null(fields: &mut Value) {
    if let Value::Object(fields) = fields {
        fields.retain(|_, value| !value.is_null());
    }
}
