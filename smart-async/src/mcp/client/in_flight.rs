//! The callers that wait for an answer, so that a cancellation finds the one it means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::RequestId;

use crate::call::Caller;

/// The callers of one connection that wait for an answer.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct InFlightRequests(Arc<Mutex<HashMap<RequestId, Caller>>>);

/// Takes its caller off the list when it is dropped.
pub(in crate::mcp) struct InFlightGuard<'a>(&'a InFlightRequests, RequestId);

impl InFlightRequests {
    pub(in crate::mcp) fn enter(&self, id: RequestId, caller: &Caller) -> InFlightGuard<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), caller.clone());
        InFlightGuard(self, id)
    }

    pub(in crate::mcp) fn get(&self, id: &RequestId) -> Option<Caller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
