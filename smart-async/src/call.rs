//! The way of a call: the body is spawned in its context, and raced against its budget. Whichever side is there first
//! decides, once, whether the call answers inline or becomes a job.
//!
//! The body runs in one task from start to end; nothing here starts it twice, and never stops it because a budget
//! ended. What happens to it as a job is the manager's business.

pub(crate) mod budget;
mod caller;
pub(crate) mod host_timeouts;
mod race;
pub(crate) mod receiver;
pub(crate) mod reply;
mod request;

use std::sync::Arc;
use std::time::Duration;

use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

pub(crate) use self::caller::Caller;
use self::race::OpenCall;
pub(crate) use self::request::CallRequest;
use crate::call::reply::{CallError, CallErrorKind, JobTicket, Reply};
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::context::questions::Way;
use crate::core::job::{JobRecord, JobStatus, Outcome};
use crate::core::jobs::Error;
use crate::core::manager::JobManager;
use crate::core::observe;
use crate::core::runner::{Body, Carrier, Running};

/// How a body is started: the async kind in a task, the blocking kind on the blocking pool. The carrier is there while the
/// call is open, where a plain spawn would cut the body off from its caller.
pub(crate) trait Spawn<R>:
    FnOnce(&Arc<JobContext>, Option<Carrier>) -> Running<R> + Send + 'static
{
}
impl<R, F: FnOnce(&Arc<JobContext>, Option<Carrier>) -> Running<R> + Send + 'static> Spawn<R>
    for F
{
}

/// Starts async bodies.
pub(crate) fn in_task<R: Send + 'static>(
    body: impl Future<Output = R> + Send + 'static,
) -> impl Spawn<R> {
    |context: &Arc<JobContext>, carrier: Option<Carrier>| {
        let body = context.run(body).instrument(Span::current());
        match carrier {
            Some(carrier) => Running::carried(carrier, body),
            None => tokio::spawn(body).into(),
        }
    }
}

/// Starts blocking bodies. No carrier reaches a thread of the pool.
pub(crate) fn on_blocking_pool<R: Send + 'static>(
    body: impl FnOnce() -> R + Send + 'static,
) -> impl Spawn<R> {
    |context: &Arc<JobContext>, _: Option<Carrier>| {
        let (context, span) = (Arc::clone(context), Span::current());
        let seen = move || span.in_scope(|| context.run_blocking(body));
        tokio::task::spawn_blocking(seen).into()
    }
}

/// Runs an annotated function. `conclude` makes the outcome of a job of its result.
pub(crate) fn run<R: Send + 'static>(
    site: &'static CallSite,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> impl Future<Output = Reply<R>> + Send {
    observe::set_up();
    race(site, spawn, conclude).instrument(span(site))
}

fn span(site: &CallSite) -> Span {
    tracing::debug_span!(
        "call",
        tool = site.tool,
        job_id = Empty,
        outcome = Empty,
        elapsed_seconds = Empty
    )
}

/// Says how a call went, in its span and in an event.
fn tell(outcome: &str, elapsed: Duration) {
    let elapsed_seconds = elapsed.as_secs_f64();
    Span::current().record("outcome", outcome).record("elapsed_seconds", elapsed_seconds);
    tracing::debug!("call {outcome}");
}

