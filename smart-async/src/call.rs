//! The way of a call: the body is spawned in its context, and raced against its budget. Whichever side is there first
//! decides, once, whether the call answers inline or becomes a job.
//!
//! The body runs in one task from start to end; this file never starts it twice, and never stops it because a budget
//! ended. What happens to it as a job is the manager's business.

mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

pub(crate) use self::request::{CallRequest, Caller, Departure};
use crate::backoff::Backoff;
use crate::budget;
use crate::call_site::{CallSite, OnCancel, OnDisconnect};
use crate::context::JobContext;
use crate::job::{JobStatus, Outcome};
use crate::manager::{Adopted, Body, Error, JobManager, LiveJob, panic_message};
use crate::observe;
use crate::reply::{CallError, CallErrorKind, JobTicket, Reply};
use crate::store::StoreError;

/// How a body is started: the async kind in a task, the blocking kind on the blocking pool.
pub(crate) trait Spawn<R>:
    FnOnce(&Arc<JobContext>) -> JoinHandle<R> + Send + 'static
{
}
impl<R, F: FnOnce(&Arc<JobContext>) -> JoinHandle<R> + Send + 'static> Spawn<R> for F {}

/// Starts async bodies.
pub(crate) fn in_task<R: Send + 'static>(
    body: impl Future<Output = R> + Send + 'static,
) -> impl Spawn<R> {
    |context: &Arc<JobContext>| observe::spawn(context.run(body).instrument(Span::current()))
}

/// Starts blocking bodies.
pub(crate) fn on_blocking_pool<R: Send + 'static>(
    body: impl FnOnce() -> R + Send + 'static,
) -> impl Spawn<R> {
    |context: &Arc<JobContext>| {
        let (context, span) = (Arc::clone(context), Span::current());
        tokio::task::spawn_blocking(move || span.in_scope(|| context.run_blocking(body)))
    }
}

/// Runs an annotated function. `conclude` says what its result means to a job.
pub(crate) async fn run<R: Send + 'static>(
    site: &'static CallSite,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let request = CallRequest::current();
    // The span is made where it is seen.
    let seen = async move {
        let span = tracing::debug_span!(
            "call",
            tool = site.tool,
            job_id = Empty,
            outcome = Empty,
            elapsed_seconds = Empty
        );
        race(site, request, spawn, conclude).instrument(span).await
    };
    observe::watched(seen).await
}

/// Says how a call went, in its span and in an event.
fn tell(outcome: &str, elapsed: Duration) {
    let elapsed_seconds = elapsed.as_secs_f64();
    Span::current().record("outcome", outcome).record("elapsed_seconds", elapsed_seconds);
    tracing::debug!("call {outcome}");
}

async fn race<R: Send + 'static>(
    site: &'static CallSite,
    request: Arc<CallRequest>,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    if request.caller.has_left() {
        return Reply::Failed(nobody_waits(site.tool));
    }
    let context = JobContext::new(
        site.tool.into(),
        request.body_token.clone(),
        request.manager.as_ref().map(JobManager::host),
    );
    if request.async_mode || site.always_job {
        let manager = request.manager().await;
        // Where nothing can be kept, `always_job` is an ordinary call; who asked for a job is told that there is none.
        if request.async_mode || manager.hands_out_ids() {
            return as_job_at_once(site, &request, &manager, context, spawn, conclude).await;
        }
    } else if request.is_stopping() {
        return Reply::Failed(stopping(site.tool));
    }
    let budget = budget::of(site);
    let context = Arc::new(context);
    let body = spawn(&context);
    OpenCall { site, request, context, conclude, body: Some(body), adopting: None, taken_in: None }
        .answer(budget)
        .await
}

/// `async_mode` and `always_job`: on disk before the work starts.
async fn as_job_at_once<R: Send + 'static>(
    site: &'static CallSite,
    request: &Arc<CallRequest>,
    manager: &JobManager,
    context: JobContext,
    spawn: impl Spawn<R>,
    conclude: fn(R) -> Outcome,
) -> Reply<R> {
    let adoption = request.adoption(site);
    let queued = manager
        .enqueue(adoption, context, move |context| Body::new(spawn(context), conclude))
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
            let message = format!(
                "{}: no job could be made of it, and the work was not started: {error}. Call it again without \
                 async_mode to wait for its result, or later.",
                site.tool
            );
            Reply::Failed(CallError::new(CallErrorKind::NotDurable, site.tool, message))
        }
    }
}

/// A call whose caller waits. Dropped before its answer, it hands the work on, so that nothing is lost.
struct OpenCall<R: Send + 'static> {
    site: &'static CallSite,
    request: Arc<CallRequest>,
    context: Arc<JobContext>,
    conclude: fn(R) -> Outcome,
    /// The running body; gone once it has been answered for or handed on.
    body: Option<JoinHandle<R>>,
    /// The record that is being written, while it is.
    adopting: Option<JoinHandle<Result<Adopted, StoreError>>>,
    /// The work as the same call finds it, from the caller's departure on.
    taken_in: Option<Arc<LiveJob>>,
}

