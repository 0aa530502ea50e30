//! The sweep: a service that removes the ended jobs of this server that are too old, too many or too large together, at the
//! start and every hour.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::Engine;
use super::settings::Retention;
use crate::core::job::{JobId, JobQuery, JobRecord, JobStatus, Prune};
use crate::core::jobs::Jobs;
use crate::core::spawn::try_spawn;
use crate::core::{env_vars, observe};

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
struct Readable(HashMap<JobId, Instant>);

impl Readable {
    /// Takes note of the ended jobs that there are now, and returns those that could be read for `age`.
    fn for_as_long_as(&mut self, age: Duration, ended: &[Arc<JobRecord>]) -> Vec<JobId> {
        let now = Instant::now();
        let known = std::mem::take(&mut self.0);
        let since = |id| known.get(&id).copied().unwrap_or(now);
        self.0 = ended.iter().map(|job| (job.id, since(job.id))).collect();
        let old = self.0.iter().filter(|(_, since)| now.duration_since(**since) >= age);
        old.map(|(id, _)| *id).collect()
    }
}

async fn sweep(engine: &Engine, readable: &mut Readable) {
    let Retention { max_age, max_jobs, max_bytes } = engine.settings.retention();
    let local = &engine.local;
    let ended = JobQuery {
        server: Some(engine.server().to_owned()),
        statuses: JobStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect(),
        ..JobQuery::default()
    };
    let old = match local.store.list(ended).await {
        Ok(ended) => readable.for_as_long_as(max_age.max(MIN_AGE), &ended.jobs),
        Err(error) => return observe::warn!(%error, "failed to look for ended jobs"),
    };
    let own = |prune| Prune { server: Some(engine.server().to_owned()), ..prune };
    let too_old = (!old.is_empty()).then(|| own(Prune { jobs: old, ..Prune::default() }));
    let ended_before = Some(local.ago(MIN_AGE));
    let too_many = own(Prune { keep_newest: max_jobs, ended_before, ..Prune::default() });
    let keep_bytes = Some(max_bytes);
    let too_large = own(Prune { keep_bytes, ended_before, ..Prune::default() });
    for prune in too_old.into_iter().chain([too_many, too_large]) {
        match Jobs::prune_unpinned(local, prune).await {
            Ok(pruned) if pruned.removed > 0 => {
                observe::info!(removed = pruned.removed, "swept away ended jobs");
            }
            Ok(_) => {}
            Err(error) => observe::warn!(%error, "failed to sweep away ended jobs"),
        }
    }
}
