//! What an earlier life of this server left behind: its jobs that had not ended are accounted for.

use std::time::Duration;

use super::retention;
use crate::core::clock;
use crate::core::job::{
    Actor, Change, FailureKind, JobEvent, JobFailure, JobId, JobQuery, JobStatus,
};
use crate::core::manager::JobManager;
use crate::core::observe;
use crate::core::store::StoreError;

/// Looks after what was left behind, once in the life of a manager. Another server's jobs are left alone.
///
/// A store that fails now is no reason not to serve: what was left behind stays as it is until the next start.
pub(in crate::core) async fn recover(manager: &JobManager) {
    account_for_abandoned(manager).await;
    remember_runs(manager).await;
    retention::start(manager);
}

/// Accounts for the jobs of this server whose owner lives no more: each has failed, or waits to run again where it may.
/// Says which of them changed. Each is accounted for once, whoever else does the same at the same time: the store refuses
/// a change that was meant for a run that somebody has accounted for already.
pub(in crate::core) async fn account_for_abandoned(manager: &JobManager) -> Vec<JobId> {
    let abandoned = match manager.store().abandoned(manager.server().to_owned()).await {
        Ok(abandoned) => abandoned,
        Err(error) => {
            observe::error!(%error, "failed to look for abandoned jobs");
            return Vec::new();
        }
    };
    let mut changed = Vec::new();
    let mut waiting = false;
    for job in abandoned {
        if job.waits_for_server() {
            waiting = true;
            continue;
        }
        let reason = "the server that ran this job ended before the work did";
        let failure = JobFailure::new(FailureKind::Interrupted, reason);
        let change = Change::new(JobEvent::Interrupt(failure), clock::now())
            .by(Actor::System)
            .owned_by(job.owner);
        match manager.store().update(job.id, change).await {
            Ok(job) => {
                manager.announce(&job);
                observe::warn!(job_id = %job.id, tool = %job.spec.tool, status = %job.status(), "job was interrupted by the end of its server");
                waiting |= job.waits_for_server();
                changed.push(job.id);
            }
            // Somebody else was faster.
            Err(StoreError::Illegal { .. } | StoreError::NotOwner(_) | StoreError::NotFound(_)) => {
                changed.push(job.id);
            }
            Err(error) => {
                observe::error!(job_id = %job.id, %error, "failed to account for an abandoned job");
            }
        }
    }
    if waiting {
        manager.run_again();
    }
    changed
}

/// How many of the newest completed jobs are asked how long their tool takes: what ran before says little of today.
const NEWEST_RUNS: usize = 1000;

/// Learns from the jobs on disk how long each tool takes.
async fn remember_runs(manager: &JobManager) {
    let server = Some(manager.server().to_owned());
    let query = JobQuery {
        server,
        statuses: vec![JobStatus::Completed],
        limit: Some(NEWEST_RUNS),
        ..JobQuery::default()
    };
    let Ok(page) = manager.store().list(query).await else { return };
    for job in page.jobs.iter().rev() {
        manager.remember_run(&job.spec.tool, job.elapsed(clock::now()).unwrap_or(Duration::ZERO));
    }
}
