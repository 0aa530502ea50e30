//! The key of a call, and the insert of the record that has it.

use std::sync::Arc;

use super::engine::Engine;
use crate::core::job::JobRecord;
use crate::core::jobs::{CANCEL_ANSWER, Jobs};
use crate::core::store::StoreError;

/// How often a key is asked for that each time an interrupted call has, which lets it go.
const TRIES: usize = 8;

/// The key of a call, as its caller gave it.
#[derive(Clone)]
pub(crate) struct CallersKey {
    /// The hash by which the store knows the key.
    pub(crate) hash: String,
    /// The hash of the arguments.
    pub(crate) arguments: String,
}

/// Inserts a record. Where another job has its key, this accounts for that one first, whose process may have died.
pub(super) async fn insert(
    engine: &Engine,
    record: &JobRecord,
) -> Result<Arc<JobRecord>, StoreError> {
    let local = &engine.local;
    let mut tries = 0;
    loop {
        tries += 1;
        match local.observed(local.store.insert(record.clone()).await) {
            Err(StoreError::KeyTaken(id)) if tries < TRIES => {
                let jobs = Jobs::of(Arc::clone(local), CANCEL_ANSWER);
                let holder = jobs.keyed(id).await?;
                if holder.is_some_and(|holder| holder.holds_key(local.now())) {
                    return Err(StoreError::KeyTaken(id));
                }
            }
            inserted => return inserted,
        }
    }
}