/// What ended a wait.
enum Woken<R> {
    Ended(Result<R, JoinError>),
    TimeOver,
    DeadlineOver,
    CallerLeft,
    Halted,
}

/// How an attempt to make a job of an open call went.
enum Adopting<R> {
    Adopted(Adopted),
    EndedFirst(Result<R, JoinError>),
    CallerLeft,
    Failed(StoreError),
}

impl<R: Send + 'static> OpenCall<R> {
    async fn answer(mut self, budget: Duration) -> Reply<R> {
        match self.wait(budget).await {
            Woken::TimeOver => self.detach(budget).await,
            woken => self.end(woken).await,
        }
    }

    /// Waits for the body, but for `time` at most, and for nobody who is not there any more.
    async fn wait(&mut self, time: Duration) -> Woken<R> {
        let Some(body) = self.body.as_mut() else { return Woken::Halted };
        let deadline =
            self.site.deadline.and_then(|deadline| self.context.began.checked_add(deadline));
        let over = Instant::now().checked_add(time);
        let (until, woken) = match (over, deadline) {
            (Some(over), Some(deadline)) if over < deadline => (Some(over), Woken::TimeOver),
            (over, None) => (over, Woken::TimeOver),
            (_, deadline) => (deadline, Woken::DeadlineOver),
        };
        tokio::select! {
            // The result is looked at first: when it is there, nothing else counts.
            biased;
            ended = body => Woken::Ended(ended),
            () = self.request.caller.left() => Woken::CallerLeft,
            () = self.request.halted() => Woken::Halted,
            () = sleep_until_some(until) => woken,
        }
    }

    /// The budget is over: makes the work a job, or goes on waiting where that cannot be done.
    async fn detach(mut self, budget: Duration) -> Reply<R> {
        let manager = self.request.manager().await;
        let mut backoff = Backoff::default();
        loop {
            let pause = if manager.hands_out_ids() {
                match self.adopt(&manager).await {
                    Adopting::Adopted(adopted) => return self.hand_over(&manager, adopted, budget),
                    Adopting::EndedFirst(ended) => return self.end(Woken::Ended(ended)).await,
                    Adopting::CallerLeft => return self.end(Woken::CallerLeft).await,
                    Adopting::Failed(error) => {
                        tracing::error!(
                            tool = self.site.tool, %error,
                            "the budget is over, but the job could not be stored; waiting on, and trying again"
                        );
                        backoff.next()
                    }
                }
            } else {
                tracing::warn!(
                    tool = self.site.tool,
                    "the budget is over, but jobs are kept in memory only; waiting for the result instead"
                );
                Duration::MAX
            };
            match self.wait(pause).await {
                Woken::TimeOver => {}
                woken => return self.end(woken).await,
            }
        }
    }

    /// Writes the job's record while the body runs on. Exactly one of the two sides wins: a record that is not taken
    /// on, or comes too late, takes itself back.
    async fn adopt(&mut self, manager: &JobManager) -> Adopting<R> {
        let Some(body) = self.body.as_mut() else { return Adopting::Failed(StoreError::Closed) };
        let adoption = self.request.adoption(self.site);
        let adopting = self.adopting.insert(manager.adopt(adoption, Arc::clone(&self.context)));
        let adopted = tokio::select! {
            biased;
            ended = &mut *body => return Adopting::EndedFirst(ended),
            () = self.request.caller.left() => return Adopting::CallerLeft,
            adopted = adopting => adopted,
        };
        self.adopting = None;
        match adopted {
            Ok(Ok(_)) if body.is_finished() => Adopting::EndedFirst(body.await),
            Ok(Ok(adopted)) => Adopting::Adopted(adopted),
            Ok(Err(error)) => Adopting::Failed(error),
            Err(_) => Adopting::Failed(StoreError::Closed),
        }
    }

    fn hand_over(mut self, manager: &JobManager, adopted: Adopted, budget: Duration) -> Reply<R> {
        let tool = self.site.tool;
        let Some(body) = self.body.take() else { return Reply::Failed(stopping(tool)) };
        let job_id = self.context.id();
        let elapsed = self.context.began.elapsed();
        Span::current().record("job_id", display(job_id));
        tell("outlived its budget and became a job", elapsed);
        adopted.supervise(Body::new(body, self.conclude));
        let _ = self.request.became.set(job_id);
        let happened =
            format!("Task exceeded {} time budget; running in background.", budget::spoken(budget));
        let poll_after = manager.poll_after(tool, elapsed);
        let follow_up = &self.request.follow_up;
        Reply::Job(JobTicket::new(
            job_id,
            JobStatus::Running,
            &happened,
            tool,
            follow_up,
            poll_after,
        ))
    }

    /// Answers a call that did not outlive its budget, or whose caller does not wait for it.
    async fn end(mut self, woken: Woken<R>) -> Reply<R> {
        let tool = self.site.tool;
        let elapsed = self.context.began.elapsed();
        let error = match woken {
            Woken::Ended(ended) => {
                self.body = None;
                match ended {
                    Ok(result) => {
                        tell("answered inline", elapsed);
                        return Reply::Inline(result);
                    }
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => {
                            let message = format!("{tool} panicked: {}", panic_message(&*panic));
                            tell("panicked", elapsed);
                            tracing::error!("{message}");
                            CallError::new(CallErrorKind::Panic, tool, message)
                        }
                        // Only the end of the runtime aborts a body whose call is open.
                        Err(_) => stopping(tool),
                    },
                }
            }
            Woken::DeadlineOver => {
                self.stop_body();
                let limit = humantime::format_duration(self.site.deadline.unwrap_or_default());
                let message =
                    format!("{tool} ran longer than its deadline of {limit} and was stopped");
                tell("ran longer than its deadline", elapsed);
                tracing::warn!("{message}");
                CallError::new(CallErrorKind::Deadline, tool, message)
            }
            Woken::Halted | Woken::TimeOver => {
                tell("was ended by the end of the server", elapsed);
                self.stop_body();
                stopping(tool)
            }
            Woken::CallerLeft => {
                tell("was left by its caller", elapsed);
                self.caller_left().await;
                nobody_waits(tool)
            }
        };
        Reply::Failed(error)
    }

    /// Nobody waits for the answer any more: keeps the work as a job, or stops it, as the annotation says. The same
    /// call finds the work from this moment on, before it is known why the caller left.
    async fn caller_left(&mut self) {
        if let Some(manager) = &self.request.manager {
            let adoption = self.request.adoption(self.site);
            self.taken_in = Some(manager.take_in(&adoption, &self.context));
        }
        let departure = self.request.caller.departure().await;
        self.settle(&departure);
    }

    /// Keeps the work as a job, or stops it.
    fn settle(&mut self, departure: &Departure) {
        let keep = self.site.keeps_after(departure);
        tracing::debug!(?departure, keep, "the caller left before the answer");
        if keep {
            self.keep_as_job();
        } else {
            self.stop_body();
        }
    }

    /// Makes the work a job in the background; where that fails, its result stays in memory for the caller's return.
    fn keep_as_job(&mut self) {
        let Some(body) = self.body.take() else { return };
        let body = Body::new(body, self.conclude);
        let (live, adopting) = (self.taken_in.take(), self.adopting.take());
        let adoption = self.request.adoption(self.site);
        let context = Arc::clone(&self.context);
        self.request.with_manager(async move |manager| {
            let live = live.unwrap_or_else(|| manager.take_in(&adoption, &context));
            manager.keep(adoption, live, body, adopting).await;
        });
    }

    fn stop_body(&mut self) {
        let Some(body) = self.body.take() else { return };
        let (context, body) = (Arc::clone(&self.context), Body::new(body, self.conclude));
        let live = self.taken_in.take();
        self.request.with_manager(async move |manager| {
            if let Some(live) = live {
                manager.let_go(&live);
            }
            body.wind_down(&context, manager.cancel_grace()).await;
        });
    }
}

