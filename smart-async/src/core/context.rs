//! The context of a body: the id, progress, cancellation and questions of the call or job that the body runs in.
//!
//! The context travels in a task-local, so an author's function needs no argument for it, and can carry it into the tasks that
//! it spawns itself.

pub(crate) mod ask;
mod cancellation;
mod current_job;
mod long_polls;
pub(crate) mod questions;
pub(crate) mod reporter;
mod stall;
mod turn;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::cancellation::Cancellation;
pub use self::current_job::{
    CurrentJob, cancelled, carry, carry_blocking, current_job, is_cancelled,
};
use self::long_polls::warn_of_long_polls;
use self::questions::PendingQuestions;
use self::turn::BodyTurn;
use crate::core::clock;
use crate::core::job::{JobId, JobScope, ProgressCell, Timestamp};

tokio::task_local! {
    static CONTEXT: Arc<JobContext>;
    static CLIENT: Option<JobScope>;
}

/// The manager that runs a body, as the body's context carries it. The context cannot name the manager, which stands above
/// it, and must not keep it alive.
pub(crate) trait JobHost: Any + Send + Sync {
    /// The present time by the manager's clock; `None` where the manager is gone.
    fn now(&self) -> Option<Timestamp>;

    /// Keeps the manager alive for as long as the answer is held, so that calls which a job's body makes become jobs of the same
    /// manager; `None` where the manager is gone.
    fn keep_alive(&self) -> Option<Arc<dyn Any + Send + Sync>>;

    /// Requests that a job stops, in this process and in the record, without waiting for the end.
    fn request_stop(&self, id: JobId);
}

/// One run of one body, from its spawn to its end, whether the run becomes a job or not.
pub(crate) struct JobContext {
    pub(crate) tool: Cow<'static, str>,
    /// When the call began.
    pub(crate) began: Instant,
    /// The body's turn, where it has to wait for one.
    pub(crate) turn: BodyTurn,
    pub(crate) progress: ProgressCell,
    /// Tells the body to stop.
    pub(crate) cancellation: Cancellation,
    pub(crate) questions: PendingQuestions,
    /// The manager, where the call came with one.
    host: Option<Arc<dyn JobHost>>,
    /// The client for which the body runs; jobs that the body makes belong to it as well.
    scope: Option<JobScope>,
    id: OnceLock<JobId>,
    /// The tools with a limit whose slots the code holds that makes this call: a call within one of them takes no further slot, for
    /// which it might wait for ever.
    slots_held: Vec<Cow<'static, str>>,
    /// For how long the body may report no progress.
    stall: Option<Duration>,
    /// Since when it has reported none, in milliseconds after the beginning of the call.
    quiet_since: AtomicU64,
    /// The number of the run, from 1; each rerun after the end of a server counts.
    attempt: u32,
    /// Kept alive for as long as the body runs.
    kept_alive: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl JobContext {
    pub(crate) fn new(tool: impl Into<Cow<'static, str>>, host: Option<Arc<dyn JobHost>>) -> Self {
        Self {
            host,
            scope: None,
            tool: tool.into(),
            began: Instant::now(),
            turn: BodyTurn::default(),
            progress: ProgressCell::new(),
            cancellation: Cancellation::default(),
            questions: PendingQuestions::default(),
            id: OnceLock::new(),
            slots_held: CONTEXT.try_with(|outer| outer.slots_held()).unwrap_or_default(),
            stall: None,
            quiet_since: AtomicU64::new(0),
            attempt: 1,
            kept_alive: OnceLock::new(),
        }
    }

    /// The id, made at its first use: most calls end before any code reads it.
    pub(crate) fn id(&self) -> JobId {
        *self.id.get_or_init(JobId::new)
    }

    /// Uses an id that was made before.
    pub(crate) fn with_id(self, id: JobId) -> Self {
        Self { id: OnceLock::from(id), ..self }
    }

    /// Stops the body by this token, which the body's request carries already.
    pub(crate) fn with_token(self, token: CancellationToken) -> Self {
        Self { cancellation: token.into(), ..self }
    }

    /// Sets the client for which the body runs.
    pub(crate) fn with_scope(self, scope: Option<JobScope>) -> Self {
        Self { scope, ..self }
    }

    /// Sets for how long the body may report no progress.
    pub(crate) fn with_stall(self, stall: Option<Duration>) -> Self {
        Self { stall, ..self }
    }

    /// Sets the number of the run.
    pub(crate) fn with_attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// Keeps a value alive for as long as the body runs, which may be longer than all else of this library.
    pub(crate) fn keep_alive(&self, value: impl Any + Send + Sync) {
        let _ = self.kept_alive.set(Box::new(value));
    }

    fn slots_held(&self) -> Vec<Cow<'static, str>> {
        let own = self.turn.is_queued().then(|| self.tool.clone());
        self.slots_held.iter().cloned().chain(own).collect()
    }

    /// Returns whether the code that makes this call holds a slot of its tool.
    pub(crate) fn is_within_slot(&self) -> bool {
        self.slots_held.contains(&self.tool)
    }

    /// The manager that runs the body, where the call came with one.
    pub(crate) fn host(&self) -> Option<&Arc<dyn JobHost>> {
        self.host.as_ref()
    }

    /// The present time: by the manager's clock, or by the system's where the call came without a manager.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.host().and_then(|host| host.now());
        now.unwrap_or_else(clock::now)
    }

    /// Runs an async body in this context. The body is in a box: each future on its way into its task would have its size else,
    /// also after the body has moved on.
    pub(crate) fn run<F: Future>(
        self: &Arc<Self>,
        body: Pin<Box<F>>,
    ) -> impl Future<Output = F::Output> + use<F> {
        CONTEXT.scope(Arc::clone(self), warn_of_long_polls(self.tool.clone(), body))
    }

    /// When the run began: with the call, or later where the body had to wait for its turn.
    pub(crate) fn run_began(&self) -> Instant {
        self.turn.came_at().unwrap_or(self.began)
    }

    /// Runs a blocking body in this context.
    pub(crate) fn run_blocking<R>(self: &Arc<Self>, body: impl FnOnce() -> R) -> R {
        CONTEXT.sync_scope(Arc::clone(self), body)
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext").field("tool", &self.tool).finish_non_exhaustive()
    }
}

/// The context that this code runs in.
fn current() -> Option<Arc<JobContext>> {
    CONTEXT.try_with(Arc::clone).ok()
}

/// The manager of the work that this code runs in.
pub(crate) fn current_host() -> Option<Arc<dyn JobHost>> {
    current()?.host.clone()
}

/// Returns whether the work that this code runs in holds a thread of its manager's share.
pub(crate) fn holds_thread() -> bool {
    CONTEXT.try_with(|context| context.turn.is_on_thread()).unwrap_or(false)
}

/// The client of the work that this code runs in; outside of any work, the client whose request is being served.
pub(crate) fn current_scope() -> Option<JobScope> {
    match current() {
        Some(work) => work.scope.clone(),
        None => CLIENT.try_with(Clone::clone).ok().flatten(),
    }
}

/// Serves a request of this client: jobs that the handler makes belong to it.
pub(crate) fn for_client<F: Future>(
    client: Option<JobScope>,
    handler: F,
) -> impl Future<Output = F::Output> + use<F> {
    CLIENT.scope(client, handler)
}
