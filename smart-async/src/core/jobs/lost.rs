//! Jobs whose owner has died. The runner of their server accounts for them in the store; a reader of another server, or
//! without a runner, shows them as that will leave them, and writes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Jobs;
use crate::core::job::{JobId, JobRecord};
use crate::core::local::recovered;
use crate::core::store::StoreError;

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

    /// Shows the lost jobs among these as recovery will leave them.
    pub(super) async fn show_lost(&self, jobs: &mut [Arc<JobRecord>]) -> Result<(), StoreError> {
        let mut lost: HashMap<String, HashSet<JobId>> = HashMap::new();
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
                let of_server = self.local.store.abandoned(server.clone()).await?;
                lost.insert(server.clone(), of_server.iter().map(|job| job.id).collect());
            }
            if lost.get(server).is_some_and(|lost| lost.contains(&job.id))
                && let Ok(shown) = job.apply(recovered(job, self.local.now()))
            {
                *job = Arc::new(shown);
            }
        }
        Ok(())
    }
}
