//! Recovery: the runner accounts for the jobs of its server that an earlier process left behind. It leaves the jobs of other
//! servers alone.

use std::sync::Arc;

use super::engine::Engine;
use crate::core::job::JobId;
use crate::core::local::recovered;
use crate::core::observe;
use crate::core::store::StoreError;

/// The outcome of a recovery.
#[derive(Default)]
pub(super) struct Recovered {
    /// The jobs whose records have changed.
    pub(super) changed: Vec<JobId>,
    /// Whether jobs wait to run again.
    pub(super) is_work_waiting: bool,
}

/// Accounts for the jobs of this server whose owner has died: each has failed, is cancelled, or waits to run again. Of several
/// processes that do the same at once, the store lets one change each job.
pub(super) async fn recover(engine: &Arc<Engine>) -> Recovered {
    let local = &engine.local;
    let mut outcome = Recovered::default();
    let abandoned = match local.store.abandoned(Some(engine.server().to_owned())).await {
        Ok(abandoned) => abandoned,
        Err(error) => {
            observe::error!(%error, "failed to look for jobs whose server has died");
            return outcome;
        }
    };
    for job in abandoned {
        // A job without an owner waits; no process has lost it.
        if job.is_claimable() {
            outcome.is_work_waiting |= job.waits_for_server();
            continue;
        }
        match local.update(job.id, recovered(&job, local.now())).await {
            Ok(job) => {
                local.announce(&job);
                observe::warn!(job_id = %job.id, tool = %job.spec.tool, status = %job.status(), "job was interrupted by the end of its server");
                outcome.is_work_waiting |= job.waits_for_server();
                outcome.changed.push(job.id);
            }
            // Another process was faster.
            Err(StoreError::Illegal { .. } | StoreError::NotOwner(_) | StoreError::NotFound(_)) => {
                outcome.changed.push(job.id);
            }
            Err(error) => {
                observe::error!(job_id = %job.id, %error, "failed to account for a job whose server has died");
            }
        }
    }
    outcome
}

/// Learns from the store how long each tool takes.
pub(super) async fn remember_runs(engine: &Engine) {
    let local = &engine.local;
    let Ok(usual) = local.store.usual_runs(engine.server().to_owned()).await else { return };
    for usual in &usual {
        local.run_times.seed(usual);
    }
}
