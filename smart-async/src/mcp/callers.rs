//! The callers that wait for an answer, so that a cancellation finds the one it means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::RequestId;

use crate::call::Caller;

/// The callers of one connection that wait for an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers(Arc<Mutex<HashMap<RequestId, Caller>>>);

/// Takes its caller off the list when it is dropped.
pub(super) struct Waiting<'a>(&'a Callers, RequestId);

impl Callers {
    pub(super) fn enter(&self, id: RequestId, caller: &Caller) -> Waiting<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), caller.clone());
        Waiting(self, id)
    }

    pub(super) fn get(&self, id: &RequestId) -> Option<Caller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
