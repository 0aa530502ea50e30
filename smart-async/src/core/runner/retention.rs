//! The sweep: removes ended jobs of this server that are too old, too many or too large together, at the start and
//! every hour.

use std::time::Duration;

use crate::core::job::Prune;
use crate::core::manager::{JobManager, Retention};
use crate::core::spawn::try_spawn;
use crate::core::{clock, env_vars, observe};

/// How often the sweep comes by, unless `JOB_CLEANUP_INTERVAL` says otherwise.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Sweeps now, and then for as long as the manager is there.
pub(in crate::core) fn start(manager: &JobManager) {
    let weak = manager.downgrade();
    try_spawn(async move {
        while let Some(manager) = weak.upgrade() {
            sweep(&manager).await;
            drop(manager);
            let interval = env_vars::duration(&env_vars::process, env_vars::CLEANUP_INTERVAL);
            tokio::time::sleep(interval.unwrap_or(INTERVAL)).await;
        }
    });
}

async fn sweep(manager: &JobManager) {
    let Retention { max_age, min_age, max_jobs, max_bytes } = manager.retention();
    let own = || Prune {
        server: Some(manager.server().to_owned()),
        // Whoever waits in another process looks four times a second, and is not known here.
        ended_before: Some(clock::ago(min_age)).filter(|_| !min_age.is_zero()),
        ..Prune::default()
    };
    let too_old = Prune { ended_before: Some(clock::ago(max_age.max(min_age))), ..own() };
    let too_many = Prune { keep_newest: max_jobs, ..own() };
    let too_large = Prune { keep_bytes: Some(max_bytes), ..own() };
    for prune in [too_old, too_many, too_large] {
        match manager.prune_unread(prune).await {
            Ok(pruned) if pruned.removed > 0 => {
                tracing::info!(removed = pruned.removed, "swept away ended jobs");
            }
            Ok(_) => {}
            Err(error) => observe::warn!(%error, "failed to sweep away ended jobs"),
        }
    }
}
