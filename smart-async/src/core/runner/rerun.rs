//! Work that runs again after the end of its server: who can make the call again, and who takes on what waits for that.
//!
//! Only a server can make a call from its arguments, so jobs that wait stay `pending` until one is there that has the tool.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::FutureExt;

use super::body::{Body, panic_message};
use crate::core::backoff::Backoff;
use crate::core::context::JobContext;
use crate::core::job::{
    Change, ClaimToken, FailureKind, JobEvent, JobFailure, JobId, JobRecord, JobStatus,
};
use crate::core::local::LiveJob;
use crate::core::local::Origin;
use crate::core::manager::JobManager;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;
use crate::core::{clock, observe};

/// Whether a server can make a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Has {
    /// It does not have the tool.
    Nothing,
    /// It has the tool, whose calls run again no more.
    Other,
    /// It has the tool, and its calls may run again.
    Tool,
}

/// A server that can make a call again.
pub(crate) trait CallsAgain: Send + Sync {
    /// Whether it has the tool.
    fn has(&self, tool: String) -> Answer<'_, Has>;

    /// Makes the call again that became `job`. Returns when the work has been taken on; an error says why it was not.
    fn call(&self, manager: JobManager, job: Arc<JobRecord>) -> Answer<'_, Result<(), String>>;
}

/// What a [`CallsAgain`] answers.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The servers that can make calls again, for as long as they are there.
#[derive(Default)]
pub(in crate::core) struct Servers {
    known: Mutex<Vec<Weak<dyn CallsAgain>>>,
    /// Held by whoever looks through what waits: one at a time is enough.
    looking: tokio::sync::Mutex<()>,
}

impl Servers {
    fn add(&self, server: Weak<dyn CallsAgain>) {
        let mut servers = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(server);
    }

    fn all(&self) -> Vec<Arc<dyn CallsAgain>> {
        let servers = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().filter_map(Weak::upgrade).collect()
    }

    /// The server that can make the call again that became `job`, or knows best that nobody can.
    async fn find(&self, job: &JobRecord) -> Option<(Has, Arc<dyn CallsAgain>)> {
        let mut best = None;
        for server in self.all() {
            let has = server.has(job.spec.tool.clone()).await;
            if has > best.as_ref().map_or(Has::Nothing, |(has, _)| *has) {
                best = Some((has, server));
            }
        }
        best
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Servers").field(&self.all().len()).finish()
    }
}

impl JobManager {
    /// Takes note of a server that can make calls again, and has it make those that wait for one.
    pub(crate) fn can_call_again(&self, server: &Arc<impl CallsAgain + 'static>) {
        let server: Weak<dyn CallsAgain> = Arc::downgrade(server) as _;
        self.inner.servers.add(server);
        let manager = self.clone();
        try_spawn(async move {
            manager.ready().await;
            manager.run_again();
        });
    }

    /// Runs the work again, in the background, that waits for a server that can.
    pub(in crate::core) fn run_again(&self) {
        let manager = self.clone();
        try_spawn(async move {
            let Ok(_looking) = manager.inner.servers.looking.try_lock() else { return };
            let waiting = match manager.store().abandoned(manager.server().to_owned()).await {
                Ok(waiting) => waiting,
                Err(error) => {
                    return observe::error!(%error, "failed to look for work that waits to run again");
                }
            };
            // What still runs here, and was given back meanwhile, is not taken on beside itself.
            let mine = |job: &JobRecord| manager.live().get(job.id).is_none();
            for job in waiting.into_iter().filter(|job| job.waits_for_server() && mine(job)) {
                if manager.is_stopping() {
                    return;
                }
                match manager.inner.servers.find(&job).await {
                    Some((Has::Tool, server)) => manager.take_on(server, &job).await,
                    Some(_) => {
                        let reason = "its calls do not run again any more";
                        manager.give_up(&job, reason.to_owned()).await;
                    }
                    None if job.updated_at < clock::ago(manager.retention().max_age) => {
                        let reason = "no server came that has the tool";
                        manager.give_up(&job, reason.to_owned()).await;
                    }
                    None => {
                        tracing::debug!(job_id = %job.id, tool = %job.spec.tool, "job waits for a server that has its tool");
                    }
                }
            }
        });
    }

