//! Hydration: the result of a job goes into the state that its tool names. A job's end carries the state, so that the store
//! writes both together; a call that ended inline has no record, and its state is put by itself.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::core::backoff::Backoff;
use crate::core::call_site;
use crate::core::clock;
use crate::core::job::{
    Change, HydratedState, JobEvent, JobId, JobOutput, JobRecord, JobSpec, StateName, StateTarget,
    Timestamp,
};
use crate::core::manager::JobManager;
use crate::core::observe;

/// A call that ended within its budget, and whose result goes into a state.
#[derive(Debug)]
pub(crate) struct InlineCompletion {
    target: call_site::StaticStateTarget,
    tool: &'static str,
    id: JobId,
    at: Timestamp,
}

impl InlineCompletion {
    /// The call ends now. Its id is that of the job which it would have become.
    pub(crate) fn new(target: call_site::StaticStateTarget, tool: &'static str, id: JobId) -> Self {
        Self { target, tool, id, at: clock::now() }
    }
}

impl JobManager {
    /// The state that this change fills, where it completes a job whose tool names one.
    pub(in crate::core) async fn state_of(
        &self,
        id: JobId,
        change: &Change,
    ) -> Option<Arc<HydratedState>> {
        let JobEvent::Complete(output) = &change.event else { return None };
        let job = self.store().get(id).await.ok().flatten()?;
        let target = job.spec.state_target.as_ref()?;
        hydrated(&job, target, change.at, output).map(Arc::new)
    }

    /// Puts the state of a call that became no job. Returns after the first attempt; where that fails, attempts go on in the
    /// background. A crash meanwhile loses the state: there is no record to begin again from.
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
            match self.note(self.store().put_state(state.clone()).await) {
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
                        "a state could not be stored"
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
