//! Changes to a table that have not been committed: the rules that guard every change, in one place for all stores.
//!
//! A draft sees its own changes, so a batch of requests can be done on one draft, and written as a whole or not at all.

use std::sync::Arc;

use super::table::{Changes, Table};
use super::{Pruned, StoreError};
use crate::job::{Change, JobId, JobRecord, OwnerId, Prune};

#[derive(Debug)]
pub(super) struct Draft<'a> {
    table: &'a Table,
    changes: Changes,
}

impl<'a> Draft<'a> {
    pub(super) const fn new(table: &'a Table) -> Self {
        Self { table, changes: Changes::new() }
    }

    /// What the draft would make of the table.
    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    fn find(&self, id: JobId) -> Option<&Arc<JobRecord>> {
        match self.changes.get(&id) {
            Some(changed) => changed.as_ref(),
            None => self.table.find(id),
        }
    }

    fn jobs(&self) -> impl Iterator<Item = &Arc<JobRecord>> {
        let unchanged = self.table.jobs().filter(|job| !self.changes.contains_key(&job.id));
        unchanged.chain(self.changes.values().flatten())
    }

    fn put(&mut self, job: JobRecord) -> Arc<JobRecord> {
        let job = Arc::new(job);
        self.changes.insert(job.id, Some(Arc::clone(&job)));
        job
    }

    pub(super) fn insert(&mut self, job: JobRecord) -> Result<Arc<JobRecord>, StoreError> {
        match self.find(job.id) {
            Some(known) => Err(StoreError::Duplicate(known.id)),
            None => Ok(self.put(job)),
        }
    }

    pub(super) fn update(
        &mut self,
        id: JobId,
        change: Change,
    ) -> Result<Arc<JobRecord>, StoreError> {
        let job = self.find(id).ok_or(StoreError::NotFound(id))?;
        let next = job.apply(change).map_err(|source| StoreError::Illegal { id, source })?;
        Ok(self.put(next))
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let doomed = prune.select(self.jobs().map(AsRef::as_ref));
        for id in &doomed {
            self.changes.insert(*id, None);
        }
        let left = self
            .jobs()
            .filter(|job| prune.server.as_ref().is_none_or(|server| *server == job.server));
        Pruned::new(doomed.len(), left.count())
    }

    pub(super) fn withdraw(&mut self, id: JobId) {
        if self.find(id).is_some() {
            self.changes.insert(id, None);
        }
    }

    /// Brings the unfinished jobs of `owner` along from another table, where this one lacks them: nobody else may remove
    /// those, so they were lost with a file.
    pub(super) fn bring_along(&mut self, before: &Table, owner: OwnerId) {
        for job in before.jobs() {
            let own = job.owner == Some(owner) && !job.status().is_terminal();
            if own && self.find(job.id).is_none() {
                self.changes.insert(job.id, Some(Arc::clone(job)));
            }
        }
    }
}
