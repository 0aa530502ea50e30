//! Replaces the wrapped server's refusal of a list method by an empty list.
//!
//! **Gap.** The default list methods of rmcp 3.11 (`handler/server.rs`) answer `METHOD_NOT_FOUND` where the wrapped server
//! does not declare the capability. The client sees the capability declared all the same, because `JobServer` adds job tools
//! and job resources to the wrapped server's lists.
//!
//! **Ends when** the SDK's default list methods answer with an empty list again.

use rmcp::ErrorData;
use rmcp::model::ErrorCode;

/// The wrapped server's answer to a list method, or an empty list where it has no such method.
pub(in crate::mcp) fn or_empty<T: Default>(answer: Result<T, ErrorData>) -> Result<T, ErrorData> {
    match answer {
        Err(error) if error.code == ErrorCode::METHOD_NOT_FOUND => Ok(T::default()),
        answer => answer,
    }
}
