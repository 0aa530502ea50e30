//! Claims: which of the waiting jobs a process gets, within the limits on how many run at a time. Every store answers alike,
//! because the rules are here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::queue_order::in_order;
use super::{JobId, JobKind, JobRecord, JobScope, OwnerId, Timestamp};

/// The waiting jobs that a process asks for. A store gives each out once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimQuery {
    /// Those of this server.
    pub server: String,
    /// Only those of these tools; empty means any.
    pub tools: Vec<String>,
    /// Only those of these kinds; empty means any.
    pub kinds: Vec<JobKind>,
    /// At most this many.
    pub limit: usize,
    /// Only these; empty means any.
    pub jobs: Vec<JobId>,
    /// Whether the process asks for the jobs that it has queued itself; else for those that have no owner.
    pub queued: bool,
    /// How many jobs may run at a time, where the claim is to keep to that.
    pub limits: Option<ClaimLimits>,
}

/// How many jobs may run at a time in all processes that share a store. A claim gives out no job that would go beyond these
/// limits, or beyond that of the job's tool ([`JobSpec::max_concurrent`](super::JobSpec::max_concurrent)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimLimits {
    /// How many explicit jobs ([`JobSpec::explicit`](super::JobSpec::explicit)) may run at a time.
    pub jobs: usize,
    /// How many of these of one session of one client, where a job names one of both.
    pub jobs_per_session: usize,
    /// Owners that have died: their jobs do not run any more, though no record says so yet.
    pub dead_owners: HashSet<OwnerId>,
    /// Whether a job that another living process has queued, and that comes first, keeps its slot free for that process.
    pub yields: bool,
}

impl ClaimLimits {
    /// These limits. A job of another process that comes first keeps its slot.
    pub fn new(jobs: usize, jobs_per_session: usize) -> Self {
        Self { jobs, jobs_per_session, dead_owners: HashSet::new(), yields: true }
    }
}

impl ClaimQuery {
    /// Up to `limit` waiting jobs of this server.
    pub fn new(server: impl Into<String>, limit: usize) -> Self {
        Self {
            server: server.into(),
            tools: Vec::new(),
            kinds: Vec::new(),
            limit,
            jobs: Vec::new(),
            queued: false,
            limits: None,
        }
    }

    /// Returns whether a job may be given to this owner at `now`, as far as no limit is concerned.
    pub fn matches(&self, job: &JobRecord, owner: OwnerId, now: Timestamp) -> bool {
        (self.jobs.is_empty() || self.jobs.contains(&job.id)) && self.is_about(job, owner, now)
    }

    /// Returns whether a job meets the conditions, save for the list of jobs.
    fn is_about(&self, job: &JobRecord, owner: OwnerId, now: Timestamp) -> bool {
        let waits = match self.queued {
            true => job.waits_for_slot() && job.owner == Some(owner),
            false => job.is_claimable() && job.is_due(now),
        };
        waits
            && job.spec.server == self.server
            && (self.tools.is_empty() || self.tools.contains(&job.spec.tool))
            && (self.kinds.is_empty() || self.kinds.contains(&job.spec.kind))
    }

    /// Of `live`, the jobs to give to this owner at `now`: by priority, and of equally urgent ones the first to come; a job gains
    /// one level of priority for each minute that it waits. `live` has all jobs of the store that have not ended, where the query
    /// has limits, else those of its server at least.
    pub fn select<'a>(
        &self,
        live: impl IntoIterator<Item = &'a Arc<JobRecord>>,
        owner: OwnerId,
        now: Timestamp,
    ) -> Vec<Arc<JobRecord>> {
        let live: Vec<_> = live.into_iter().collect();
        let mut taken = self.limits.as_ref().map(|limits| TakenSlots::of(limits, &live));
        let comes_first = |job: &JobRecord| match &self.limits {
            Some(limits) if limits.yields => {
                job.waits_for_slot() && !limits.counts_as_dead(job) && job.owner != Some(owner)
            }
            _ => false,
        };
        let named: HashSet<_> = self.jobs.iter().copied().collect();
        let is_asked = |job: &JobRecord| {
            (named.is_empty() || named.contains(&job.id)) && self.is_about(job, owner, now)
        };
        let waiting = live.into_iter().filter(|job| is_asked(job) || comes_first(job));
        let mut given = Vec::new();
        for job in in_order(waiting.cloned().collect()) {
            if given.len() == self.limit {
                break;
            }
            let fits = taken.as_mut().is_none_or(|taken| taken.take(&job));
            if fits && is_asked(&job) {
                given.push(job);
            }
        }
        given
    }
}

impl ClaimLimits {
    fn counts_as_dead(&self, job: &JobRecord) -> bool {
        job.owner.is_some_and(|owner| self.dead_owners.contains(&owner))
    }
}

/// The slots that a job needs. Where a job has to wait for them, so does every later one that needs the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::core) struct NeededSlots {
    tool: Option<(String, String)>,
    session: Option<(Option<String>, Option<JobScope>)>,
}

impl NeededSlots {
    pub(in crate::core) fn of(job: &JobRecord) -> Self {
        Self {
            tool: job.spec.max_concurrent.map(|_| tool(job)),
            session: job.spec.explicit.then(|| session(job)),
        }
    }
}

/// The slots that are taken.
struct TakenSlots<'a> {
    limits: &'a ClaimLimits,
    jobs: usize,
    of_sessions: HashMap<(Option<String>, Option<JobScope>), usize>,
    of_tools: HashMap<(String, String), usize>,
}

impl<'a> TakenSlots<'a> {
    fn of(limits: &'a ClaimLimits, live: &[&Arc<JobRecord>]) -> Self {
        let mut taken =
            Self { limits, jobs: 0, of_sessions: HashMap::new(), of_tools: HashMap::new() };
        for job in live.iter().filter(|job| job.holds_slot() && !limits.counts_as_dead(job)) {
            taken.count(job);
        }
        taken
    }

    fn count(&mut self, job: &JobRecord) {
        *self.of_tools.entry(tool(job)).or_default() += 1;
        if job.spec.explicit {
            self.jobs += 1;
            *self.of_sessions.entry(session(job)).or_default() += 1;
        }
    }

    /// Takes the slots that a job needs. Returns whether all of them were free.
    fn take(&mut self, job: &JobRecord) -> bool {
        let is_full = |used: Option<&usize>, limit| used.is_some_and(|used| *used >= limit);
        let tool_limit = job.spec.max_concurrent.map(|limit| limit as usize);
        let has_session = job.spec.session.is_some() || job.spec.scope.is_some();
        let is_refused = tool_limit
            .is_some_and(|limit| is_full(self.of_tools.get(&tool(job)), limit))
            || (job.spec.explicit
                && (self.jobs >= self.limits.jobs
                    || (has_session
                        && is_full(
                            self.of_sessions.get(&session(job)),
                            self.limits.jobs_per_session,
                        ))));
        if !is_refused {
            self.count(job);
        }
        !is_refused
    }
}

fn tool(job: &JobRecord) -> (String, String) {
    (job.spec.server.clone(), job.spec.tool.clone())
}

fn session(job: &JobRecord) -> (Option<String>, Option<JobScope>) {
    (job.spec.session.clone(), job.spec.scope.clone())
}
