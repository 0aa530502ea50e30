//! A call of an annotated function, from its start to its reply: the body is spawned in its context and raced against its budget.
//! The side that is there first decides, once, whether the call is answered inline or becomes a job.
//!
//! The body runs in one task from start to end. Nothing here starts it twice, and the end of a budget never stops it. Once the
//! call is a job, the manager sees it through.

pub(crate) mod budget;
mod caller;
pub(crate) mod errors;
pub(crate) mod key;
mod race;
pub(crate) mod receiver;
pub(crate) mod reply;
pub(crate) mod report;
mod request;
pub(crate) mod wait;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::{Empty, display};

pub(crate) use self::caller::{Caller, Way, Ways, names_a_time_out};
use self::errors::{CallError, CallErrorKind};
use self::race::OpenCall;
use self::receiver::Owned;
use self::reply::{JobPace, JobTicket, Reply};
use self::report::{CallEnd, TakenKey};
pub(crate) use self::request::CallRequest;
use self::request::Share;
use crate::core::blocking::{BodySlot, Slots};
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::context::questions::AnswerRoute;
use crate::core::debug_log;
use crate::core::job::{JobId, JobRecord, JobStatus, Outcome};
use crate::core::jobs::Error;
use crate::core::local::{Attachment, SharedRun};
use crate::core::manager::JobManager;
use crate::core::observe::{self, Span};
use crate::core::runner::{
    Body, BodySpawner, CallersKey, KeyedCall, Needs, Turn, TurnLine, TypedBody,
};
use crate::core::store::StoreError;

/// Spawns a body: an async one in a task, a blocking one on a thread of its own, once that is its turn.
pub(crate) trait Spawn<R>: Send + 'static {
    /// The condition for its beginning.
    const NEEDS: Needs;

    fn spawn(self, context: &Arc<JobContext>, means: Means<'_>) -> TypedBody<R>;
}

/// The means to spawn a body.
pub(crate) struct Means<'a> {
    /// Spawns an async body while its call is open and a plain spawn would cut the body off from its caller.
    carrier: Option<BodySpawner>,
    slots: &'a Arc<Slots>,
    turn: MeansTurn,
}

/// The turn of a body.
enum MeansTurn {
    /// The body waits for none, but perhaps for a thread.
    Free,
    /// It has come.
    Came(Turn),
    /// The body waits for a slot of its tool.
    InQueue(Box<dyn TurnLine>),
}

/// Spawns async bodies.
pub(crate) fn in_task<R: Send + 'static>(
    body: impl Future<Output = R> + Send + 'static,
) -> impl Spawn<R> {
    AsyncBody(Box::pin(body))
}

struct AsyncBody<F>(Pin<Box<F>>);

impl<R: Send + 'static, F: Future<Output = R> + Send + 'static> Spawn<R> for AsyncBody<F> {
    const NEEDS: Needs = Needs::Nothing;

    fn spawn(self, context: &Arc<JobContext>, means: Means<'_>) -> TypedBody<R> {
        let body = Span::current().around(context.run(self.0));
        match means.turn {
            MeansTurn::Free => spawn(means.carrier, body),
            MeansTurn::Came(turn) => spawn(means.carrier, holding(turn, body)),
            MeansTurn::InQueue(slot) => {
                let carrier = means.carrier;
                let begin = move |_: &_, turn| spawn(carrier, holding(turn, body));
                TypedBody::queued(context, slot, begin)
            }
        }
    }
}

fn spawn<R: Send + 'static>(
    carrier: Option<BodySpawner>,
    body: impl Future<Output = R> + Send + 'static,
) -> TypedBody<R> {
    match carrier {
        Some(carrier) => TypedBody::carried(carrier, body),
        None => tokio::spawn(body).into(),
    }
}

/// The body, which holds what its turn gave it until it has ended.
async fn holding<F: Future>(turn: Turn, body: F) -> F::Output {
    let _turn = turn;
    body.await
}

/// Spawns blocking bodies. A carrier cannot reach a thread.
pub(crate) fn on_thread<R: Send + 'static>(
    body: impl FnOnce() -> R + Send + 'static,
) -> impl Spawn<R> {
    BlockingBody(body)
}

struct BlockingBody<F>(F);

impl<R: Send + 'static, F: FnOnce() -> R + Send + 'static> Spawn<R> for BlockingBody<F> {
    const NEEDS: Needs = Needs::Thread;

    fn spawn(self, context: &Arc<JobContext>, means: Means<'_>) -> TypedBody<R> {
        let span = Span::current();
        let run = move |context: &Arc<JobContext>, thread: BodySlot, held| {
            let context = Arc::clone(context);
            thread.run(move || {
                let _held = held;
                span.in_scope(|| context.run_blocking(self.0))
            })
        };
        let slots = Arc::clone(means.slots);
        let begin = move |context: &_, turn: Turn| {
            let Turn { thread, heavy, permit } = turn;
            TypedBody::blocking(context, &slots, thread, |context, thread| {
                run(context, thread, (heavy, permit))
            })
        };
        match means.turn {
            MeansTurn::Free => begin(context, Turn::default()),
            MeansTurn::Came(turn) => begin(context, turn),
            MeansTurn::InQueue(slot) => TypedBody::queued(context, slot, begin),
        }
    }
}

