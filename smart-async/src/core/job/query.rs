//! Queries over jobs: which to list, which to claim, which to remove. Every store answers them alike, because the conditions
//! are evaluated here.

use std::collections::HashSet;
use std::sync::Arc;

use super::{JobId, JobRecord, JobScope, JobStatus, Progress, Timestamp};

/// The jobs to list. The default lists all, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobQuery {
    /// Only those of this server.
    pub server: Option<String>,
    /// Only those in one of these; empty means any.
    pub statuses: Vec<JobStatus>,
    /// Only those with this label.
    pub label: Option<String>,
    /// Only those with this tag, and with this value of it where one is given.
    pub tag: Option<(String, Option<String>)>,
    /// Only those of this grouping of the caller's.
    pub session: Option<String>,
    /// Only those of this client.
    pub scope: Option<JobScope>,
    /// Only those that come after this place in the list. The total counts all.
    pub after: Option<JobCursor>,
    /// At most this many.
    pub limit: Option<usize>,
    /// Whether to count the jobs as well, which may cost a store more than the page does.
    pub with_total: bool,
    /// Whether to list open calls as well ([`JobRecord::call_open`]), which are no jobs yet.
    pub with_open_calls: bool,
}

/// A place in a list of jobs, newest first: behind a job, whether that is still there or not. So pages neither skip nor
/// repeat a job while others are added and removed.
///
/// Of two places, the greater one is that of the newer job: of the one that the store has taken later. The time counts only
/// for jobs without a number, and the id breaks ties, so that every list has the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobCursor {
    /// The number that the store has given the job ([`JobRecord::sequence`]).
    pub sequence: u64,
    /// When the job was made.
    pub created_at: Timestamp,
    /// The job.
    pub id: JobId,
}

impl JobCursor {
    /// The place behind this job.
    pub fn behind(job: &JobRecord) -> Self {
        Self { sequence: job.sequence, created_at: job.spec.created_at, id: job.id }
    }

    /// Returns whether the job comes after this place.
    pub fn precedes(&self, job: &JobRecord) -> bool {
        Self::behind(job) < *self
    }
}

impl JobQuery {
    /// Returns whether a job meets every condition, save for its place in the list.
    pub fn matches(&self, job: &JobRecord) -> bool {
        (self.with_open_calls || !job.call_open)
            && self.server.as_ref().is_none_or(|server| *server == job.spec.server)
            && (self.statuses.is_empty() || self.statuses.contains(&job.status()))
            && self.label.as_ref().is_none_or(|label| *label == job.spec.label)
            && self
                .session
                .as_ref()
                .is_none_or(|session| job.spec.session.as_ref() == Some(session))
            && self.scope.as_ref().is_none_or(|scope| job.spec.scope.as_ref() == Some(scope))
            && self.tag.as_ref().is_none_or(|(key, value)| match (job.spec.tags.get(key), value) {
                (Some(found), Some(wanted)) => found == wanted,
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            })
    }

    /// The page of `jobs` that this query asks for: newest first, and with the total before place and limit where the query asks
    /// for that.
    pub fn select(&self, jobs: impl IntoIterator<Item = Arc<JobRecord>>) -> JobPage {
        let mut jobs: Vec<_> = jobs.into_iter().filter(|job| self.matches(job)).collect();
        let total = self.with_total.then_some(jobs.len());
        jobs.retain(|job| self.after.is_none_or(|place| place.precedes(job)));
        jobs.sort_by_key(|job| std::cmp::Reverse(JobCursor::behind(job)));
        jobs.truncate(self.limit.unwrap_or(usize::MAX));
        JobPage { jobs, total }
    }
}

/// The answer to a [`JobQuery`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<Arc<JobRecord>>,
    /// The number of jobs that meet the conditions, before place and limit; `None` unless the query asks for it.
    pub total: Option<usize>,
}

impl JobPage {
    /// A page that a store has put together.
    pub const fn new(jobs: Vec<Arc<JobRecord>>, total: Option<usize>) -> Self {
        Self { jobs, total }
    }
}

/// The progress of one job, as its owner reports it to the store.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProgressReport {
    /// The job.
    pub id: JobId,
    /// Its progress.
    pub progress: Progress,
    /// The time of the report.
    pub at: Timestamp,
}

impl ProgressReport {
    /// A report of this job at this time.
    pub const fn new(id: JobId, progress: Progress, at: Timestamp) -> Self {
        Self { id, progress, at }
    }
}

