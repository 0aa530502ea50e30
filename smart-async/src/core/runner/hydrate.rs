//! Hydration: what a job completes with goes into the state that its tool names. Once: a store takes a completion only
//! where it is newer than what stands there, so whatever is in doubt, after a failure or a crash, is simply put again.
//!
//! The record comes first. A crash between the two is made good at the next start, when the newest completions are put
//! again.

use std::collections::HashSet;

use tokio::sync::oneshot;

use crate::core::backoff::Backoff;
use crate::core::call_site;
use crate::core::clock;
use crate::core::job::{
    JobEvent, JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobState, JobStatus, ResultLocation,
    StateName, StateTarget, Timestamp,
};
use crate::core::manager::JobManager;
use crate::core::observe;
use crate::core::store::{HydratedState, rank};

/// A call that ended within its budget, and whose result goes into a state.
#[derive(Debug)]
pub(crate) struct InlineCompletion {
    target: call_site::StateTarget,
    tool: &'static str,
    id: JobId,
    at: Timestamp,
}

impl InlineCompletion {
    /// The call ends now. Its id is that of the job which it would have become.
    pub(crate) fn new(target: call_site::StateTarget, tool: &'static str, id: JobId) -> Self {
        Self { target, tool, id, at: clock::now() }
    }
}

impl JobManager {
    /// Puts what a job completed with into its state. Returns after the first attempt, so that those who wait for the
    /// job find the state; where that fails, attempts go on in the background.
    pub(in crate::core) async fn hydrate(&self, job: &JobRecord, event: &JobEvent) {
        if let (Some(target), JobEvent::Complete(output), Some(at)) =
            (&job.spec.state_target, event, job.state.completed_at())
            && let Some(state) = hydrated(job, target, at, output)
        {
            self.put_state(state).await;
        }
    }

    /// As [`hydrate`](Self::hydrate), for a call that became no job. Nothing but the attempts of this process puts it:
    /// there is no record to begin again from.
    pub(crate) async fn hydrate_inline(&self, completion: &InlineCompletion, output: &JobOutput) {
        let InlineCompletion { target, tool, id, at } = completion;
        let job = JobRecord::new(*id, JobSpec::new(*tool, self.server(), *at));
        if let Some(state) = hydrated(&job, &StateTarget::from(*target), *at, output) {
            self.put_state(state).await;
        }
    }

    /// Makes attempts at putting a state, and returns after the first one. The manager's end waits for the others as
    /// for an open call.
    async fn put_state(&self, state: HydratedState) {
        let (attempted, first) = oneshot::channel::<()>();
        let (manager, open) = (self.clone(), self.open_call());
        tokio::spawn(async move {
            let _open = open;
            manager.put_state_at_last(state, attempted).await;
        });
        // Never sent: it is dropped with the first attempt.
        let _ = first.await;
    }

    async fn put_state_at_last(&self, state: HydratedState, attempted: oneshot::Sender<()>) {
        let mut attempted = Some(attempted);
        let mut backoff = Backoff::default();
        let mut last = false;
        loop {
            let HydratedState { job_id, field, .. } = &state;
            match self.note(self.store().put_state(state.clone(), clock::now).await) {
                Ok(is_put) => {
                    tracing::debug!(%job_id, %field, is_put, "state hydrated");
                    return;
                }
                Err(error) if error.is_transient() && !last => {
                    observe::error!(%job_id, %field, %error, "a state could not be stored; trying again");
                    drop(attempted.take());
                    last = self.pause(&mut backoff).await.is_err();
                }
                Err(error) => {
                    observe::error!(
                        %job_id, %field, %error,
                        "a state could not be stored; that of a job is tried again at the next start"
                    );
                    return;
                }
            }
        }
    }
}

/// The state that comes of a completion. Where there is none, that is logged, and the state stays as it was.
fn hydrated(
    job: &JobRecord,
    target: &StateTarget,
    completed_at: Timestamp,
    output: &JobOutput,
) -> Option<HydratedState> {
    let (job_id, tool) = (job.id, &*job.spec.tool);
    let field = match StateName::new(&*target.field) {
        Ok(field) => field,
        Err(error) => {
            observe::error!(%job_id, tool, %error, "the result of a job goes into no state");
            return None;
        }
    };
    let Some(value) = target.part_of(&output.result) else {
        observe::error!(
            %job_id, tool, %field, pointer = target.pointer,
            "the result of a job has no such part, so its state stays as it was; mend the pointer, or what the tool returns"
        );
        return None;
    };
    Some(HydratedState::new(field, job_id, &*job.spec.server, tool, completed_at, value.clone()))
}

/// Puts again, for each state, the newest of this server's completions that has a value for it: an earlier life may have
/// ended between the record and the state.
pub(in crate::core) async fn replay(manager: &JobManager) {
    let server = Some(manager.server().to_owned());
    let query = JobQuery { server, statuses: vec![JobStatus::Completed], ..JobQuery::default() };
    let jobs = match manager.store().list(query).await {
        Ok(page) => page.jobs,
        Err(error) => {
            observe::error!(%error, "failed to look for jobs whose results go into states");
            return;
        }
    };
    let now = clock::now();
    let mut completions: Vec<_> = jobs
        .iter()
        .filter_map(|job| {
            let target = job.spec.state_target.as_ref()?;
            Some((rank(job.state.completed_at()?, job.id, now), &*target.field))
        })
        .collect();
    completions.sort_unstable_by(|one, other| other.cmp(one));
    let mut hydrated_already = HashSet::new();
    for ((.., id), field) in completions {
        if hydrated_already.contains(field) {
            continue;
        }
        // A list may leave the result out.
        match manager.store().get_with_result(id).await {
            // Without its file, the result is not known any more.
            Ok(Some(job)) if job.result_location != ResultLocation::InRecord => {}
            Ok(Some(job)) => {
                if let JobState::Completed { completed_at, output, .. } = &job.state
                    && let Some(target) = &job.spec.state_target
                    && let Some(state) = hydrated(&job, target, *completed_at, output)
                {
                    manager.put_state(state).await;
                    hydrated_already.insert(field);
                }
            }
            // It was pruned meanwhile.
            Ok(None) => {}
            Err(error) => {
                observe::error!(job_id = %id, %error, "failed to read a job whose result goes into a state");
            }
        }
    }
}
