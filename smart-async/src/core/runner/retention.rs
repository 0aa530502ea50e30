//! The sweep: a service that removes the ended jobs of this server that are too old, too many or too large together, at the
//! start and every hour.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::Engine;
use super::settings::Retention;
use crate::core::job::{JobId, JobQuery, JobRecord, JobStatus, Prune, Timestamp};
use crate::core::jobs::Jobs;
use crate::core::spawn::try_spawn;
use crate::core::{clock, env_vars, observe};

/// The pause between two sweeps, unless `JOB_CLEANUP_INTERVAL` sets another one.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Jobs that ended less long ago than this are spared: a caller of another process may be about to read it, and this
/// process does not know of it.
const MIN_AGE: Duration = Duration::from_secs(60);

/// Sweeps now, and then until the engine is gone.
pub(super) fn start(engine: &Arc<Engine>) {
    let (gone, weak) = (engine.gone.clone(), Arc::downgrade(engine));
    try_spawn(async move {
        let mut readable = Readable::default();
        while let Some(engine) = weak.upgrade() {
            sweep(&engine, &mut readable).await;
            drop(engine);
            let interval = env_vars::duration(&env_vars::process, env_vars::CLEANUP_INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(interval.unwrap_or(INTERVAL)) => {}
                () = gone.cancelled() => return,
            }
        }
    });
}

/// Since when the ended jobs can be read, as the sweeps of this process found them.
///
/// The end of a job by the wall clock is no measure of that: no reader could ask while no server ran, and the clock may jump.
#[derive(Default)]
struct Readable {
    since: HashMap<JobId, Instant>,
    /// The latest sweep, by both clocks.
    swept: Option<(Timestamp, Instant)>,
}

impl Readable {
    /// Takes note of the ended jobs that there are now.
    fn look_at(&mut self, ended: &[Arc<JobRecord>]) {
        let now = Instant::now();
        let known = std::mem::take(&mut self.since);
        let since = |id| known.get(&id).copied().unwrap_or(now);
        self.since = ended.iter().map(|job| (job.id, since(job.id))).collect();
    }

    /// Returns whether a job could be read for `age`.
    fn is_for(&self, age: Duration, job: &JobRecord) -> bool {
        self.since.get(&job.id).is_some_and(|since| since.elapsed() >= age)
    }

    /// The time before which a job has ended at least [`MIN_AGE`] ago, though the clock was put forward since the latest sweep. One
    /// that ended before the clock was put back shows a later time; the next sweep knows it.
    fn settled_before(&mut self, now: Timestamp) -> Timestamp {
        let swept = self.swept.replace((now, Instant::now()));
        let jump =
            swept.and_then(|(then, at)| (now - clock::after(then, at.elapsed())).to_std().ok());
        clock::before(now, MIN_AGE.saturating_add(jump.unwrap_or_default()))
    }
}

async fn sweep(engine: &Engine, readable: &mut Readable) {
    let Retention { max_age, max_jobs, max_bytes } = engine.settings.retention();
    let local = &engine.local;
    let ended = JobQuery {
        server: Some(engine.server().to_owned()),
        statuses: JobStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect(),
        with_open_calls: true,
        ..JobQuery::default()
    };
    let ended = match local.store.list(ended).await {
        Ok(ended) => ended.jobs,
        Err(error) => return observe::warn!(%error, "failed to look for ended jobs"),
    };
    let (calls, ended): (Vec<_>, Vec<_>) = ended.into_iter().partition(|job| job.call_open);
    forget_keys(engine, &calls).await;
    readable.look_at(&ended);
    let settled_before = readable.settled_before(local.now());
    let is_old = |job: &JobRecord| readable.is_for(max_age.max(MIN_AGE), job);
    let is_settled = |job: &JobRecord| {
        readable.is_for(MIN_AGE, job)
            || job.state.completed_at().is_some_and(|end| end < settled_before)
    };
    let named = |is_meant: &dyn Fn(&JobRecord) -> bool| -> Vec<JobId> {
        ended.iter().filter(|job| is_meant(job)).map(|job| job.id).collect()
    };
    let (old, settled) = (named(&is_old), named(&is_settled));
    let too_old = Prune { jobs: old, ..Prune::default() };
    let too_many = Prune { jobs: settled.clone(), keep_newest: max_jobs, ..Prune::default() };
    let too_large = Prune { jobs: settled, keep_bytes: Some(max_bytes), ..Prune::default() };
    for mut prune in [too_old, too_many, too_large] {
        // An empty list would mean any.
        if prune.jobs.is_empty() {
            continue;
        }
        prune.server = Some(engine.server().to_owned());
        match Jobs::prune_unpinned(local, prune).await {
            Ok(pruned) if pruned.removed > 0 => {
                observe::info!(removed = pruned.removed, "swept away ended jobs");
            }
            Ok(_) => {}
            Err(error) => observe::warn!(%error, "failed to sweep away ended jobs"),
        }
    }
}

/// Removes the answers of calls whose keys are kept no longer.
async fn forget_keys(engine: &Engine, calls: &[Arc<JobRecord>]) {
    let local = &engine.local;
    let now = local.now();
    let is_over = |job: &&Arc<JobRecord>| !job.holds_key(now);
    for call in calls.iter().filter(is_over) {
        if let Err(error) = local.observed(local.store.withdraw(call.id).await) {
            return observe::warn!(%error, "failed to remove answers whose keys are over");
        }
    }
}
