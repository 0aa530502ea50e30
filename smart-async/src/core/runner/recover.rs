//! Recovery: the runner accounts for the jobs of its server that an earlier process left behind. It leaves the jobs of other
//! servers alone.

use std::sync::Arc;

use futures_util::future::join_all;

use super::engine::Engine;
use crate::core::job::{JobId, JobRecord, JobStatus};
use crate::core::local::recovered;
use crate::core::observe;
use crate::core::store::StoreError;

/// How many jobs are accounted for at the same time: a store may write them as one batch. Between two batches other requests have
/// their turn.
const BATCH: usize = 512;

/// The outcome of a recovery.
#[derive(Default)]
pub(super) struct Recovered {
    /// The jobs whose records have changed.
    pub(super) changed: Vec<JobId>,
    /// Whether jobs wait to run again.
    pub(super) is_work_waiting: bool,
}

/// Looks for the jobs of this server whose owner has died, or that wait for a server. Readers see the former as recovery will
/// leave them from then on.
pub(super) async fn look(engine: &Engine) -> Vec<Arc<JobRecord>> {
    let local = &engine.local;
    match local.store.abandoned(Some(engine.server().to_owned())).await {
        Ok(abandoned) => {
            local.dead_owners.add_owners_of(&abandoned, local.now());
            abandoned
        }
        Err(error) => {
            observe::error!(%error, "failed to look for jobs whose server has died");
            Vec::new()
        }
    }
}

/// Accounts for abandoned jobs of this server: each has failed, is cancelled, or waits to run again. Of several processes that do
/// the same at once, the store lets one change each job.
///
/// It ends early where the store fails, or the runner ends: a later look finds the rest.
pub(super) async fn account_for(engine: &Engine, abandoned: Vec<Arc<JobRecord>>) -> Recovered {
    let local = &engine.local;
    let mut outcome = Recovered::default();
    // A job without an owner waits; no process has lost it.
    let (waiting, lost): (Vec<_>, Vec<_>) =
        abandoned.into_iter().partition(|job| job.is_claimable());
    // No client knows of these.
    let (calls, lost): (Vec<_>, Vec<_>) =
        lost.into_iter().partition(|job| job.is_lost_with_process());
    let withdrawals = calls.iter().map(|call| local.store.withdraw(call.id));
    if let Some(error) = join_all(withdrawals).await.into_iter().find_map(Result::err) {
        observe::warn!(%error, "failed to remove the records of calls whose server has died");
    }
    outcome.is_work_waiting = waiting.iter().any(|job| job.waits_for_server());
    let (mut failed, mut cancelled, mut to_run) = (0_usize, 0_usize, 0_usize);
    let mut refused = None;
    for batch in lost.chunks(BATCH) {
        if refused.is_some() || engine.is_stopping() {
            break;
        }
        let changes = batch.iter().map(|job| {
            let at = local.dead_owners.found_at(job).unwrap_or_else(|| local.now());
            local.update(job.id, recovered(job, at))
        });
        for (job, changed) in batch.iter().zip(join_all(changes).await) {
            match changed {
                Ok(job) => {
                    if !job.call_open {
                        local.announce(&job);
                    }
                    observe::debug!(job_id = %job.id, tool = %job.spec.tool, status = %job.status(), "job was interrupted by the end of its server");
                    match job.status() {
                        JobStatus::Failed => failed += 1,
                        JobStatus::Cancelled => cancelled += 1,
                        _ => to_run += 1,
                    }
                    outcome.is_work_waiting |= job.waits_for_server();
                }
                // Another process was faster.
                Err(
                    StoreError::Illegal { .. } | StoreError::NotOwner(_) | StoreError::NotFound(_),
                ) => {}
                Err(error) => {
                    refused = Some(error);
                    continue;
                }
            }
            outcome.changed.push(job.id);
        }
    }
    if failed + cancelled + to_run > 0 {
        observe::warn!(
            failed,
            cancelled,
            to_run_again = to_run,
            "jobs were interrupted by the end of their server"
        );
    }
    if let Some(error) = refused
        && !engine.is_stopping()
    {
        let jobs = lost.len() - outcome.changed.len();
        observe::error!(%error, jobs, "failed to account for jobs whose server has died; they are shown as interrupted");
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