async fn race<R: Send + 'static>(
    site: &'static CallSite,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let request = CallRequest::current();
    if request.caller.has_left() {
        return Reply::Failed(nobody_waits(site.tool));
    }
    if request.is_stopping() {
        return Reply::Failed(stopping(site.tool));
    }
    // Whoever made the call that runs again could take tasks.
    if site.task_required && !request.takes_tasks && request.reruns.is_none() {
        return Reply::Failed(task_required(site.tool));
    }
    // A tool that calls another one of its kind makes a new call with that.
    if let Some(job) = request.reruns.as_ref().filter(|job| job.spec.tool == site.tool)
        && request.became.set(job.id).is_ok()
    {
        // What is rare is boxed, here and below: else each call would carry its size along.
        return Box::pin(run_again(site, &request, job, spawn, conclude)).await;
    }
    let context = request.context(site);
    if request.joins_another(site, &context) {
        return Reply::Failed(joined(site.tool));
    }
    if request.async_mode || site.always_job {
        let manager = Box::pin(request.manager()).await;
        // Where nothing can be kept, `always_job` is an ordinary call; who asked for a job is told that there is none.
        if request.async_mode || manager.hands_out_ids() {
            context.desk.reach(Way::Job);
            let queued = as_job_at_once(site, &request, &manager, context, spawn, conclude);
            return Box::pin(queued).await;
        }
    }
    let budget = budget::of(site, request.patience);
    request.began(&context);
    let body = spawn(&context, request.carrier);
    OpenCall::new(site, request, context, body, conclude).answer(budget).await
}

/// `async_mode` and `always_job`: on disk before the work starts.
async fn as_job_at_once<R: Send + 'static>(
    site: &'static CallSite,
    request: &Arc<CallRequest>,
    manager: &JobManager,
    context: Arc<JobContext>,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let adoption = request.adoption(site);
    let queued = manager
        .enqueue(adoption, context, move |context| Body::new(spawn(context, None), conclude))
        .await;
    match queued {
        Ok(job) => {
            Span::current().record("job_id", display(job.id));
            tell("became a job before it began", Duration::ZERO);
            let poll_after = manager.poll_after(site.tool, Duration::ZERO);
            let happened = "Task accepted as a background job.";
            let _ = request.became.set(job.id);
            let ticket = JobTicket::new(
                job.id,
                JobStatus::Pending,
                happened,
                site.tool,
                &request.follow_up,
                poll_after,
            );
            Reply::Job(ticket)
        }
        Err(Error::Stopping) => Reply::Failed(stopping(site.tool)),
        Err(error) => {
            let way_out = match site.always_job {
                true => "Call it again later.",
                false => "Call it again without async_mode to wait for its result, or later.",
            };
            let message = format!(
                "{}: no job could be made of it, and the work was not started: {error}. {way_out}",
                site.tool
            );
            Reply::Failed(CallError::new(CallErrorKind::NotDurable, site.tool, message))
        }
    }
}

/// The work of a job that this process has taken on, from its beginning.
async fn run_again<R: Send + 'static>(
    site: &'static CallSite,
    request: &Arc<CallRequest>,
    job: &JobRecord,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let manager = request.manager().await;
    let context = request.new_context(site).with_id(job.id).with_attempt(job.attempt);
    context.desk.recall(&job.questions);
    let origin = request.origin(site);
    manager.resume(origin, context, move |context| Body::new(spawn(context, None), conclude));
    let happened = "Task runs again as a background job.";
    let (status, follow_up) = (JobStatus::Pending, &request.follow_up);
    let poll_after = manager.poll_after(site.tool, Duration::ZERO);
    Reply::Job(JobTicket::new(job.id, status, happened, site.tool, follow_up, poll_after))
}

fn stopping(tool: &str) -> CallError {
    let message = format!(
        "{tool}: the server is ending, and the work was stopped or not begun; call it again later"
    );
    CallError::new(CallErrorKind::Stopping, tool, message)
}

/// Seen by what stands between the tool and the server at most: the server answers as the call that was joined.
fn joined(tool: &str) -> CallError {
    let message = format!("{tool}: the same call runs already, and its answer is that of this one");
    CallError::new(CallErrorKind::Joined, tool, message)
}

fn task_required(tool: &str) -> CallError {
    let message = format!(
        "{tool}: only a client that takes MCP tasks may call this tool, and the work was not started; declare the \
         extension io.modelcontextprotocol/tasks, of protocol 2026-07-28, on the request"
    );
    CallError::new(CallErrorKind::TaskRequired, tool, message)
}

fn nobody_waits(tool: &str) -> CallError {
    CallError::new(CallErrorKind::Cancelled, tool, format!("{tool}: the caller has left"))
}
