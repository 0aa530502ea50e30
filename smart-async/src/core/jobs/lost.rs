//! Jobs whose owner has died. The runner of their server accounts for them in the store; a reader of another server, or
//! without a runner, shows them as that will leave them, and writes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::Jobs;
use crate::core::job::{JobId, JobRecord};
use crate::core::local::recovered;
use crate::core::store::StoreError;

/// A live job whose owner has died.
pub(super) struct Lost {
    pub(super) stored: Arc<JobRecord>,
    /// The job as recovery will leave it.
    pub(super) shown: Arc<JobRecord>,
}

impl Jobs {
    /// Lets the runner of this process account for lost jobs of its server, where one of `jobs` may be one. Returns those of
    /// which the records have changed.
    pub(super) async fn recover_lost(&self, jobs: &[Arc<JobRecord>]) -> Vec<JobId> {
        match self.local.lost_jobs() {
            Some(runner) if jobs.iter().any(|job| self.may_be_lost(job, runner.server())) => {
                runner.recover().await
            }
            _ => Vec::new(),
        }
    }

    /// Returns whether a job of this server seems to run elsewhere, or waits for a server.
    fn may_be_lost(&self, job: &JobRecord, server: &str) -> bool {
        !job.status().is_terminal()
            && job.spec.server == server
            && job.owner != Some(self.local.store.owner())
    }

    /// The lost jobs of a server, or of all. The runner has accounted for those of its own server.
    pub(super) async fn lost(&self, server: Option<String>) -> Result<Vec<Lost>, StoreError> {
        let mut abandoned = self.local.store.abandoned(server.clone()).await?;
        if !self.recover_lost(&abandoned).await.is_empty() {
            abandoned = self.local.store.abandoned(server).await?;
        }
        // One that waits for a server has no owner, and is not lost.
        let has_owner = abandoned.into_iter().filter(|job| job.owner.is_some());
        let lost = has_owner.filter_map(|stored| {
            let shown = stored.apply(recovered(&stored, self.local.now())).ok()?;
            Some(Lost { stored, shown: Arc::new(shown) })
        });
        Ok(lost.collect())
    }

    /// Shows the lost jobs among these as recovery will leave them.
    pub(super) async fn show_lost(&self, jobs: &mut [Arc<JobRecord>]) -> Result<(), StoreError> {
        let mut lost: HashMap<String, HashMap<JobId, Arc<JobRecord>>> = HashMap::new();
        let own = self.local.lost_jobs();
        for job in jobs {
            let (server, owner) = (&job.spec.server, job.owner);
            if job.status().is_terminal()
                || owner.is_none_or(|owner| owner == self.local.store.owner())
                // The runner has accounted for these.
                || own.as_ref().is_some_and(|runner| runner.server() == server)
            {
                continue;
            }
            if !lost.contains_key(server) {
                let of_server = self.lost(Some(server.clone())).await?.into_iter();
                let shown = of_server.map(|lost| (lost.stored.id, lost.shown)).collect();
                lost.insert(server.clone(), shown);
            }
            if let Some(shown) = lost.get(server).and_then(|lost| lost.get(&job.id)) {
                *job = Arc::clone(shown);
            }
        }
        Ok(())
    }
}
