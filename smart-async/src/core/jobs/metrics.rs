//! Figures about many jobs: how many there are, how long they run, and which slots are taken.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Error, Jobs};
use crate::core::job::{JobQuery, JobStatus};

/// Figures about the jobs that a query asks for.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobMetrics {
    /// How many jobs there are in each status; a status without jobs is left out.
    pub by_status: BTreeMap<JobStatus, usize>,
    /// How many of them wait for a slot.
    pub queued: usize,
    /// How long the runs took that completed, by tool.
    pub run_times: BTreeMap<String, RunTimeStatistics>,
    /// How many bytes their records and results take.
    pub stored_bytes: u64,
}

/// How long the completed runs of a tool took.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RunTimeStatistics {
    /// How many runs these are.
    pub runs: usize,
    /// Their mean.
    pub mean: Duration,
    /// The time within which 95 of 100 of them ended.
    pub p95: Duration,
}

/// The slots that are taken in all processes that share the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotsInUse {
    /// How many explicit jobs run or are about to.
    pub jobs: usize,
    /// How many runs of each tool with a limit are under way, by the names of its server and its own, and the limit.
    pub of_tools: BTreeMap<(String, String), (usize, u32)>,
}

impl Jobs {
    /// Figures about the jobs that `query` asks for. It reads all of them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn metrics(&self, query: JobQuery) -> Result<JobMetrics, Error> {
        let mut metrics = JobMetrics::default();
        let mut runs = BTreeMap::<_, Vec<_>>::new();
        for job in self.list(query).await?.jobs {
            *metrics.by_status.entry(job.status()).or_default() += 1;
            metrics.queued += usize::from(job.waits_for_slot());
            metrics.stored_bytes += job.stored_bytes();
            if job.status() == JobStatus::Completed
                && let Some(ran) = self.elapsed(&job)
            {
                runs.entry(job.spec.tool.clone()).or_default().push(ran);
            }
        }
        let statistics =
            runs.into_iter().filter_map(|(tool, runs)| Some((tool, statistics(runs)?)));
        metrics.run_times = statistics.collect();
        Ok(metrics)
    }

    /// The slots that are taken in all processes that share the store.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn slots_in_use(&self) -> Result<SlotsInUse, Error> {
        let live = JobQuery {
            statuses: vec![JobStatus::Pending, JobStatus::Running, JobStatus::InputRequired],
            with_open_calls: true,
            ..JobQuery::default()
        };
        let abandoned = self.local.store.abandoned(None).await?;
        let dead: HashSet<_> = abandoned.iter().map(|job| job.id).collect();
        let mut slots = SlotsInUse::default();
        for job in self.local.store.list(live).await?.jobs {
            // A job whose owner has died does not run any more, though its record may not say so yet.
            let taken = usize::from(job.holds_slot() && !dead.contains(&job.id));
            if job.spec.explicit {
                slots.jobs += taken;
            }
            if let Some(limit) = job.spec.max_concurrent {
                let tool = (job.spec.server.clone(), job.spec.tool.clone());
                slots.of_tools.entry(tool).or_insert((0, limit)).0 += taken;
            }
        }
        Ok(slots)
    }
}

/// `None` for no runs.
fn statistics(mut runs: Vec<Duration>) -> Option<RunTimeStatistics> {
    runs.sort_unstable();
    let count = u32::try_from(runs.len()).ok().filter(|count| *count > 0)?;
    let mean = runs.iter().sum::<Duration>() / count;
    let p95 = *runs.get((runs.len() * 95).div_ceil(100) - 1)?;
    Some(RunTimeStatistics { runs: runs.len(), mean, p95 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_of_100_runs_is_the_time_in_which_95_of_them_ended() {
        let seconds = |runs: std::ops::RangeInclusive<u64>| runs.map(Duration::from_secs).collect();
        assert_eq!(statistics(Vec::new()), None);
        let one = statistics(seconds(7..=7)).unwrap();
        assert_eq!(
            (one.runs, one.mean, one.p95),
            (1, Duration::from_secs(7), Duration::from_secs(7))
        );
        let many = statistics(seconds(1..=100)).unwrap();
        assert_eq!((many.mean, many.p95), (Duration::from_millis(50_500), Duration::from_secs(95)));
    }
}
