//! Reruns: work that runs again after the end of its server. Only a server can make a call from its arguments, so jobs that wait
//! stay `pending` until this process has a server with their tool.

use std::fmt;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::body::{Body, panic_message};
use super::engine::{Engine, interruption};
use super::supervise::launch;
use crate::core::backoff::Backoff;
use crate::core::context::JobContext;
use crate::core::job::{
    Change, ClaimToken, FailureKind, JobEvent, JobFailure, JobId, JobRecord, JobStatus,
};
use crate::core::local::{LiveJob, Origin};
use crate::core::observe;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;
use crate::core::sync::Mutex;

/// Whether a server can make a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RerunSupport {
    /// The server does not have the tool.
    NoTool,
    /// The server has the tool, whose calls do not run again any more.
    NotRerunnable,
    /// The server has the tool, and its calls may run again.
    Rerunnable,
}

/// A server that can make calls again.
pub(crate) trait Rerunner: Send + Sync {
    /// Whether the server can make the calls of this tool again.
    fn supports(&self, tool: String) -> BoxFuture<'_, RerunSupport>;

    /// Makes the call again that became `job`. Returns when the work has been taken on; an error says why it was not.
    fn rerun(&self, job: Arc<JobRecord>) -> BoxFuture<'_, Result<(), String>>;
}

/// The servers of this process that can make calls again, for as long as they are there.
#[derive(Default)]
pub(super) struct Rerunners {
    known: Mutex<Vec<Weak<dyn Rerunner>>>,
    /// Held by the task that goes through the waiting jobs: one at a time is enough.
    looking: tokio::sync::Mutex<()>,
}

impl Rerunners {
    pub(super) fn add(&self, server: Weak<dyn Rerunner>) {
        let mut servers = self.known.lock();
        servers.retain(|server| server.strong_count() > 0);
        servers.push(server);
    }

    fn all(&self) -> Vec<Arc<dyn Rerunner>> {
        let servers = self.known.lock();
        servers.iter().filter_map(Weak::upgrade).collect()
    }

    /// The server that supports the rerun of `job` best, where one has its tool.
    async fn find(&self, job: &JobRecord) -> Option<(RerunSupport, Arc<dyn Rerunner>)> {
        let mut best = None;
        for server in self.all() {
            let support = server.supports(job.spec.tool.clone()).await;
            if support > best.as_ref().map_or(RerunSupport::NoTool, |(support, _)| *support) {
                best = Some((support, server));
            }
        }
        best
    }
}

impl fmt::Debug for Rerunners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rerunners").field(&self.all().len()).finish()
    }
}

/// Reruns, in the background, the jobs that wait for a server which this process has.
pub(super) fn run_waiting(engine: &Arc<Engine>, servers: &Arc<Rerunners>) {
    let (engine, servers) = (Arc::clone(engine), Arc::clone(servers));
    try_spawn(async move {
        let Ok(_looking) = servers.looking.try_lock() else { return };
        let waiting = match engine.local.store.abandoned(engine.server().to_owned()).await {
            Ok(waiting) => waiting,
            Err(error) => {
                return observe::error!(%error, "failed to look for work that waits to run again");
            }
        };
        // A body that still runs here after its job was given back must not run a second time beside itself.
        let runs_here = |job: &JobRecord| engine.local.live.get(job.id).is_some();
        for job in waiting.into_iter().filter(|job| job.waits_for_server() && !runs_here(job)) {
            if engine.is_stopping() {
                return;
            }
            match servers.find(&job).await {
                Some((RerunSupport::Rerunnable, server)) => take_on(&engine, server, &job).await,
                Some(_) => {
                    let reason = "its calls do not run again any more";
                    give_up(&engine, &job, reason).await;
                }
                None if job.updated_at < engine.local.ago(engine.settings.retention.max_age) => {
                    give_up(&engine, &job, "no server came that has the tool").await;
                }
                None => {
                    tracing::debug!(job_id = %job.id, tool = %job.spec.tool, "job waits for a server that has its tool");
                }
            }
        }
    });
}

