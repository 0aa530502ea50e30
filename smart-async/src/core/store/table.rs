//! The records and states of a store in memory, and the questions asked of them. `transaction` makes the changes.

pub(super) mod entry;
mod index;
mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::entry::{Entry, Put};
use self::index::Index;
use self::keys::Keys;
use super::usual_run::UsualRun;
use crate::core::job::{
    HydratedState, JobId, JobPage, JobQuery, JobRecord, JobScope, Prune, StateName,
};

/// The changes that a transaction makes to a table.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The new record of each job, or nothing where the job is removed.
    pub(super) jobs: BTreeMap<JobId, Option<Put>>,
    /// The new value of each state.
    pub(super) states: States,
    /// The jobs whose ends have filled a state, in that order: of one state, the later value stands.
    pub(super) filled: Vec<JobId>,
}

impl Changes {
    /// Returns whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.states.is_empty()
    }
}

/// The values of the states.
pub(super) type States = BTreeMap<StateName, Arc<HydratedState>>;

/// All jobs, ordered by id. A clone shares them and costs the same with a hundred thousand jobs as with ten, so that the
/// view thread can read all of them while the writer thread goes on changing the table.
///
/// Ids are random, so that their first byte spreads them evenly; a change after a clone copies one part.
#[derive(Debug, Clone, Default)]
pub(super) struct JobTree(BTreeMap<u8, Arc<BTreeMap<JobId, Entry>>>);

impl JobTree {
    fn get(&self, id: JobId) -> Option<&Entry> {
        self.0.get(&id.first_byte())?.get(&id)
    }

    fn insert(&mut self, job: Entry) -> Option<Entry> {
        let part = self.0.entry(job.id().first_byte()).or_default();
        Arc::make_mut(part).insert(job.id(), job)
    }

    fn remove(&mut self, id: JobId) -> Option<Entry> {
        let part = self.0.get_mut(&id.first_byte()).filter(|part| part.contains_key(&id))?;
        let removed = Arc::make_mut(part).remove(&id);
        if part.is_empty() {
            self.0.remove(&id.first_byte());
        }
        removed
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().flat_map(|part| part.values())
    }
}

impl FromIterator<Entry> for JobTree {
    fn from_iter<I: IntoIterator<Item = Entry>>(jobs: I) -> Self {
        let mut parts = BTreeMap::<u8, Vec<_>>::new();
        for job in jobs {
            parts.entry(job.id().first_byte()).or_default().push((job.id(), job));
        }
        let parts = parts.into_iter();
        Self(parts.map(|(byte, part)| (byte, Arc::new(part.into_iter().collect()))).collect())
    }
}

/// Everything that a table holds. A clone is cheap, and stays as it is while the table changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) jobs: JobTree,
    pub(super) states: States,
}

impl Contents {
    pub(super) fn find(&self, id: JobId) -> Option<&Entry> {
        self.jobs.get(id)
    }

    /// The same after these changes.
    pub(super) fn after(&self, changes: &Changes) -> Self {
        let mut after = self.clone();
        for (id, put) in &changes.jobs {
            match put {
                Some(put) => drop(after.jobs.insert(put.clone().into())),
                None => drop(after.jobs.remove(*id)),
            }
        }
        let states = changes.states.iter();
        after.states.extend(states.map(|(name, state)| (name.clone(), Arc::clone(state))));
        after
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    contents: Contents,
    index: Index,
    /// The calls that are open, which no list shows.
    open_calls: BTreeMap<JobId, Entry>,
    /// The calls that ended inline, and whose answers are kept for their keys; no list shows them either.
    kept_calls: BTreeMap<JobId, Entry>,
    keys: Keys,
    /// The highest number that a job has, or had while this table knew it.
    highest: u64,
}

impl Table {
    pub(super) const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The highest number that was given to a job or to an end.
    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) const fn states(&self) -> &States {
        &self.contents.states
    }

    pub(super) fn find(&self, id: JobId) -> Option<&Entry> {
        self.contents.find(id)
    }

    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The records of these jobs, in the order asked; those that are not there are left out.
    pub(super) fn get_many(&self, ids: &[JobId]) -> Vec<Arc<JobRecord>> {
        ids.iter().filter_map(|id| self.find(*id)).map(|job| Arc::clone(job.record())).collect()
    }

