//! The jobs of a table by server and status, each in the order in which they are listed: what is asked most often is
//! answered without looking at the other jobs.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, btree_map};

use super::entry::Kept;
use crate::core::job::{JobId, JobQuery, JobStatus, Prune, Timestamp};

/// The id breaks ties, so that a page is the same each time it is asked for.
type Age = (Timestamp, JobId);

#[derive(Debug, Default)]
pub(in crate::core::store) struct Index(BTreeMap<Box<str>, BTreeMap<JobStatus, Shelf>>);

/// The jobs of one server that have one status.
#[derive(Debug, Default)]
struct Shelf {
    jobs: BTreeMap<Age, Kept>,
    /// How many bytes the records take, where they have ended.
    bytes: u64,
}

fn age(job: &Kept) -> Age {
    (job.created_at(), job.id())
}

impl Index {
    pub(in crate::core::store) fn insert(&mut self, job: Kept) {
        if !self.0.contains_key(job.server()) {
            self.0.insert(job.server().into(), BTreeMap::new());
        }
        if let Some(shelves) = self.0.get_mut(job.server()) {
            let shelf = shelves.entry(job.status()).or_default();
            shelf.bytes += job.ended_bytes();
            shelf.jobs.insert(age(&job), job);
        }
    }

    pub(in crate::core::store) fn remove(&mut self, job: &Kept) {
        let Some(shelves) = self.0.get_mut(job.server()) else { return };
        if let Some(shelf) = shelves.get_mut(&job.status())
            && shelf.jobs.remove(&age(job)).is_some()
        {
            shelf.bytes -= job.ended_bytes();
            if shelf.jobs.is_empty() {
                shelves.remove(&job.status());
            }
        }
        if shelves.is_empty() {
            self.0.remove(job.server());
        }
    }

    /// The shelves of one server or of all, for some statuses or for all.
    fn shelves(
        &self,
        server: Option<&str>,
        wanted: impl Fn(JobStatus) -> bool,
    ) -> impl Iterator<Item = &Shelf> {
        let (one, all) = match server {
            Some(server) => (self.0.get(server), None),
            None => (None, Some(self.0.values())),
        };
        let shelves = one.into_iter().chain(all.into_iter().flatten()).flatten();
        shelves.filter(move |(status, _)| wanted(**status)).map(|(_, shelf)| shelf)
    }

    /// The jobs of the server and in the statuses that `query` names, newest first. Its other conditions are not looked at.
    pub(in crate::core::store) fn newest(&self, query: &JobQuery) -> impl Iterator<Item = &Kept> {
        let wanted = named(&query.statuses);
        self.shelves(query.server.as_deref(), wanted).filter_map(Newest::of).collect::<Merged<'_>>()
    }

    /// How many jobs there are of one server or of all, in some statuses or in any.
    pub(in crate::core::store) fn count(
        &self,
        server: Option<&str>,
        statuses: &[JobStatus],
    ) -> usize {
        self.shelves(server, named(statuses)).map(|shelf| shelf.jobs.len()).sum()
    }

    /// The jobs of one server or of all, in no order.
    pub(in crate::core::store) fn of(&self, server: Option<&str>) -> impl Iterator<Item = &Kept> {
        self.shelves(server, |_| true).flat_map(|shelf| shelf.jobs.values())
    }

    /// The jobs of one server or of all that have not ended.
    pub(in crate::core::store) fn live(&self, server: Option<&str>) -> impl Iterator<Item = &Kept> {
        self.shelves(server, |status| !status.is_terminal()).flat_map(|shelf| shelf.jobs.values())
    }

    /// The shelves of the jobs that `prune` may remove, by server and status alone.
    fn prunable(&self, prune: &Prune) -> impl Iterator<Item = &Shelf> {
        let named = named(&prune.statuses);
        self.shelves(prune.server.as_deref(), move |status| status.is_terminal() && named(status))
    }

    /// The ended jobs of the server and in the statuses that `prune` names. Its other conditions are not looked at.
    pub(in crate::core::store) fn ended(&self, prune: &Prune) -> impl Iterator<Item = &Kept> {
        self.prunable(prune).flat_map(|shelf| shelf.jobs.values())
    }

    /// How many [`ended`](Self::ended) there are, and how many bytes their records take.
    pub(in crate::core::store) fn count_ended(&self, prune: &Prune) -> (usize, u64) {
        let shelves = self.prunable(prune);
        shelves
            .fold((0, 0), |(count, bytes), shelf| (count + shelf.jobs.len(), bytes + shelf.bytes))
    }
}

/// Whether a status is one of those named; none named means any.
fn named(statuses: &[JobStatus]) -> impl Fn(JobStatus) -> bool {
    let any = statuses.is_empty();
    let statuses = JobStatus::ALL.map(|status| statuses.contains(&status).then_some(status));
    move |status| any || statuses.contains(&Some(status))
}

/// All at once, in any order: sorted, which is a fraction of what one insertion after another costs.
impl<'a> FromIterator<&'a Kept> for Index {
    fn from_iter<I: IntoIterator<Item = &'a Kept>>(jobs: I) -> Self {
        let mut groups = BTreeMap::<(&str, JobStatus), (Vec<(Age, Kept)>, u64)>::new();
        for job in jobs {
            let (group, bytes) = groups.entry((job.server(), job.status())).or_default();
            group.push((age(job), job.clone()));
            *bytes += job.ended_bytes();
        }
        let mut index = Self::default();
        for ((server, status), (group, bytes)) in groups {
            let shelf = Shelf { jobs: group.into_iter().collect(), bytes };
            index.0.entry(server.into()).or_default().insert(status, shelf);
        }
        index
    }
}

/// What is left of a shelf: its newest job, and those before it.
struct Newest<'a> {
    age: &'a Age,
    job: &'a Kept,
    before: btree_map::Iter<'a, Age, Kept>,
}

impl<'a> Newest<'a> {
    fn of(shelf: &'a Shelf) -> Option<Self> {
        let mut before = shelf.jobs.iter();
        before.next_back().map(|(age, job)| Self { age, job, before })
    }
}

impl Ord for Newest<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.age.cmp(other.age)
    }
}

impl PartialOrd for Newest<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Newest<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Newest<'_> {}

/// Several shelves as one, newest first.
struct Merged<'a>(BinaryHeap<Newest<'a>>);

impl<'a> FromIterator<Newest<'a>> for Merged<'a> {
    fn from_iter<I: IntoIterator<Item = Newest<'a>>>(shelves: I) -> Self {
        Self(shelves.into_iter().collect())
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Kept;

    fn next(&mut self) -> Option<&'a Kept> {
        let mut newest = self.0.peek_mut()?;
        let job = newest.job;
        match newest.before.next_back() {
            Some((age, before)) => (newest.age, newest.job) = (age, before),
            None => drop(std::collections::binary_heap::PeekMut::pop(newest)),
        }
        Some(job)
    }
}
