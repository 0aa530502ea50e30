//! Whether the store takes what it is given.

use crate::core::store::StoreError;
use crate::core::sync::Mutex;

/// The failure of the store, while it fails.
#[derive(Debug, Default)]
pub(super) struct StoreHealth(Mutex<Option<String>>);

impl StoreHealth {
    /// Takes note of the outcome of a write. A refusal is none of the store's failures.
    pub(super) fn observe(&self, error: Option<&StoreError>) {
        let failure = error
            .filter(|error| {
                error.is_transient() || matches!(error, StoreError::Closed | StoreError::OwnerLost)
            })
            .map(ToString::to_string);
        *self.0.lock() = failure;
    }

    pub(super) fn store_error(&self) -> Option<String> {
        self.0.lock().clone()
    }
}