    /// Makes this process the owner of a job that waits, and has its work run again.
    async fn take_on(&self, server: Arc<dyn CallsAgain>, job: &JobRecord) {
        let Some(job) = self.claim(job.id).await else { return };
        tracing::info!(job_id = %job.id, tool = %job.spec.tool, attempt = job.attempt, "running a job again after the end of its server");
        let (manager, open) = (self.clone(), self.open_call());
        tokio::spawn(async move {
            let _open = open;
            let call = server.call(manager.clone(), Arc::clone(&job));
            // What stands between the server and the tool is the author's, and may panic as well, or hang.
            let refusal = tokio::select! {
                called = std::panic::AssertUnwindSafe(call).catch_unwind() => match called {
                    Ok(Ok(())) => return,
                    Ok(Err(reason)) => reason,
                    Err(panic) => format!("the server panicked: {}", panic_message(&*panic)),
                },
                () = manager.halted() => "the server is ending".to_owned(),
            };
            // What has begun all the same goes on.
            if manager.live().get(job.id).is_none() {
                manager.give_up(&job, refusal).await;
            }
        });
    }

    /// Makes this process the owner of a job that waits, and tries until that is known: a claim that is in doubt may stand all
    /// the same, and no other process takes on a job that has a living owner.
    async fn claim(&self, id: JobId) -> Option<Arc<JobRecord>> {
        let owner = self.store().owner();
        let claim = Change::new(JobEvent::Claim(owner, ClaimToken::new()), clock::now());
        let mut backoff = Backoff::default();
        let mut in_doubt = false;
        loop {
            match self.store().update(id, claim.clone()).await {
                Ok(job) => return Some(job),
                Err(StoreError::Illegal { .. }) if in_doubt => {
                    let job = self.store().get(id).await.ok().flatten()?;
                    let waits = job.status() == JobStatus::Pending && job.owner == Some(owner);
                    return (waits && self.live().get(id).is_none()).then_some(job);
                }
                // Somebody else was faster.
                Err(StoreError::Illegal { .. } | StoreError::NotFound(_)) => return None,
                Err(error) => {
                    observe::error!(job_id = %id, %error, "failed to take on a job that waits to run again");
                    let again = error.is_transient() && self.pause(&mut backoff).await.is_ok();
                    if !again || self.is_stopping() {
                        return None;
                    }
                    in_doubt |= error.is_in_doubt();
                }
            }
        }
    }

    /// The work of a job that was taken on could not be begun.
    async fn give_up(&self, job: &JobRecord, reason: String) {
        let failure = if self.is_stopping() {
            super::supervise::interrupted()
        } else {
            let kind = FailureKind::Interrupted;
            JobFailure::new(
                kind,
                format!(
                    "the server that ran this job ended, and the call could not be made again: {reason}"
                ),
            )
        };
        let event =
            if self.is_stopping() { JobEvent::Interrupt(failure) } else { JobEvent::Fail(failure) };
        let change = Change::new(event, clock::now()).owned_by(job.owner);
        let mut backoff = Backoff::default();
        loop {
            match self.store().update(job.id, change.clone()).await {
                Ok(job) => {
                    // The reason may quote the arguments; the record has it.
                    observe::warn!(job_id = %job.id, tool = %job.spec.tool, "a job could not run again");
                    return self.announce(&job);
                }
                Err(error) if error.is_transient() && self.pause(&mut backoff).await.is_ok() => {}
                // It has ended by another hand; or the store is gone for good, and the next start accounts for it.
                Err(_) => return,
            }
        }
    }

    /// Sees the work of a job through that this process has taken on. `start` is called once, when it is its turn.
    pub(crate) fn resume(
        &self,
        origin: Origin,
        context: JobContext,
        start: impl FnOnce(&Arc<JobContext>) -> Body + Send + 'static,
    ) {
        self.hold_name(&context);
        let live = LiveJob::new(Arc::new(context), Some(origin));
        self.live().insert(&live);
        if origin.site.coalesce {
            self.live().share_again(&live);
        }
        self.launch(live, start, origin.site.deadline);
    }
}
