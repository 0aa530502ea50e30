//! The jobs of a table by server and status, in the order in which lists show them, so that the usual queries read no
//! other jobs.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, btree_map};
use std::ops::Bound;

use super::entry::Entry;
use crate::core::job::{JobCursor, JobQuery, JobStatus, Prune};

#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<Box<str>, BTreeMap<JobStatus, Bucket>>);

/// The jobs of one server that have one status.
#[derive(Debug, Default)]
struct Bucket {
    jobs: BTreeMap<JobCursor, Entry>,
    /// How many bytes the records of the ended jobs take.
    bytes: u64,
}

fn place(job: &Entry) -> JobCursor {
    JobCursor::behind(job.record())
}

impl Index {
    pub(super) fn insert(&mut self, job: Entry) {
        if !self.0.contains_key(job.server()) {
            self.0.insert(job.server().into(), BTreeMap::new());
        }
        if let Some(buckets) = self.0.get_mut(job.server()) {
            let bucket = buckets.entry(job.status()).or_default();
            bucket.bytes += job.ended_bytes();
            bucket.jobs.insert(place(&job), job);
        }
    }

    pub(super) fn remove(&mut self, job: &Entry) {
        let Some(buckets) = self.0.get_mut(job.server()) else { return };
        if let Some(bucket) = buckets.get_mut(&job.status())
            && bucket.jobs.remove(&place(job)).is_some()
        {
            bucket.bytes -= job.ended_bytes();
            if bucket.jobs.is_empty() {
                buckets.remove(&job.status());
            }
        }
        if buckets.is_empty() {
            self.0.remove(job.server());
        }
    }

    /// The buckets of one server or of all, for some statuses or for all.
    fn buckets(
        &self,
        server: Option<&str>,
        wanted: impl Fn(JobStatus) -> bool,
    ) -> impl Iterator<Item = &Bucket> {
        let (one, all) = match server {
            Some(server) => (self.0.get(server), None),
            None => (None, Some(self.0.values())),
        };
        let buckets = one.into_iter().chain(all.into_iter().flatten()).flatten();
        buckets.filter(move |(status, _)| wanted(**status)).map(|(_, bucket)| bucket)
    }

    /// The jobs of the server and in the statuses that `query` names, newest first, from its place in
    /// the list on; its other conditions are not applied.
    pub(super) fn newest(&self, query: &JobQuery) -> impl Iterator<Item = &Entry> {
        let buckets = self.buckets(query.server.as_deref(), named(&query.statuses));
        buckets.filter_map(|bucket| Newest::of(bucket, query.after)).collect::<Merged<'_>>()
    }

    /// The jobs of the server and in the statuses that `query` names, in no order; its other conditions are not applied.
    pub(super) fn all(&self, query: &JobQuery) -> impl Iterator<Item = &Entry> {
        let buckets = self.buckets(query.server.as_deref(), named(&query.statuses));
        buckets.flat_map(|bucket| bucket.jobs.values())
    }

    /// How many jobs there are of one server or of all, in some statuses or in any.
    pub(super) fn count(&self, server: Option<&str>, statuses: &[JobStatus]) -> usize {
        self.buckets(server, named(statuses)).map(|bucket| bucket.jobs.len()).sum()
    }

    /// The jobs of one server or of all, in no order.
    pub(super) fn of(&self, server: Option<&str>) -> impl Iterator<Item = &Entry> {
        self.buckets(server, |_| true).flat_map(|bucket| bucket.jobs.values())
    }

    /// The jobs of one server or of all that have not ended.
    pub(super) fn live(&self, server: Option<&str>) -> impl Iterator<Item = &Entry> {
        self.buckets(server, |status| !status.is_terminal()).flat_map(|bucket| bucket.jobs.values())
    }

    /// The buckets of the ended jobs of the server and in the statuses that `prune` names.
    fn prunable(&self, prune: &Prune) -> impl Iterator<Item = &Bucket> {
        let named = named(&prune.statuses);
        self.buckets(prune.server.as_deref(), move |status| status.is_terminal() && named(status))
    }

    /// The ended jobs of the server and in the statuses that `prune` names; its other conditions are not applied.
    pub(super) fn ended(&self, prune: &Prune) -> impl Iterator<Item = &Entry> {
        self.prunable(prune).flat_map(|bucket| bucket.jobs.values())
    }

    /// How many [`ended`](Self::ended) there are, and how many bytes their records take.
    pub(super) fn count_ended(&self, prune: &Prune) -> (usize, u64) {
        let buckets = self.prunable(prune);
        buckets.fold((0, 0), |(count, bytes), bucket| {
            (count + bucket.jobs.len(), bytes + bucket.bytes)
        })
    }
}

/// Returns whether a status is one of `statuses`; an empty slice means any.
fn named(statuses: &[JobStatus]) -> impl Fn(JobStatus) -> bool {
    let any = statuses.is_empty();
    let statuses = JobStatus::ALL.map(|status| statuses.contains(&status).then_some(status));
    move |status| any || statuses.contains(&Some(status))
}

/// Builds the index of a whole table: sorting costs a fraction of inserting one job after the other.
impl<'a> FromIterator<&'a Entry> for Index {
    fn from_iter<I: IntoIterator<Item = &'a Entry>>(jobs: I) -> Self {
        let mut groups = BTreeMap::<(&str, JobStatus), (Vec<(JobCursor, Entry)>, u64)>::new();
        for job in jobs {
            let (group, bytes) = groups.entry((job.server(), job.status())).or_default();
            group.push((place(job), job.clone()));
            *bytes += job.ended_bytes();
        }
        let mut index = Self::default();
        for ((server, status), (group, bytes)) in groups {
            let bucket = Bucket { jobs: group.into_iter().collect(), bytes };
            index.0.entry(server.into()).or_default().insert(status, bucket);
        }
        index
    }
}

/// The rest of a bucket: its newest job, and the jobs before it.
struct Newest<'a> {
    place: &'a JobCursor,
    job: &'a Entry,
    before: btree_map::Range<'a, JobCursor, Entry>,
}

impl<'a> Newest<'a> {
    /// The newest job of the bucket that comes after a place in the list.
    fn of(bucket: &'a Bucket, after: Option<JobCursor>) -> Option<Self> {
        let end = match after {
            Some(place) => Bound::Excluded(place),
            None => Bound::Unbounded,
        };
        let mut before = bucket.jobs.range((Bound::Unbounded, end));
        before.next_back().map(|(place, job)| Self { place, job, before })
    }
}

impl Ord for Newest<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(other.place)
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

/// Several buckets as one, newest first.
struct Merged<'a>(BinaryHeap<Newest<'a>>);

impl<'a> FromIterator<Newest<'a>> for Merged<'a> {
    fn from_iter<I: IntoIterator<Item = Newest<'a>>>(buckets: I) -> Self {
        Self(buckets.into_iter().collect())
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        let mut newest = self.0.peek_mut()?;
        let job = newest.job;
        match newest.before.next_back() {
            Some((place, before)) => (newest.place, newest.job) = (place, before),
            None => drop(std::collections::binary_heap::PeekMut::pop(newest)),
        }
        Some(job)
    }
}
