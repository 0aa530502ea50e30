//! What is known of the request that a call came with: which manager, which wishes, and whether its caller is still
//! there. `JobServer` puts it into a task-local; without one, there is nothing to know.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::call_key::CallKey;
use crate::call_site::CallSite;
use crate::job::JobId;
use crate::manager::{Adoption, JobManager, OpenCallGuard, Origin};
use crate::observe;
use crate::reply::FollowUp;

tokio::task_local! {
    static REQUEST: Arc<CallRequest>;
}

/// How long to wait, once a caller is gone, for the notification that says why. It is on its way by then if it comes
/// at all: the SDK hands both over in one step.
const REASON_GRACE: Duration = Duration::from_millis(250);

/// The request of a call.
#[derive(Debug)]
pub(crate) struct CallRequest {
    /// The manager; without one, the global one is used where one is needed.
    pub(crate) manager: Option<JobManager>,
    /// Counts the call among those that the server's end waits for.
    #[expect(dead_code, reason = "counted while it is there")]
    pub(crate) open: Option<OpenCallGuard>,
    /// The caller wants a job at once.
    pub(crate) async_mode: bool,
    /// What the caller calls the job.
    pub(crate) label: Option<String>,
    /// What the same call would have in common with this one.
    pub(crate) key: Option<CallKey>,
    /// Who waits for the answer.
    pub(crate) caller: Caller,
    /// How to follow a job.
    pub(crate) follow_up: Arc<FollowUp>,
    /// What tells the body to stop; its request carries the same token.
    pub(crate) body_token: CancellationToken,
    /// The job that the call became, once it did.
    pub(crate) became: OnceLock<JobId>,
}

impl CallRequest {
    /// The request that the current task serves.
    /// A call made within a body has its manager in common with it, and nothing else.
    pub(crate) fn current() -> Arc<Self> {
        REQUEST
            .try_with(Arc::clone)
            .unwrap_or_else(|_| Arc::new(Self::unknown(JobManager::of_current_work())))
    }

    /// A request of which nothing is known but, perhaps, whose jobs it makes.
    pub(crate) fn unknown(manager: Option<JobManager>) -> Self {
        Self {
            manager,
            open: None,
            async_mode: false,
            label: None,
            key: None,
            caller: Caller::default(),
            follow_up: Arc::default(),
            body_token: CancellationToken::new(),
            became: OnceLock::new(),
        }
    }

    /// Serves this request with `handler`.
    pub(crate) fn serve<F: Future>(
        self: Arc<Self>,
        handler: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        REQUEST.scope(self, handler)
    }

    /// What the record of the job begins with that this call becomes.
    pub(crate) fn adoption(&self, site: &'static CallSite) -> Adoption {
        Adoption::of_call(Origin { site, key: self.key }, self.label.clone())
    }

    pub(crate) async fn manager(&self) -> JobManager {
        or_global(self.manager.clone()).await
    }

    /// Whether the server takes no new work.
    pub(crate) fn is_stopping(&self) -> bool {
        self.manager.as_ref().is_some_and(JobManager::is_stopping)
    }

    /// Waits until open calls have to end because the server does.
    pub(crate) async fn halted(&self) {
        match &self.manager {
            Some(manager) => manager.halted().await,
            None => std::future::pending().await,
        }
    }

    /// Does something with the manager in the background; also called where a future is dropped, perhaps outside of a
    /// runtime, where nothing can be done any more.
    pub(crate) fn with_manager<F>(&self, act: impl FnOnce(JobManager) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        // Not the whole request: the call is no longer open.
        let manager = self.manager.clone();
        observe::try_spawn(async move { act(or_global(manager).await).await });
    }
}

async fn or_global(manager: Option<JobManager>) -> JobManager {
    match manager {
        Some(manager) => manager,
        None => JobManager::global().await,
    }
}

/// Whoever waits for the answer of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    left: CancellationToken,
    /// Why the caller cancelled, once it said so.
    reason: Arc<OnceLock<Option<String>>>,
    said: CancellationToken,
}

/// How a caller left.
#[derive(Debug)]
pub(crate) enum Departure {
    /// Its connection was lost.
    Disconnected,
    /// It cancelled the request.
    Cancelled { reason: Option<String> },
}

impl Caller {
    /// A caller that is gone when `left` is cancelled.
    pub(crate) fn new(left: CancellationToken) -> Self {
        Self { left, ..Self::default() }
    }

    /// Takes the caller's notification that it cancels the request.
    pub(crate) fn cancels(&self, reason: Option<String>) {
        if self.reason.set(reason).is_ok() {
            self.said.cancel();
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Waits until the caller leaves.
    pub(crate) async fn left(&self) {
        self.left.cancelled().await;
    }

    /// Waits until the caller leaves, and a moment for why.
    pub(crate) async fn departure(&self) -> Departure {
        self.left().await;
        let _ = tokio::time::timeout(REASON_GRACE, self.said.cancelled()).await;
        match self.reason.get() {
            Some(reason) => Departure::Cancelled { reason: reason.clone() },
            None => Departure::Disconnected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_no_reason_is_disconnected() {
        let left = CancellationToken::new();
        left.cancel();
        assert!(matches!(Caller::new(left).departure().await, Departure::Disconnected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_comes_a_moment_later_counts() {
        let (left, caller) = (CancellationToken::new(), Caller::default());
        let caller = Caller { left: left.clone(), ..caller };
        let other = caller.clone();
        left.cancel();
        let (departure, ()) = tokio::join!(caller.departure(), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            other.cancels(Some("request timeout".into()));
        });
        assert!(
            matches!(departure, Departure::Cancelled { reason: Some(reason) } if reason == "request timeout")
        );
    }
}