/// The ended jobs to remove. A job that has not ended is never removed, whatever this says.
///
/// The default removes every ended job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prune {
    /// Only those of this server.
    pub server: Option<String>,
    /// Only those of this client.
    pub scope: Option<JobScope>,
    /// Only those in one of these; empty means any.
    pub statuses: Vec<JobStatus>,
    /// Only those that ended before this.
    pub ended_before: Option<Timestamp>,
    /// Of those that meet the conditions above, all but this many of those that ended last, by [`JobRecord::end_sequence`].
    pub keep_newest: usize,
    /// Of those that meet the conditions above, all but the last to end whose records and result files take this many bytes
    /// together.
    pub keep_bytes: Option<u64>,
    /// Only these; empty means any.
    pub jobs: Vec<JobId>,
    /// None of these, whatever the conditions above say: a caller is about to read them.
    pub spare: Vec<JobId>,
    /// None whose idempotency key is kept beyond this time; nor do those count among the ones that stay.
    pub spare_keys_at: Option<Timestamp>,
}

/// An ended job, as a [`Prune`] looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PruneCandidate<'a> {
    pub(crate) id: JobId,
    pub(crate) server: &'a str,
    pub(crate) scope: Option<&'a JobScope>,
    pub(crate) status: JobStatus,
    pub(crate) end_sequence: u64,
    pub(crate) completed_at: Timestamp,
    pub(crate) key_until: Option<Timestamp>,
    pub(crate) size: Size<'a>,
}

/// The number of bytes that a record takes: known, or to be counted on demand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size<'a> {
    Known(u64),
    Of(&'a JobRecord),
}

impl<'a> PruneCandidate<'a> {
    /// The job, if it has ended.
    pub(crate) fn of(job: &'a JobRecord) -> Option<Self> {
        let completed_at = job.state.completed_at()?;
        let (id, server, status) = (job.id, &job.spec.server, job.status());
        let (scope, end_sequence) = (job.spec.scope.as_ref(), job.end_sequence);
        let key_until = job.spec.idempotency.as_ref().map(|key| key.until);
        let size = Size::Of(job);
        Some(Self { id, server, scope, status, end_sequence, completed_at, key_until, size })
    }

    fn stored_bytes(&self) -> u64 {
        match self.size {
            Size::Known(bytes) => bytes,
            Size::Of(job) => job.stored_bytes(),
        }
    }
}

impl Prune {
    /// The jobs of `jobs` that this removes.
    pub fn select<'a>(&self, jobs: impl IntoIterator<Item = &'a JobRecord>) -> Vec<JobId> {
        self.select_candidates(jobs.into_iter().filter_map(PruneCandidate::of))
    }

    /// As [`select`](Self::select), of candidates.
    pub(crate) fn select_candidates<'a>(
        &self,
        jobs: impl IntoIterator<Item = PruneCandidate<'a>>,
    ) -> Vec<JobId> {
        let named: HashSet<_> = self.jobs.iter().collect();
        let is_named = |id: JobId| named.is_empty() || named.contains(&id);
        let mut ended: Vec<_> =
            jobs.into_iter().filter(|job| is_named(job.id) && self.is_about(job)).collect();
        let newest_first = |job: &PruneCandidate<'_>| {
            std::cmp::Reverse((job.end_sequence, job.completed_at, job.id))
        };
        let kept = match self.keep_bytes {
            Some(limit) => {
                ended.sort_unstable_by_key(newest_first);
                self.keep_newest.max(fitting(&ended, limit))
            }
            // Neither the order of the kept ones matters, nor that of the others.
            None if (1..ended.len()).contains(&self.keep_newest) => {
                ended.select_nth_unstable_by_key(self.keep_newest, newest_first);
                self.keep_newest
            }
            None => self.keep_newest,
        };
        let doomed = ended.into_iter().skip(kept).map(|job| job.id);
        doomed.filter(|id| !self.spare.contains(id)).collect()
    }

    /// Returns whether an ended job meets the conditions, save for the list of jobs and for the number that is kept.
    fn is_about(&self, job: &PruneCandidate<'_>) -> bool {
        self.server.as_ref().is_none_or(|server| *server == job.server)
            && self.scope.as_ref().is_none_or(|scope| job.scope == Some(scope))
            && (self.statuses.is_empty() || self.statuses.contains(&job.status))
            && self.ended_before.is_none_or(|before| job.completed_at < before)
            && self.spare_keys_at.is_none_or(|now| job.key_until.is_none_or(|until| until <= now))
    }
}

/// The number of the first jobs that take at most `limit` bytes together.
fn fitting(jobs: &[PruneCandidate<'_>], limit: u64) -> usize {
    let mut taken = 0_u64;
    let fits = |job: &&PruneCandidate<'_>| {
        taken = taken.saturating_add(job.stored_bytes());
        taken <= limit
    };
    jobs.iter().take_while(fits).count()
}
