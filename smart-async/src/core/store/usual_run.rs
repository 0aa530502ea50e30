//! How long the tools of a server usually take, by their newest completed runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::job::{JobQuery, JobRecord, JobStatus};

/// How long a tool usually takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsualRun {
    /// The tool.
    pub tool: String,
    /// The median of its newest completed runs, of 20 at most.
    pub median: Duration,
    /// The number of those runs.
    pub runs: usize,
}

impl UsualRun {
    /// How many of a tool's newest runs count.
    pub const RUNS: usize = 20;
    /// How many of a server's newest completed jobs are read for that: older runs say little of today.
    const NEWEST: usize = 1000;

    /// The median of a tool's newest runs; `None` where there is none.
    pub fn new(tool: impl Into<String>, mut newest: Vec<Duration>) -> Option<Self> {
        newest.truncate(Self::RUNS);
        newest.sort_unstable();
        let median = *newest.get(newest.len() / 2)?;
        Some(Self { tool: tool.into(), median, runs: newest.len() })
    }

    /// The query for the jobs that count.
    pub(super) fn query(server: String) -> JobQuery {
        JobQuery {
            server: Some(server),
            statuses: vec![JobStatus::Completed],
            limit: Some(Self::NEWEST),
            ..JobQuery::default()
        }
    }

    /// The usual runs of the tools whose jobs, newest first, these are.
    pub(super) fn of<'a>(jobs: impl Iterator<Item = &'a JobRecord>) -> Vec<Self> {
        let mut tools = BTreeMap::<&str, Vec<Duration>>::new();
        for job in jobs.take(Self::NEWEST) {
            let ran = job.state.completed_at().and_then(|end| job.elapsed(end));
            tools.entry(&job.spec.tool).or_default().extend(ran);
        }
        tools.into_iter().filter_map(|(tool, ran)| Self::new(tool, ran)).collect()
    }
}