/// The receiver of a method as its body keeps it.
pub(crate) fn owned<S: Clone + Send + Sync + 'static>(receiver: &S) -> Owned<S> {
    Owned::new(receiver, CallRequest::server())
}

/// Runs an annotated function. `conclude` makes a job's outcome of its result.
pub(crate) fn run<R: Send + 'static>(
    site: &'static CallSite,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> impl Future<Output = Reply<R>> + Send {
    debug_log::set_up();
    span(site).around(race(site, spawn, conclude))
}

fn span(site: &CallSite) -> Span {
    Span::new(|| {
        tracing::debug_span!(
            "call",
            tool = site.tool,
            job_id = Empty,
            outcome = Empty,
            elapsed_seconds = Empty
        )
    })
}

/// Records how a call that began at this moment went, in its span and as an event.
fn record_outcome(outcome: &str, began: Instant) {
    let span = Span::current();
    if !span.is_none() {
        let elapsed_seconds = began.elapsed().as_secs_f64();
        span.record("outcome", outcome).record("elapsed_seconds", elapsed_seconds);
    }
    observe::debug!("call {outcome}");
}

/// Branches that few calls take are boxed: the future of every call would have their size else, and the SDK moves it about.
async fn race<R: Send + 'static>(
    site: &'static CallSite,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let request = CallRequest::current();
    if request.caller.is_gone() {
        return Reply::Failed(CallError::caller_left(site.tool));
    }
    if request.is_stopping() {
        return Reply::Failed(CallError::stopping(site.tool));
    }
    // The caller that made a call which runs again could take tasks.
    if site.task_required && !request.takes_tasks && request.reruns.is_none() {
        return Reply::Failed(CallError::task_required(site.tool));
    }
    // A tool that calls another one of its kind makes a new call with that: only the first call reports the rerun.
    if let Some(job) = request.reruns.as_ref().filter(|job| job.spec.tool == site.tool)
        && request.report_end(CallEnd::Job { record: Arc::clone(job), attachment: None })
    {
        return Box::pin(run_again(site, &request, job, spawn, conclude)).await;
    }
    let context = request.context(site);
    let key = request.take_key(site);
    let shared = match request.share(site, &context, key.is_some()) {
        Share::No => None,
        Share::Starts(shared, attachment) => Some((shared, attachment)),
        Share::Joined => return Reply::Failed(CallError::joined(site.tool)),
    };
    if request.async_mode || site.always_job {
        let manager = Box::pin(request.manager()).await;
        // Without a store, `always_job` is an ordinary call, and `async_mode` an error: its caller asked for a job.
        if request.async_mode || manager.runner().settings().hands_out_ids {
            context.questions.set_route(AnswerRoute::Job);
            let queued = queue(site, &request, context, shared, key, spawn, conclude);
            return Box::pin(queued).await;
        }
    }
    let keyed = match key {
        Some(key) => match Box::pin(hold_key(site, &request, &context, &shared, key)).await {
            Ok(mut keyed) => {
                keyed.begins();
                Some(keyed)
            }
            Err((error, key)) => return key_refused(site, &request, shared, key, error),
        },
        None => None,
    };
    request.report_start(&context);
    let turn = match site.max_concurrent {
        Some(limit) if !context.is_within_slot() => {
            let manager = Box::pin(request.manager()).await;
            let adoption = request.adoption(site, shared.as_ref().map(|(shared, _)| shared));
            let needs = needs(&spawn);
            MeansTurn::InQueue(manager.runner().call_slot(adoption, &context, needs, limit))
        }
        _ => MeansTurn::Free,
    };
    let means = Means { carrier: request.carrier, slots: request.slots(), turn };
    let body = spawn.spawn(&context, means);
    let call = OpenCall::new(site, request, context, body, conclude).with_key(keyed);
    match shared {
        Some((shared, attachment)) => call.of_shared_run(shared, attachment).answer().await,
        None => call.answer().await,
    }
}

const fn needs<R, S: Spawn<R>>(_: &S) -> Needs {
    S::NEEDS
}

/// Gives an open call its key, before its work starts.
async fn hold_key(
    site: &'static CallSite,
    request: &CallRequest,
    context: &Arc<JobContext>,
    shared: &Option<(Arc<SharedRun>, Attachment)>,
    (key, kept_for): (CallersKey, Duration),
) -> Result<KeyedCall, (Error, CallersKey)> {
    let manager = request.manager().await;
    let runner = manager.runner();
    if !runner.settings().hands_out_ids {
        return Err((runner.not_durable(), key));
    }
    if site.max_concurrent.is_some() && !context.is_within_slot() {
        // The record has to say that the work has not begun.
        context.turn.wait_in_queue();
    }
    let adoption = request.adoption(site, shared.as_ref().map(|(shared, _)| shared));
    let adoption = adoption.with_key(key.clone(), kept_for);
    runner.hold_key(site, adoption, context).await.map_err(|error| (error.into(), key))
}

