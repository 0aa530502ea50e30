//! Changes to a table that are not committed yet: the rules that guard every change, in one place for all stores.
//!
//! A transaction sees its own changes, so a store can run a batch of requests in one transaction, and write all of it or
//! nothing.

use std::sync::Arc;

use super::table::entry::{Entry, Put};
use super::table::{Changes, Table};
use super::{Pruned, StoreError, key_limits};
use crate::core::job::{
    Change, ClaimQuery, ClaimToken, HydratedState, JobEvent, JobId, JobRecord, JobScope, OwnerId,
    ProgressReport, Prune, PruneCandidate, Timestamp,
};

#[derive(Debug)]
pub(super) struct Transaction<'a> {
    table: &'a Table,
    /// The store's time: a state of a later time gives way.
    now: Timestamp,
    /// The highest number that was given to a job or to an end.
    highest: u64,
    changes: Changes,
}

/// A change that its caller has applied already, to the record that was the newest then.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) base: Arc<JobRecord>,
    pub(super) next: Put,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(table: &'a Table, now: Timestamp) -> Self {
        Self { table, now, highest: table.highest(), changes: Changes::default() }
    }

    /// The changes that were made.
    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    fn find(&self, id: JobId) -> Option<&Arc<JobRecord>> {
        match self.changes.jobs.get(&id) {
            Some(changed) => changed.as_ref().map(|put| &put.record),
            None => self.table.find(id).map(Entry::record),
        }
    }

    fn put(&mut self, job: Put) -> Arc<JobRecord> {
        let record = Arc::clone(&job.record);
        self.changes.jobs.insert(record.id, Some(job));
        record
    }

    /// The next number: transactions follow one another, so that it is higher than those of all jobs and ends before.
    fn next_number(&mut self) -> u64 {
        self.highest = self.highest.saturating_add(1);
        self.highest
    }

    pub(super) fn insert(&mut self, job: impl Into<Put>) -> Result<Arc<JobRecord>, StoreError> {
        let mut job = job.into();
        if self.find(job.record.id).is_some() {
            return Err(StoreError::Duplicate(job.record.id));
        }
        if let Some(key) = &job.record.spec.idempotency {
            self.take_key(&key.hash)?;
        }
        job.number(self.next_number());
        Ok(self.put(job))
    }

    /// Makes room for a new job that has this key.
    fn take_key(&mut self, hash: &str) -> Result<(), StoreError> {
        let has_key = |job: &&Arc<JobRecord>| {
            job.spec.idempotency.as_ref().is_some_and(|key| key.hash == hash)
        };
        let known = self.table.keys().find(hash).and_then(|job| self.find(job.id()));
        let holder = self.changed().filter(has_key).chain(known).max_by_key(|job| job.sequence);
        let lets_go = match holder {
            Some(holder) if holder.holds_key(self.now) => {
                return Err(StoreError::KeyTaken(holder.id));
            }
            Some(holder) => Some(holder.id).filter(|_| holder.call_open),
            None => None,
        };
        // Those of this transaction, which the table does not count yet.
        let new = self
            .changed()
            .filter(|job| job.spec.idempotency.is_some() && self.table.find(job.id).is_none());
        let (keys, bytes) = key_limits();
        let keys = keys.saturating_sub(new.count());
        if let Some((keys, bytes)) = self.table.keys().at_limit(keys, bytes, self.now) {
            return Err(StoreError::KeysFull { keys, bytes });
        }
        if let Some(id) = lets_go {
            self.changes.jobs.insert(id, None);
        }
        Ok(())
    }

    /// Applies a change. Where `prepared` began from the record that is the newest still, its result is taken as it is.
    pub(super) fn update(
        &mut self,
        id: JobId,
        mut change: Change,
        prepared: Option<Prepared>,
    ) -> Result<Arc<JobRecord>, StoreError> {
        let job = self.find(id).ok_or(StoreError::NotFound(id))?;
        let state = change.state.take();
        let mut next: Put = match prepared {
            Some(prepared) if Arc::ptr_eq(&prepared.base, job) => prepared.next,
            _ => {
                let next = job.apply(change);
                next.map_err(|refusal| StoreError::refused(id, refusal))?.into()
            }
        };
        if next.record.status().is_terminal() {
            next.number_end(self.next_number());
        }
        if let Some(state) = state
            && self.put_state(Arc::clone(&state))
        {
            next.state = Some(state);
            self.changes.filled.push(id);
        }
        Ok(self.put(next))
    }

    /// Makes a completion the value of its state, where it replaces the present value. Returns whether it does.
    pub(super) fn put_state(&mut self, state: Arc<HydratedState>) -> bool {
        let present = self.changes.states.get(&state.field);
        let present = present.or_else(|| self.table.states().get(&state.field));
        let replaces = present.is_none_or(|present| state.replaces(present, self.now));
        if replaces {
            self.changes.states.insert(state.field.clone(), state);
        }
        replaces
    }

    /// Gives jobs that wait to `owner`, each under a claim of its own.
    pub(super) fn claim(
        &mut self,
        query: &ClaimQuery,
        owner: OwnerId,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let is_changed = |job: &&Entry| self.changes.jobs.contains_key(&job.id());
        let server = query.limits.is_none().then_some(&*query.server);
        let unchanged = self.table.live(server).filter(|job| !is_changed(job));
        let given =
            query.select(unchanged.map(Entry::record).chain(self.changed()), owner, self.now);
        given
            .into_iter()
            .map(|job| {
                let claim = JobEvent::Claim(owner, ClaimToken::new());
                self.update(job.id, Change::new(claim, self.now), None)
            })
            .collect()
    }

    /// Stores the progress of jobs of `owner`; returns those that refused it.
    pub(super) fn record_progress(
        &mut self,
        reports: Vec<ProgressReport>,
        owner: OwnerId,
    ) -> Vec<JobId> {
        let mut refused = Vec::new();
        for ProgressReport { id, progress, at } in reports {
            let change = Change::new(JobEvent::Progress, at)
                .with_progress(Some(progress))
                .owned_by(Some(owner));
            if self.update(id, change, None).is_err() {
                refused.push(id);
            }
        }
        refused
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let doomed = if self.keeps_all(prune) { Vec::new() } else { self.doomed(prune) };
        for id in &doomed {
            self.changes.jobs.insert(*id, None);
        }
        Pruned::new(doomed.len(), self.count(prune))
    }

    /// The new records of this transaction.
    fn changed(&self) -> impl Iterator<Item = &Arc<JobRecord>> {
        self.changes.jobs.values().flatten().map(|put| &put.record)
    }

    /// Returns whether the counts alone show that `prune` removes nothing, as in each regular sweep that finds nothing to
    /// do.
    fn keeps_all(&self, prune: &Prune) -> bool {
        let (count, bytes) = self.table.count_ended(prune);
        let fits = |limit| {
            let more = self.changed().filter(|job| job.status().is_terminal());
            bytes.saturating_add(more.map(|job| job.stored_bytes()).sum()) <= limit
        };
        count + self.changes.jobs.len() <= prune.keep_newest || prune.keep_bytes.is_some_and(fits)
    }

    fn doomed(&self, prune: &Prune) -> Vec<JobId> {
        let changed = self.changed().filter_map(|job| PruneCandidate::of(job));
        let is_changed = |job: &&Entry| self.changes.jobs.contains_key(&job.id());
        let unchanged = self.table.ended(prune).filter(|job| !is_changed(job));
        prune.select_candidates(unchanged.filter_map(Entry::ended).chain(changed))
    }

    /// How many jobs the table would have, of the server and of the client that `prune` names.
    fn count(&self, prune: &Prune) -> usize {
        let (server, scope) = (prune.server.as_deref(), prune.scope.as_ref());
        let counts = |of_server: &str, of_client: Option<&JobScope>| {
            server.is_none_or(|server| server == of_server)
                && (scope.is_none() || scope == of_client)
        };
        let before = self.changes.jobs.keys().filter_map(|id| self.table.find(*id));
        let before = before.filter(|job| !job.record().call_open);
        let before = before.filter(|job| counts(job.server(), job.scope())).count();
        let now = self.changed().filter(|job| !job.call_open);
        let now = now.filter(|job| counts(&job.spec.server, job.spec.scope.as_ref())).count();
        self.table.count(server, scope) - before + now
    }

    pub(super) fn withdraw(&mut self, id: JobId) {
        if self.find(id).is_some() {
            self.changes.jobs.insert(id, None);
        }
    }

    /// Copies the unfinished jobs of `owner` from another table, where this one lacks them: no other process may remove
    /// those, so they were lost with a file.
    pub(super) fn bring_along(&mut self, before: &Table, owner: OwnerId) {
        self.highest = self.highest.max(before.highest());
        for job in before.live(None).map(Entry::record) {
            if job.owner == Some(owner) && self.find(job.id).is_none() {
                self.put(Arc::clone(job).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::JobSpec;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn pending() -> JobRecord {
        JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)))
    }

    fn begin(table: &Table) -> Transaction<'_> {
        Transaction::new(table, at(100))
    }

    fn cancelled(transaction: &mut Transaction<'_>, second: i64) -> JobId {
        let id = transaction.insert(pending()).unwrap().id;
        transaction.update(id, Change::new(JobEvent::Cancel, at(second)), None).unwrap();
        id
    }

    #[test]
    fn a_prune_sees_the_changes_before_it_in_the_same_transaction() {
        let mut table = Table::default();
        let mut transaction = begin(&table);
        let first = cancelled(&mut transaction, 1);
        let second = cancelled(&mut transaction, 2);
        let live = transaction.insert(pending()).unwrap().id;
        let ends = transaction.insert(pending()).unwrap().id;
        let changes = transaction.into_changes();
        table.commit(changes);

        let mut transaction = begin(&table);
        transaction.withdraw(second);
        transaction.update(ends, Change::new(JobEvent::Cancel, at(3)), None).unwrap();
        let new = cancelled(&mut transaction, 4);
        let keep = |newest| Prune { keep_newest: newest, ..Prune::default() };
        assert_eq!(transaction.prune(&keep(3)), Pruned::new(0, 4));
        assert_eq!(transaction.prune(&keep(1)), Pruned::new(2, 2));
        assert_eq!(transaction.prune(&keep(1)), Pruned::new(0, 2));
        let changes = transaction.into_changes();
        table.commit(changes);
        let left: Vec<_> = [first, second, live, ends, new]
            .map(|id| table.find(id).map(Entry::id))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(left, [live, new]);
    }

    #[test]
    fn a_copy_of_all_jobs_stays_as_it_was() {
        let mut table = Table::default();
        let mut transaction = begin(&table);
        let ids: Vec<_> = (0..600).map(|second| cancelled(&mut transaction, second)).collect();
        let changes = transaction.into_changes();
        table.commit(changes);
        let copy = table.contents().clone();
        let mut transaction = begin(&table);
        assert_eq!(transaction.prune(&Prune { keep_newest: 1, ..Prune::default() }).removed, 599);
        let changes = transaction.into_changes();
        table.commit(changes);
        assert_eq!((table.contents().jobs.iter().count(), table.count(None, None)), (1, 1));
        let mut sorted = ids;
        sorted.sort();
        assert!(
            copy.jobs.iter().map(Entry::id).eq(sorted),
            "all of them, in the order of their ids"
        );
    }

    #[test]
    fn a_prepared_change_counts_only_where_the_record_is_still_the_same() {
        let mut table = Table::default();
        let mut transaction = begin(&table);
        let base = transaction.insert(pending()).unwrap();
        let changes = transaction.into_changes();
        table.commit(changes);
        let start = Change::new(JobEvent::Start, at(1));
        let prepare = || {
            let next = base.apply(start.clone()).unwrap().into();
            Some(Prepared { base: Arc::clone(&base), next })
        };
        let (one, other) = (prepare(), prepare());
        let expected = Arc::clone(&one.as_ref().unwrap().next.record);
        let mut transaction = begin(&table);
        let taken = transaction.update(base.id, start.clone(), one).unwrap();
        assert!(Arc::ptr_eq(&taken, &expected), "the caller's work is taken as it is");
        let refused = transaction.update(base.id, start.clone(), other);
        assert!(matches!(refused, Err(StoreError::Illegal { .. })), "it has started by then");
    }

    #[test]
    fn an_end_that_is_refused_fills_no_state() {
        let mut table = Table::default();
        let mut transaction = begin(&table);
        let ended = cancelled(&mut transaction, 1);
        let live = transaction.insert(pending()).unwrap().id;
        let field = crate::core::job::StateName::new("latest").unwrap();
        for (id, stands) in [(ended, false), (live, true)] {
            let state =
                HydratedState::new(field.clone(), id, "reactor", "simulate", at(2), 1.into());
            let mut change = Change::new(JobEvent::Cancel, at(2));
            change.state = Some(Arc::new(state));
            assert_eq!(transaction.update(id, change, None).is_ok(), stands);
        }
        let changes = transaction.into_changes();
        table.commit(changes);
        assert_eq!(table.states().get(&field).map(|state| state.job_id), Some(live));
    }
}
