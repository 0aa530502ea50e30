//! The in-flight requests of one connection, so that a `notifications/cancelled` finds the call that it names.

use std::collections::HashMap;
use std::sync::Arc;

use rmcp::model::RequestId;
use tokio::time::Instant;

use crate::call::Caller;
use crate::core::sync::Mutex;

/// The tool calls of one connection that have no answer yet.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct InFlightRequests(Arc<Mutex<HashMap<RequestId, (Caller, Instant)>>>);

/// Removes its request when it is dropped.
pub(in crate::mcp) struct InFlightGuard<'a>(&'a InFlightRequests, RequestId);

impl InFlightRequests {
    pub(in crate::mcp) fn enter(&self, id: RequestId, caller: &Caller) -> InFlightGuard<'_> {
        self.0.lock().insert(id.clone(), (caller.clone(), Instant::now()));
        InFlightGuard(self, id)
    }

    /// The caller of a request, and when the request came.
    pub(in crate::mcp) fn get(&self, id: &RequestId) -> Option<(Caller, Instant)> {
        self.0.lock().get(id).cloned()
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}
