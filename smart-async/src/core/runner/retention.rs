//! The sweep: a service that removes the ended jobs of this server that are too old, too many or too large together, at the
//! start and every hour.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::settings::Retention;
use crate::core::job::Prune;
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
        while let Some(engine) = weak.upgrade() {
            sweep(&engine).await;
            drop(engine);
            let interval = env_vars::duration(&env_vars::process, env_vars::CLEANUP_INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(interval.unwrap_or(INTERVAL)) => {}
                () = gone.cancelled() => return,
            }
        }
    });
}

async fn sweep(engine: &Engine) {
    let Retention { max_age, max_jobs, max_bytes } = engine.settings.retention;
    let local = &engine.local;
    let own = |age: Duration| Prune {
        server: Some(engine.server().to_owned()),
        ended_before: Some(local.ago(age)),
        ..Prune::default()
    };
    let too_old = own(max_age.max(MIN_AGE));
    let too_many = Prune { keep_newest: max_jobs, ..own(MIN_AGE) };
    let too_large = Prune { keep_bytes: Some(max_bytes), ..own(MIN_AGE) };
    for prune in [too_old, too_many, too_large] {
        match Jobs::prune_unpinned(local, prune).await {
            Ok(pruned) if pruned.removed > 0 => {
                observe::info!(removed = pruned.removed, "swept away ended jobs");
            }
            Ok(_) => {}
            Err(error) => observe::warn!(%error, "failed to sweep away ended jobs"),
        }
    }
}
