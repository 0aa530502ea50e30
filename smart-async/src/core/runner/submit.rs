//! Work that is no tool, and that a program submits as a job.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::adopt::{Adoption, enqueue};
use super::body::Body;
use super::engine::Engine;
use super::turn::Needs;
use crate::ClientIdentity;
use crate::core::context::{self, CurrentJob, JobContext};
use crate::core::debug_log;
use crate::core::job::{JobId, JobKind, Outcome, Priority};
use crate::core::jobs::Error;
use crate::core::text::seen;

/// Work that can be run as a job.
///
/// [`job_fn`] makes one of a closure.
pub trait Job: Send + Sync + 'static {
    /// Does the work. `job` has its id, takes its progress, and is cancelled when it should stop;
    /// [`progress()`](crate::progress) and the other functions of the crate work as well.
    fn execute(&self, job: CurrentJob) -> impl Future<Output = Outcome> + Send;

    /// Helps the work to stop after a request: closes a connection, stops a device. The runner tells
    /// [`execute`](Self::execute) by itself, and aborts it when the manager's grace is over.
    fn cancel(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Makes a [`Job`] of a closure.
pub fn job_fn<F, W>(work: F) -> impl Job
where
    F: Fn(CurrentJob) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    JobFn(work)
}

struct JobFn<F>(F);

impl<F, W> Job for JobFn<F>
where
    F: Fn(CurrentJob) -> W + Send + Sync + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    fn execute(&self, job: CurrentJob) -> impl Future<Output = Outcome> + Send {
        (self.0)(job)
    }
}

/// A request to run work as a job.
#[derive(Clone)]
#[must_use = "a request does nothing until it is submitted"]
pub struct JobRequest {
    id: JobId,
    stall: Option<Duration>,
    adoption: Adoption,
}

impl JobRequest {
    /// A request to run work of this kind. The kind takes the place of a tool's name.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            id: JobId::new(),
            stall: None,
            adoption: Adoption { kind: JobKind::Task, tool: kind.into(), ..Adoption::default() },
        }
    }

    /// The name that people read; the kind unless set. Characters that are not seen, or turn the direction of text, are left out.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.adoption.marks.label = Some(seen(&label.into()));
        self
    }

    /// Adds a mark by which the job can be found.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.adoption.marks.tags.insert(key.into(), value.into());
        self
    }

    /// Adds marks by which the job can be found.
    pub fn tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.adoption.marks.tags.extend(tags);
        self
    }

    /// The client that the job belongs to: over HTTP this client, and no other, finds it. Unless set, a job that is submitted
    /// by the work of another job belongs to the client of that one, and any other job to no client.
    pub fn client(mut self, client: ClientIdentity) -> Self {
        self.adoption.scope = Some(client.into());
        self
    }

    /// The caller's own grouping.
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.adoption.marks.session = Some(session.into());
        self
    }

    /// How urgent the job is while it waits for its turn, from 1 to 10, of which 10 goes first; 5 unless set.
    pub const fn priority(mut self, priority: u8) -> Self {
        self.adoption.marks.priority = Some(Priority::new(priority));
        self
    }

    /// The hard limit on the run, from its start.
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.adoption.deadline = Some(limit);
        self
    }

    /// For how long the work may report no progress: then it is stopped, and the job has failed as `stalled`. It may take an eighth of that
    /// time more. The time in which a question is open does not count.
    pub const fn stall(mut self, limit: Duration) -> Self {
        self.stall = Some(limit);
        self
    }

    /// The job's id, where the caller chooses it: submitting a second job with the same one is refused, so it serves
    /// as an idempotency key.
    pub const fn id(mut self, id: JobId) -> Self {
        self.id = id;
        self
    }
}

/// Tags may be secrets: they do not go into logs.
impl fmt::Debug for JobRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRequest")
            .field("id", &self.id)
            .field("kind", &self.adoption.tool)
            .finish_non_exhaustive()
    }
}

/// Runs `work` as a job; see [`JobManager::submit`](crate::JobManager::submit).
pub(super) async fn submit(
    engine: &Arc<Engine>,
    request: JobRequest,
    work: impl Job,
) -> Result<JobId, Error> {
    debug_log::set_up();
    let JobRequest { id, stall, mut adoption } = request;
    adoption.scope = adoption.scope.or_else(context::current_scope);
    let context = JobContext::new(adoption.tool.clone(), Some(Arc::clone(&engine.host)))
        .with_id(id)
        .with_stall(stall)
        .with_scope(adoption.scope.clone());
    let start = |context: &Arc<JobContext>, _| {
        let current = CurrentJob::new(Arc::clone(context));
        Body::new(
            tokio::spawn(context.run(Box::pin(run(work, current)))).into(),
            std::convert::identity,
        )
    };
    enqueue(engine, adoption, Arc::new(context), Needs::Nothing, start).await?;
    Ok(id)
}

async fn run(work: impl Job, current: CurrentJob) -> Outcome {
    // Boxed, here and below, so that the work is not moved.
    let mut execution = Box::pin(work.execute(current.clone()));
    let mut told = Box::pin(current.cancelled());
    tokio::select! {
        biased;
        outcome = &mut execution => return outcome,
        () = &mut told => {}
    }
    Box::pin(async { tokio::join!(execution, work.cancel()).0 }).await
}
