//! Jobs whose owner has died. The runner of their server accounts for them in the store; a reader of another server, or
//! without a runner, shows them as that will leave them, and writes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::Jobs;
use crate::core::job::{JobId, JobRecord};
use crate::core::local::{LostJobs, recovered};
use crate::core::store::StoreError;

impl Jobs {
    /// Lets the runner of this process account for lost jobs of its server, where one of `jobs` may be one. Returns those of
    /// which the records have changed.
    pub(super) async fn recover_lost(&self, jobs: &[Arc<JobRecord>]) -> Vec<JobId> {
        match self.local.lost_jobs() {
            Some(runner) if jobs.iter().any(|job| self.may_be_lost(job, &*runner)) => {
                runner.recover().await
            }
            _ => Vec::new(),
        }
    }

    /// Returns whether a job of this server seems to run elsewhere, or waits for a server.
    fn may_be_lost(&self, job: &JobRecord, runner: &dyn LostJobs) -> bool {
        !job.status().is_terminal()
            && job.spec.server == runner.server()
            && job.owner != Some(self.local.store.owner())
            // The first recovery comes to it.
            && !(runner.is_recovering() && self.local.dead_owners.found_at(job).is_some())
    }

    /// Accounts for a job that the first recovery has not come to yet, so that a request finds it as readers see it.
    pub(super) async fn account_for(&self, id: JobId) -> Result<(), StoreError> {
        if !self.local.lost_jobs().is_some_and(|runner| runner.is_recovering()) {
            return Ok(());
        }
        let Some(job) = self.local.store.get(id).await? else { return Ok(()) };
        let Some(at) = self.local.dead_owners.found_at(&job) else { return Ok(()) };
        if job.is_lost_with_process() {
            self.local.store.withdraw(id).await?;
        } else if !job.status().is_terminal()
            && let Ok(job) = self.local.update(id, recovered(&job, at)).await
            && !job.call_open
        {
            self.local.announce(&job);
        }
        Ok(())
    }

    /// The lost jobs of a server, or of all, as recovery will leave them.
    pub(super) async fn lost(
        &self,
        server: Option<String>,
    ) -> Result<HashMap<JobId, Arc<JobRecord>>, StoreError> {
        let mut abandoned = self.local.store.abandoned(server.clone()).await?;
        if !self.recover_lost(&abandoned).await.is_empty() {
            abandoned = self.local.store.abandoned(server).await?;
        }
        // One that waits for a server has no owner, and is not lost.
        let has_owner = abandoned.into_iter().filter(|job| job.owner.is_some());
        let lost = has_owner.filter_map(|stored| {
            let at = self.local.dead_owners.found_at(&stored).unwrap_or_else(|| self.local.now());
            let shown = stored.apply(recovered(&stored, at)).ok()?;
            Some((stored.id, Arc::new(shown)))
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
            {
                continue;
            }
            // The runner has accounted for these, is about to, or cannot, because the store fails.
            if own.as_ref().is_some_and(|runner| runner.server() == server) {
                if let Some(shown) = self.local.dead_owners.shown(job) {
                    *job = shown;
                }
                continue;
            }
            if !lost.contains_key(server) {
                lost.insert(server.clone(), self.lost(Some(server.clone())).await?);
            }
            if let Some(shown) = lost.get(server).and_then(|lost| lost.get(&job.id)) {
                *job = Arc::clone(shown);
            }
        }
        Ok(())
    }
}
