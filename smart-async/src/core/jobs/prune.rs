//! The removal of ended jobs.

use super::{Error, Jobs};
use crate::core::job::Prune;
use crate::core::local::Local;
use crate::core::store::{Pruned, StoreError};

impl Jobs {
    /// Removes ended jobs: of every server over the same store, unless `prune` names one. A live job stays, and so does one
    /// that code of this process waits for or is about to read, or whose idempotency key is kept.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        self.local.ready().await;
        // Readers see its jobs as ended, so that they are removed like those.
        if let Some(runner) = self.local.lost_jobs() {
            runner.recovered().await;
        }
        Ok(Self::prune_unpinned(&self.local, prune).await?)
    }

    /// As [`prune`](Self::prune), for a sweep that is itself a part of the recovery.
    pub(in crate::core) async fn prune_unpinned(
        local: &Local,
        mut prune: Prune,
    ) -> Result<Pruned, StoreError> {
        prune.spare.extend(local.pins.pinned());
        prune.spare_keys_at = Some(local.now());
        let pruned = local.store.prune(prune).await?;
        // The withheld parts of jobs that are gone, by this prune or by another process's.
        for id in local.withheld.jobs() {
            if matches!(local.store.get(id).await, Ok(None)) {
                local.withheld.forget(id);
            }
        }
        Ok(pruned)
    }
}