/// A future that is dropped is a caller that is gone without a word.
impl<R: Send + 'static> Drop for OpenCall<R> {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.settle(&Departure::Disconnected);
        }
    }
}

fn stopping(tool: &str) -> CallError {
    let message = format!(
        "{tool}: the server is ending, and the work was stopped or not begun; call it again later"
    );
    CallError::new(CallErrorKind::Stopping, tool, message)
}

fn nobody_waits(tool: &str) -> CallError {
    CallError::new(CallErrorKind::Cancelled, tool, format!("{tool}: the caller has left"))
}

impl CallSite {
    /// Whether the work goes on after its caller left in this way.
    pub(crate) fn keeps_after(&self, departure: &Departure) -> bool {
        match departure {
            Departure::Disconnected => self.on_disconnect == OnDisconnect::Keep,
            Departure::Cancelled { reason } => match self.on_cancel {
                OnCancel::Auto => reason.as_deref().is_some_and(names_a_time_out),
                OnCancel::Keep => true,
                OnCancel::Cancel => false,
            },
        }
    }
}

/// Whether the reason of a cancellation is that the client lost patience, rather than that a person pressed a key.
///
/// The official clients say "request timeout" (Rust) and "Request timed out" (TypeScript).
fn names_a_time_out(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["timeout", "timed out", "time-out", "time out", "deadline"]
        .iter()
        .any(|word| reason.contains(word))
}

async fn sleep_until_some(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