/// The reply to a call that did not get its key, and whose work was not started.
fn key_refused<R>(
    site: &'static CallSite,
    request: &CallRequest,
    shared: Option<(Arc<SharedRun>, Attachment)>,
    key: CallersKey,
    error: Error,
) -> Reply<R> {
    let (shared, attachment) = shared.unzip();
    if let Some(attachment) = attachment {
        attachment.deliver();
    }
    match error {
        Error::Store(StoreError::KeyTaken(holder)) => {
            let taken = TakenKey { site, key, holder, shared };
            request.report_end(CallEnd::KeyTaken(Box::new(taken)));
            Reply::Failed(CallError::key_taken(site.tool))
        }
        error => {
            request.report_end(CallEnd::Answered { shared, completion: None, keyed: None });
            Reply::Failed(CallError::key_not_kept(site.tool, &error.answer_text()))
        }
    }
}

/// Makes a job of the call before its work starts (`async_mode` and `always_job`).
async fn queue<R: Send + 'static, S: Spawn<R>>(
    site: &'static CallSite,
    request: &Arc<CallRequest>,
    context: Arc<JobContext>,
    shared: Option<(Arc<SharedRun>, Attachment)>,
    key: Option<(CallersKey, Duration)>,
    spawn: S,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let manager = request.manager().await;
    let (shared, attachment) = shared.unzip();
    let adoption = request.adoption(site, shared.as_ref());
    let adoption = match &key {
        Some((key, kept_for)) => adoption.with_key(key.clone(), *kept_for),
        None => adoption,
    };
    let start = start(&manager, spawn, conclude);
    let queued = manager.runner().enqueue(adoption, context, S::NEEDS, start).await;
    let error = match queued {
        Ok((live, record)) => {
            let id = record.id;
            Span::current().record("job_id", display(id));
            record_outcome("became a job before it began", Instant::now());
            let attachment = attachment.or_else(|| manager.runner().live().attach(&live));
            request.report_end(CallEnd::Job { record, attachment });
            let happened = "Task accepted as a background job.";
            return Reply::Job(pending_ticket(site, request, &manager, id, happened));
        }
        Err(error) => error,
    };
    if let Some((key, _)) = key
        && matches!(error, Error::Store(StoreError::KeyTaken(_) | StoreError::KeysFull { .. }))
    {
        return key_refused(site, request, shared.zip(attachment), key, error);
    }
    if let Some(attachment) = attachment {
        attachment.deliver();
        request.report_end(CallEnd::Answered { shared, completion: None, keyed: None });
    }
    if matches!(error, Error::Stopping) {
        return Reply::Failed(CallError::stopping(site.tool));
    }
    let reason = error.answer_text();
    let says_when = reason.contains("try again");
    let way_out = match (site.always_job, says_when) {
        (true, true) => "",
        (true, false) => " Call it again later.",
        (false, true) => " Or call it without async_mode to wait for its result.",
        (false, false) => " Call it again without async_mode to wait for its result, or later.",
    };
    let message = format!(
        "{}: no job could be made of it, and the work was not started: {reason}.{way_out}",
        site.tool
    );
    Reply::Failed(CallError::new(CallErrorKind::NotDurable, site.tool, message))
}

/// Starts the work of a job again that this process has claimed.
async fn run_again<R: Send + 'static, S: Spawn<R>>(
    site: &'static CallSite,
    request: &Arc<CallRequest>,
    job: &JobRecord,
    spawn: S,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let manager = request.manager().await;
    let context = request.new_context(site).with_id(job.id).with_attempt(job.attempt);
    context.questions.apply_recorded(&job.questions);
    if site.max_concurrent.is_some() {
        // The claim of the job has given it its slot.
        context.turn.wait_in_queue();
    }
    let origin = request.origin(site);
    manager.runner().resume(origin, context, S::NEEDS, start(&manager, spawn, conclude));
    let happened = "Task runs again as a background job.";
    Reply::Job(pending_ticket(site, request, &manager, job.id, happened))
}

/// The function that starts the body of a job, once it is the job's turn.
fn start<R: Send + 'static>(
    manager: &JobManager,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> impl FnOnce(&Arc<JobContext>, Turn) -> Body + Send + 'static {
    let slots = Arc::clone(manager.runner().slots());
    move |context, turn| {
        let means = Means { carrier: None, slots: &slots, turn: MeansTurn::Came(turn) };
        Body::new(spawn.spawn(context, means), conclude)
    }
}

/// The ticket of a job whose work has not begun.
fn pending_ticket(
    site: &CallSite,
    request: &CallRequest,
    manager: &JobManager,
    id: JobId,
    happened: &str,
) -> JobTicket {
    let pace = JobPace::of(manager, site.tool, Duration::ZERO);
    JobTicket::new(id, JobStatus::Pending, happened, site.tool, &request.follow_up, pace)
}