    /// The page of jobs that `query` asks for.
    pub(super) fn list(&self, query: &JobQuery) -> JobPage {
        if query.with_open_calls {
            let jobs = self.index.all(query);
            let jobs = jobs.chain(self.open_calls.values()).chain(self.kept_calls.values());
            return query.select(jobs.map(Entry::record).cloned());
        }
        let limit = query.limit.unwrap_or(usize::MAX);
        let unmarked = query.label.is_none()
            && query.tag.is_none()
            && query.session.is_none()
            && query.scope.is_none();
        let newest = self.index.newest(query).map(Entry::record);
        if unmarked {
            let count = || self.index.count(query.server.as_deref(), &query.statuses);
            let total = query.with_total.then(count);
            return JobPage::new(newest.take(limit).cloned().collect(), total);
        }
        let count = || self.index.all(query).filter(|job| query.matches(job.record())).count();
        let page = newest.filter(|job| query.matches(job)).take(limit);
        JobPage::new(page.cloned().collect(), query.with_total.then(count))
    }

    /// How long the tools of `server` usually take.
    pub(super) fn usual_runs(&self, server: String) -> Vec<UsualRun> {
        let query = UsualRun::query(server);
        let completed = self.index.newest(&query);
        UsualRun::of(completed.map(|job| &**job.record()))
    }

    /// Makes the changes of a transaction.
    pub(super) fn commit(&mut self, changes: Changes) {
        let Changes { jobs, states, filled: _ } = changes;
        for (id, put) in jobs {
            self.put(id, put.map(Entry::from));
        }
        self.contents.states.extend(states);
    }

    /// Takes in jobs that were read from a file: the later entry of a job counts, and one without a record removes it.
    pub(super) fn take_in(&mut self, read: Vec<(JobId, Option<Entry>)>, states: States) {
        if self.contents.jobs.0.is_empty() {
            let jobs: BTreeMap<_, _> = read.into_iter().collect();
            self.contents.jobs = jobs.into_values().flatten().collect();
            let (calls, jobs): (Vec<_>, Vec<_>) =
                self.contents.jobs.iter().partition(|job| job.record().call_open);
            self.index = jobs.into_iter().collect();
            let (kept, open): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|job| job.status().is_terminal());
            self.open_calls = open.into_iter().map(|job| (job.id(), job.clone())).collect();
            self.kept_calls = kept.into_iter().map(|job| (job.id(), job.clone())).collect();
            self.contents.jobs.iter().for_each(|job| self.keys.insert(job));
            let numbers = self.contents.jobs.iter().map(Entry::last_number);
            self.highest = numbers.fold(self.highest, u64::max);
        } else {
            for (id, change) in read {
                self.put(id, change);
            }
        }
        self.contents.states.extend(states);
    }

    fn put(&mut self, id: JobId, change: Option<Entry>) {
        let before = match &change {
            Some(job) => self.contents.jobs.insert(job.clone()),
            None => self.contents.jobs.remove(id),
        };
        if let Some(before) = before {
            self.keys.remove(&before);
            if self.open_calls.remove(&id).is_none() && self.kept_calls.remove(&id).is_none() {
                self.index.remove(&before);
            }
        }
        if let Some(job) = change {
            self.highest = self.highest.max(job.last_number());
            self.keys.insert(&job);
            match job.record().call_open {
                true if job.status().is_terminal() => drop(self.kept_calls.insert(id, job)),
                true => drop(self.open_calls.insert(id, job)),
                false => self.index.insert(job),
            }
        }
    }

    /// The jobs that have not ended, of one server or of all.
    pub(super) fn live(&self, server: Option<&str>) -> impl Iterator<Item = &Entry> {
        let open = self.open_calls.values();
        let open = open.filter(move |job| server.is_none_or(|server| server == job.server()));
        self.index.live(server).chain(open)
    }

    /// How many jobs there are, of one server or of all, and of one client or of all.
    pub(super) fn count(&self, server: Option<&str>, scope: Option<&JobScope>) -> usize {
        match scope {
            None => self.index.count(server, &[]),
            Some(scope) => self.index.of(server).filter(|job| job.scope() == Some(scope)).count(),
        }
    }

    /// The ended jobs of the server and in the statuses that `prune` names; its other conditions are not applied.
    pub(super) fn ended(&self, prune: &Prune) -> impl Iterator<Item = &Entry> {
        self.index.ended(prune)
    }

    /// How many [`ended`](Self::ended) jobs there are, and how many bytes their records take.
    pub(super) fn count_ended(&self, prune: &Prune) -> (usize, u64) {
        self.index.count_ended(prune)
    }
}
