//! How many calls wait for an answer just now: the server's end gives them a moment.

use std::sync::Arc;

/// Each open call holds one more reference to the same nothing.
#[derive(Debug, Default)]
pub(in crate::core) struct OpenCalls(Arc<()>);

/// An open call, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenCallGuard(#[expect(dead_code, reason = "counted, not read")] Arc<()>);

impl OpenCalls {
    pub(in crate::core) fn enter(&self) -> OpenCallGuard {
        OpenCallGuard(Arc::clone(&self.0))
    }

    pub(in crate::core) fn is_any(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
