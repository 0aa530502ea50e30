//! Changes to a table that have not been committed: the rules that guard every change, in one place for all stores.
//!
//! A draft sees its own changes, so a batch of requests can be done on one draft, and written as a whole or not at all.

use std::sync::Arc;

use super::table::entry::Kept;
use super::table::{Changes, Table};
use super::{Pruned, StoreError};
use crate::core::job::{Change, Ended, JobId, JobRecord, JobScope, OwnerId, Prune};

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

    fn find(&self, id: JobId) -> Option<Arc<JobRecord>> {
        match self.changes.get(&id) {
            Some(changed) => changed.clone(),
            None => self.table.find(id).and_then(Kept::record),
        }
    }

    fn has(&self, id: JobId) -> bool {
        self.changes.get(&id).map_or_else(|| self.table.find(id).is_some(), Option::is_some)
    }

    fn put(&mut self, job: Arc<JobRecord>) -> Arc<JobRecord> {
        self.changes.insert(job.id, Some(Arc::clone(&job)));
        job
    }

    pub(super) fn insert(
        &mut self,
        job: impl Into<Arc<JobRecord>>,
    ) -> Result<Arc<JobRecord>, StoreError> {
        let job = job.into();
        if self.has(job.id) { Err(StoreError::Duplicate(job.id)) } else { Ok(self.put(job)) }
    }

    pub(super) fn update(
        &mut self,
        id: JobId,
        change: Change,
    ) -> Result<Arc<JobRecord>, StoreError> {
        let job = self.find(id).ok_or(StoreError::NotFound(id))?;
        let next = job.apply(change).map_err(|refusal| StoreError::refused(id, refusal))?;
        Ok(self.put(Arc::new(next)))
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let doomed = if self.leaves_all(prune) { Vec::new() } else { self.doomed(prune) };
        for id in &doomed {
            self.changes.insert(*id, None);
        }
        Pruned::new(doomed.len(), self.count(prune))
    }

    /// Whether it is plain, without a look at each job, that there are not as many as `prune` keeps: so it is each time
    /// that the sweep comes by and finds nothing to do.
    fn leaves_all(&self, prune: &Prune) -> bool {
        let (count, bytes) = self.table.count_ended(prune);
        let fit = |limit| {
            let more = self.changes.values().flatten().filter(|job| job.status().is_terminal());
            bytes.saturating_add(more.map(|job| job.stored_bytes()).sum()) <= limit
        };
        count + self.changes.len() <= prune.keep_newest || prune.keep_bytes.is_some_and(fit)
    }

    fn doomed(&self, prune: &Prune) -> Vec<JobId> {
        let changed = self.changes.values().flatten().filter_map(|job| Ended::of(job));
        let unchanged = self.table.ended(prune).filter(|job| !self.changes.contains_key(&job.id()));
        prune.select_ended(unchanged.filter_map(Kept::ended).chain(changed))
    }

    /// How many jobs the table would have, of the server and of the client that `prune` names.
    fn count(&self, prune: &Prune) -> usize {
        let (server, scope) = (prune.server.as_deref(), prune.scope.as_ref());
        let counts = |of_server: &str, of_client: Option<&JobScope>| {
            server.is_none_or(|server| server == of_server)
                && (scope.is_none() || scope == of_client)
        };
        let changed = self.changes.keys().filter_map(|id| self.table.find(*id));
        let before = changed.filter(|job| counts(job.server(), job.scope())).count();
        let now = self.changes.values().flatten();
        let now = now.filter(|job| counts(&job.spec.server, job.spec.scope.as_ref())).count();
        self.table.count(server, scope) - before + now
    }

    pub(super) fn withdraw(&mut self, id: JobId) {
        if self.has(id) {
            self.changes.insert(id, None);
        }
    }

    /// Brings the unfinished jobs of `owner` along from another table, where this one lacks them: nobody else may remove
    /// those, so they were lost with a file.
    pub(super) fn bring_along(&mut self, before: &Table, owner: OwnerId) {
        for job in before.live(None).filter_map(Kept::record) {
            if job.owner == Some(owner) && !self.has(job.id) {
                self.changes.insert(job.id, Some(job));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::JobSpec;
    use crate::core::job::{JobEvent, Timestamp};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn pending() -> JobRecord {
        JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)))
    }

    fn cancelled(draft: &mut Draft<'_>, second: i64) -> JobId {
        let id = draft.insert(pending()).unwrap().id;
        draft.update(id, Change::new(JobEvent::Cancel, at(second))).unwrap();
        id
    }

    #[test]
    fn a_prune_sees_what_was_changed_before_it_in_the_same_draft() {
        let mut table = Table::default();
        let mut draft = Draft::new(&table);
        let first = cancelled(&mut draft, 1);
        let second = cancelled(&mut draft, 2);
        let live = draft.insert(pending()).unwrap().id;
        let ends = draft.insert(pending()).unwrap().id;
        let changes = draft.into_changes();
        table.commit(changes);

        let mut draft = Draft::new(&table);
        draft.withdraw(second);
        draft.update(ends, Change::new(JobEvent::Cancel, at(3))).unwrap();
        let new = cancelled(&mut draft, 4);
        let keep = |newest| Prune { keep_newest: newest, ..Prune::default() };
        assert_eq!(draft.prune(&keep(3)), Pruned::new(0, 4));
        assert_eq!(draft.prune(&keep(1)), Pruned::new(2, 2));
        assert_eq!(draft.prune(&keep(1)), Pruned::new(0, 2));
        let changes = draft.into_changes();
        table.commit(changes);
        let left: Vec<_> = [first, second, live, ends, new]
            .map(|id| table.find(id).map(Kept::id))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(left, [live, new]);
    }

    #[test]
    fn a_copy_of_all_jobs_stays_as_it_was() {
        let mut table = Table::default();
        let mut draft = Draft::new(&table);
        let ids: Vec<_> = (0..600).map(|second| cancelled(&mut draft, second)).collect();
        let changes = draft.into_changes();
        table.commit(changes);
        let copy = table.jobs().clone();
        let mut draft = Draft::new(&table);
        assert_eq!(draft.prune(&Prune { keep_newest: 1, ..Prune::default() }).removed, 599);
        let changes = draft.into_changes();
        table.commit(changes);
        assert_eq!((table.jobs().iter().count(), table.count(None, None)), (1, 1));
        let mut sorted = ids;
        sorted.sort();
        assert!(copy.iter().map(Kept::id).eq(sorted), "all of them, in the order of their ids");
    }
}
