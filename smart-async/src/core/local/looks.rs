//! The looks at jobs that are watched: a change costs one read of the store, however many watch the job.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::job::{JobId, JobRecord};
use crate::core::store::StoreError;
use crate::core::sync::Mutex;

/// How often the jobs of a store without news are read.
pub(in crate::core) const TICK: Duration = Duration::from_millis(250);

/// For how long a look is kept at least: a watcher that is slower reads by itself.
const KEPT: Duration = Duration::from_secs(10);

/// The freshness that a watcher needs of a look at a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core) enum Need {
    /// Any look: the watcher has seen the job, and comes back to it.
    Any,
    /// One in answer to news of this version, or of a later one.
    Version(u64),
    /// One of this tick.
    Tick,
    /// One of its own.
    Now,
}

impl Need {
    /// The need that a look has to meet so that it meets both.
    pub(in crate::core) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, need) | (need, Self::Any) => need,
            (Self::Version(one), Self::Version(other)) => Self::Version(one.max(other)),
            (Self::Tick, Self::Tick) => Self::Tick,
            _ => Self::Now,
        }
    }
}

/// The looks of all watchers of this process.
#[derive(Default)]
pub(in crate::core) struct SharedLooks {
    looks: Mutex<Looks>,
    /// Held by the watcher that reads; the others wait, and find what it has read.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Looks {
    by_job: HashMap<JobId, LastLook>,
    /// When old looks were dropped last.
    swept: Option<Instant>,
}

struct LastLook {
    /// The latest version whose news this look, or one before it, was an answer to.
    version: u64,
    at: Instant,
    /// `None` where the job was not there.
    job: Option<Arc<JobRecord>>,
}

impl LastLook {
    fn meets(&self, need: Need, now: Instant) -> bool {
        match need {
            Need::Any => true,
            Need::Version(version) => version <= self.version,
            Need::Tick => now < self.at + TICK,
            Need::Now => false,
        }
    }
}

impl SharedLooks {
    /// Looks at jobs: the store is read for those alone of which no watcher has read what is needed. Returns those that are there.
    ///
    /// # Cancel safety
    /// Dropping the future loses a read, and nothing else.
    pub(in crate::core) async fn look<F>(
        &self,
        needs: &HashMap<JobId, Need>,
        read: impl FnOnce(Vec<JobId>) -> F,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError>
    where
        F: Future<Output = Result<Vec<Arc<JobRecord>>, StoreError>>,
    {
        if let Ok(jobs) = self.looks.lock().answer(needs) {
            return Ok(jobs);
        }
        let _reading = self.reading.lock().await;
        let lacking = match self.looks.lock().answer(needs) {
            Ok(jobs) => return Ok(jobs),
            Err(lacking) => lacking,
        };
        let at = Instant::now();
        let found = read(lacking.clone()).await?;
        let mut looks = self.looks.lock();
        looks.put(needs, &lacking, found, at);
        let jobs = looks.jobs(needs);
        // Last, because a slow watcher may have had its answer from an old look.
        looks.sweep(at);
        Ok(jobs)
    }
}

impl Looks {
    /// The jobs, where the looks meet all needs; an error with the jobs to read where they do not.
    fn answer(&self, needs: &HashMap<JobId, Need>) -> Result<Vec<Arc<JobRecord>>, Vec<JobId>> {
        let lacking = self.lacking(needs);
        if lacking.is_empty() { Ok(self.jobs(needs)) } else { Err(lacking) }
    }

    fn lacking(&self, needs: &HashMap<JobId, Need>) -> Vec<JobId> {
        let now = Instant::now();
        let meets =
            |id, need| self.by_job.get(id).is_some_and(|look: &LastLook| look.meets(need, now));
        needs.iter().filter(|(id, need)| !meets(*id, **need)).map(|(id, _)| *id).collect()
    }

    fn jobs(&self, needs: &HashMap<JobId, Need>) -> Vec<Arc<JobRecord>> {
        needs.keys().filter_map(|id| self.by_job.get(id)?.job.clone()).collect()
    }

    fn put(
        &mut self,
        needs: &HashMap<JobId, Need>,
        read: &[JobId],
        found: Vec<Arc<JobRecord>>,
        at: Instant,
    ) {
        let mut found: HashMap<_, _> = found.into_iter().map(|job| (job.id, job)).collect();
        for id in read {
            let before = self.by_job.get(id).map_or(0, |look| look.version);
            let version = match needs.get(id) {
                Some(Need::Version(version)) => before.max(*version),
                _ => before,
            };
            self.by_job.insert(*id, LastLook { version, at, job: found.remove(id) });
        }
    }

    /// Drops old looks, from time to time.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| swept + KEPT <= now) {
            self.by_job.retain(|_, look| now < look.at + KEPT);
            self.swept = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{JobSpec, Timestamp};

    #[tokio::test(start_paused = true)]
    async fn a_slow_watcher_finds_a_job_whose_look_is_old_beside_one_that_is_read() {
        let job = || {
            let spec = JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH);
            Arc::new(JobRecord::new(JobId::new(), spec))
        };
        let (old, new) = (job(), job());
        let all = [Arc::clone(&old), Arc::clone(&new)];
        let read = |ids: Vec<JobId>| {
            let found = all.iter().filter(|job| ids.contains(&job.id)).cloned().collect();
            std::future::ready(Ok(found))
        };
        let looks = SharedLooks::default();
        let first = HashMap::from([(old.id, Need::Version(2))]);
        assert_eq!(looks.look(&first, read).await.unwrap().len(), 1);
        tokio::time::advance(KEPT * 2).await;
        let needs = HashMap::from([(old.id, Need::Version(2)), (new.id, Need::Now)]);
        assert_eq!(looks.look(&needs, read).await.unwrap().len(), 2);
    }
}
