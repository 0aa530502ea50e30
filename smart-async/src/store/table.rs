//! The records of a store in memory, with the rules that guard them. Both stores keep one; neither has rules of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Pruned, StoreError};
use crate::job::{Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune};

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    jobs: BTreeMap<JobId, Arc<JobRecord>>,
}

impl Table {
    pub(super) fn jobs(&self) -> impl ExactSizeIterator<Item = &Arc<JobRecord>> {
        self.jobs.values()
    }

    /// Whether nothing has changed since `other` was copied from this table.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.jobs.len() == other.jobs.len()
            && self
                .jobs
                .values()
                .zip(other.jobs.values())
                .all(|(own, theirs)| Arc::ptr_eq(own, theirs))
    }

    /// Brings the unfinished jobs of `owner` along from the table before, where this one lacks them: nobody else may
    /// remove those, so they were lost with a file. Says whether there were any.
    pub(super) fn bring_along(&mut self, before: &Self, owner: OwnerId) -> bool {
        let own = |job: &&Arc<JobRecord>| job.owner == Some(owner) && !job.status().is_terminal();
        let known = self.jobs.len();
        for job in before.jobs().filter(own) {
            self.jobs.entry(job.id).or_insert_with(|| Arc::clone(job));
        }
        self.jobs.len() > known
    }

    pub(super) fn get(&self, id: JobId) -> Option<Arc<JobRecord>> {
        self.jobs.get(&id).cloned()
    }

    pub(super) fn list(&self, query: &JobQuery) -> JobPage {
        query.select(self.jobs().cloned())
    }

    pub(super) fn insert(&mut self, job: JobRecord) -> Result<Arc<JobRecord>, StoreError> {
        if self.jobs.contains_key(&job.id) {
            return Err(StoreError::Duplicate(job.id));
        }
        let job = Arc::new(job);
        self.jobs.insert(job.id, Arc::clone(&job));
        Ok(job)
    }

    pub(super) fn update(
        &mut self,
        id: JobId,
        change: Change,
    ) -> Result<Arc<JobRecord>, StoreError> {
        let slot = self.jobs.get_mut(&id).ok_or(StoreError::NotFound(id))?;
        let next = slot.apply(change).map_err(|source| StoreError::Illegal { id, source })?;
        *slot = Arc::new(next);
        Ok(Arc::clone(slot))
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let doomed = prune.select(self.jobs().map(AsRef::as_ref));
        for id in &doomed {
            self.jobs.remove(id);
        }
        let remaining = match &prune.server {
            Some(server) => self.jobs().filter(|job| job.server == *server).count(),
            None => self.jobs.len(),
        };
        Pruned::new(doomed.len(), remaining)
    }

    pub(super) fn withdraw(&mut self, id: JobId) {
        self.jobs.remove(&id);
    }

    /// The live jobs of `server`, with their owners.
    pub(super) fn unfinished(&self, server: &str) -> Vec<(JobId, Option<OwnerId>)> {
        let live = self.jobs().filter(|job| job.server == server && !job.status().is_terminal());
        live.map(|job| (job.id, job.owner)).collect()
    }
}