/// Claims a job that waits, and lets a server run its work again.
async fn take_on(engine: &Arc<Engine>, server: Arc<dyn Rerunner>, job: &JobRecord) {
    let Some(job) = claim(engine, job.id).await else { return };
    tracing::info!(job_id = %job.id, tool = %job.spec.tool, attempt = job.attempt, "running a job again after the end of its server");
    let (engine, in_flight) = (Arc::clone(engine), engine.local.in_flight());
    tokio::spawn(async move {
        let _in_flight = in_flight;
        let call = server.rerun(Arc::clone(&job));
        // The author's code between the server and the tool may panic or hang.
        let refusal = tokio::select! {
            called = std::panic::AssertUnwindSafe(call).catch_unwind() => match called {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => reason,
                Err(panic) => format!("the server panicked: {}", panic_message(&*panic)),
            },
            () = engine.halted.cancelled() => "the server is ending".to_owned(),
        };
        // Work that has begun all the same goes on.
        if engine.local.live.get(job.id).is_none() {
            give_up(&engine, &job, &refusal).await;
        }
    });
}

/// Makes this process the owner of a job that waits, and tries until that is known: a claim in doubt may stand all the same, and
/// no other process takes on a job that has a living owner.
async fn claim(engine: &Engine, id: JobId) -> Option<Arc<JobRecord>> {
    let local = &engine.local;
    let owner = local.store.owner();
    let claim = Change::new(JobEvent::Claim(owner, ClaimToken::new()), local.now());
    let mut backoff = Backoff::default();
    let mut in_doubt = false;
    loop {
        match local.store.update(id, claim.clone()).await {
            Ok(job) => return Some(job),
            Err(StoreError::Illegal { .. }) if in_doubt => {
                let job = local.store.get(id).await.ok().flatten()?;
                let is_ours = job.status() == JobStatus::Pending && job.owner == Some(owner);
                return (is_ours && local.live.get(id).is_none()).then_some(job);
            }
            // Another process was faster.
            Err(StoreError::Illegal { .. } | StoreError::NotFound(_)) => return None,
            Err(error) => {
                observe::error!(job_id = %id, %error, "failed to take on a job that waits to run again");
                let again = error.is_transient() && engine.pause(&mut backoff).await.is_ok();
                if !again || engine.is_stopping() {
                    return None;
                }
                in_doubt |= error.is_in_doubt();
            }
        }
    }
}

/// Ends a job whose work could not begin again.
async fn give_up(engine: &Engine, job: &JobRecord, reason: &str) {
    let event = if engine.is_stopping() {
        interruption()
    } else {
        let message = format!(
            "the server that ran this job ended, and the call could not be made again: {reason}"
        );
        JobEvent::Fail(JobFailure::new(FailureKind::Interrupted, message))
    };
    let change = Change::new(event, engine.local.now()).owned_by(job.owner);
    let mut backoff = Backoff::default();
    loop {
        match engine.local.store.update(job.id, change.clone()).await {
            Ok(job) => {
                // The reason may quote the arguments, so it stands in the record alone.
                observe::warn!(job_id = %job.id, tool = %job.spec.tool, "a job could not run again");
                return engine.local.announce(&job);
            }
            Err(error) if error.is_transient() && engine.pause(&mut backoff).await.is_ok() => {}
            // Another process ended it; or the store is closed, and the next start accounts for it.
            Err(_) => return,
        }
    }
}

/// Supervises the work of a job that this process has claimed. `start` is called once, when it is its turn.
pub(super) fn resume(
    engine: &Arc<Engine>,
    origin: Origin,
    context: JobContext,
    start: impl FnOnce(&Arc<JobContext>) -> Body + Send + 'static,
) {
    engine.keep_owner_alive(&context);
    let live = LiveJob::new(Arc::new(context), Some(origin));
    engine.local.live.insert(&live);
    if origin.site.coalesce {
        engine.local.live.share_again(&live);
    }
    launch(engine, live, start, origin.site.deadline);
}
