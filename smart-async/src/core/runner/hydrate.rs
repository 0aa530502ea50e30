//! Hydration: the result of a job goes into the state that its tool names. A job's end carries the state, so that the store
//! writes both together; a call that ended inline has no record, and its state is put by itself.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::engine::Engine;
use crate::core::backoff::Backoff;
use crate::core::call_site::CallSite;
use crate::core::job::{Change, HydratedState, JobEvent, JobId, JobOutput, StateName, Timestamp};
use crate::core::local::LiveJob;
use crate::core::observe;

/// A call that ended within its budget, and whose result goes into a state.
#[derive(Debug)]
pub(crate) struct InlineCompletion {
    pub(crate) site: &'static CallSite,
    /// The id of the job that the call would have become.
    pub(crate) id: JobId,
    /// When the call ended.
    pub(crate) at: Timestamp,
}

/// The state that this change fills, where it completes a job whose tool names one.
pub(super) fn state_of(
    engine: &Engine,
    live: &LiveJob,
    change: &Change,
) -> Option<Arc<HydratedState>> {
    let JobEvent::Complete(output) = &change.event else { return None };
    hydrated(engine, live.site()?, live.id(), change.at, output).map(Arc::new)
}

/// Puts the state of a call that became no job. Returns after the first attempt; where that fails, attempts go on in the
/// background. A crash before one succeeds loses the state: there is no record to begin again from.
pub(super) async fn put_inline(
    engine: &Arc<Engine>,
    completion: &InlineCompletion,
    output: &JobOutput,
) {
    let InlineCompletion { site, id, at } = completion;
    if let Some(state) = hydrated(engine, site, *id, *at, output) {
        put(engine, state).await;
    }
}

/// Attempts to put a state, and returns after the first attempt. A shutdown waits for the others.
async fn put(engine: &Arc<Engine>, state: HydratedState) {
    let (attempted, first) = oneshot::channel::<()>();
    let (engine, in_flight) = (Arc::clone(engine), engine.local.in_flight());
    tokio::spawn(async move {
        let _in_flight = in_flight;
        put_at_last(&engine, state, attempted).await;
    });
    // Nothing is ever sent: the sender is dropped with the first attempt.
    let _ = first.await;
}

async fn put_at_last(engine: &Engine, state: HydratedState, attempted: oneshot::Sender<()>) {
    let local = &engine.local;
    let mut attempted = Some(attempted);
    let mut backoff = Backoff::default();
    let mut is_last = false;
    loop {
        let HydratedState { job_id, field, .. } = &state;
        let put = local.store.put_state(state.clone()).await;
        match local.observed(put) {
            Ok(is_put) => {
                observe::debug!(%job_id, %field, is_put, "state hydrated");
                return;
            }
            Err(error) if error.is_transient() && !is_last => {
                observe::error!(%job_id, %field, %error, "a state could not be stored; trying again");
                drop(attempted.take());
                is_last = engine.pause(&mut backoff).await.is_err();
            }
            Err(error) => {
                observe::error!(%job_id, %field, %error, "a state could not be stored");
                return;
            }
        }
    }
}

/// The state that a completion makes. Where it makes none, this logs the reason, and the state stays as it was.
fn hydrated(
    engine: &Engine,
    site: &CallSite,
    job_id: JobId,
    completed_at: Timestamp,
    output: &JobOutput,
) -> Option<HydratedState> {
    let (target, tool) = (site.state_target()?, site.tool);
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
    Some(HydratedState::new(field, job_id, engine.server(), tool, completed_at, value.clone()))
}
