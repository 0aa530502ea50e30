//! Which jobs to list and which to remove: conditions that every store answers alike, because it asks here.

use std::sync::Arc;

use super::{JobId, JobRecord, JobScope, JobStatus, Timestamp};

/// Which jobs to list. The default lists all, newest first.
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
    /// At most so many.
    pub limit: Option<usize>,
}

impl JobQuery {
    /// Whether a job meets every condition.
    pub fn matches(&self, job: &JobRecord) -> bool {
        self.server.as_ref().is_none_or(|server| *server == job.spec.server)
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

    /// The page of `jobs` that this query asks for: newest first, `total` counted before the limit.
    pub fn select(&self, jobs: impl IntoIterator<Item = Arc<JobRecord>>) -> JobPage {
        let mut jobs: Vec<_> = jobs.into_iter().filter(|job| self.matches(job)).collect();
        let total = jobs.len();
        // The id breaks ties, so that a page is the same each time it is asked for.
        jobs.sort_by_key(|job| std::cmp::Reverse((job.spec.created_at, job.id)));
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
    /// How many met the conditions, before the limit.
    pub total: usize,
}

impl JobPage {
    /// A page that a store has put together.
    pub const fn new(jobs: Vec<Arc<JobRecord>>, total: usize) -> Self {
        Self { jobs, total }
    }
}

/// Which ended jobs to remove. A job that has not ended is never removed, whatever this says.
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
    /// Of those that meet the conditions above, all but so many of the newest.
    pub keep_newest: usize,
    /// Of those that meet the conditions above, all but the newest whose records and result files take so many
    /// bytes together.
    pub keep_bytes: Option<u64>,
    /// None of these, whatever the conditions above say: somebody is about to read them.
    pub spare: Vec<JobId>,
}

/// What a [`Prune`] asks of a job that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    pub(crate) id: JobId,
    pub(crate) server: &'a str,
    pub(crate) scope: Option<&'a JobScope>,
    pub(crate) status: JobStatus,
    pub(crate) completed_at: Timestamp,
    pub(crate) size: Size<'a>,
}

/// How many bytes a record takes: known, or to be counted where it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size<'a> {
    Known(u64),
    Of(&'a JobRecord),
}

impl<'a> Ended<'a> {
    /// A job, if it has ended.
    pub(crate) fn of(job: &'a JobRecord) -> Option<Self> {
        let completed_at = job.state.completed_at()?;
        let (id, server, status) = (job.id, &job.spec.server, job.status());
        let scope = job.spec.scope.as_ref();
        Some(Self { id, server, scope, status, completed_at, size: Size::Of(job) })
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
        self.select_ended(jobs.into_iter().filter_map(Ended::of))
    }

    /// As [`select`](Self::select), of jobs that have ended.
    pub(crate) fn select_ended<'a>(&self, jobs: impl IntoIterator<Item = Ended<'a>>) -> Vec<JobId> {
        let mut ended: Vec<_> = jobs.into_iter().filter(|job| self.is_about(job)).collect();
        let newest_first = |job: &Ended<'_>| std::cmp::Reverse((job.completed_at, job.id));
        let kept = match self.keep_bytes {
            Some(limit) => {
                ended.sort_unstable_by_key(newest_first);
                self.keep_newest.max(fitting(&ended, limit))
            }
            // It need not be known in which order the kept ones are, nor the others.
            None if (1..ended.len()).contains(&self.keep_newest) => {
                ended.select_nth_unstable_by_key(self.keep_newest, newest_first);
                self.keep_newest
            }
            None => self.keep_newest,
        };
        let doomed = ended.into_iter().skip(kept).map(|job| job.id);
        doomed.filter(|id| !self.spare.contains(id)).collect()
    }

    /// Whether an ended job meets the conditions, save for how many are kept.
    fn is_about(&self, job: &Ended<'_>) -> bool {
        self.server.as_ref().is_none_or(|server| *server == job.server)
            && self.scope.as_ref().is_none_or(|scope| job.scope == Some(scope))
            && (self.statuses.is_empty() || self.statuses.contains(&job.status))
            && self.ended_before.is_none_or(|before| job.completed_at < before)
    }
}

/// How many of the first jobs take at most `limit` bytes together.
fn fitting(jobs: &[Ended<'_>], limit: u64) -> usize {
    let mut taken = 0_u64;
    let fits = |job: &&Ended<'_>| {
        taken = taken.saturating_add(job.stored_bytes());
        taken <= limit
    };
    jobs.iter().take_while(fits).count()
}
