//! A call whose caller waits: its body races against the budget, the deadline, the caller's departure and the end of the server.
//! Exactly one of them decides how the call is answered.

mod departure;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::display;

use super::errors::{CallError, CallErrorKind};
use super::reply::{JobPace, JobTicket, Reply};
use super::report::CallEnd;
use super::request::CallRequest;
use super::wait::Wake;
use super::{budget, record_outcome};
use crate::core::backoff::Backoff;
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::context::questions::AnswerRoute;
use crate::core::job::{JobEvent, JobRecord, JobStatus, Outcome};
use crate::core::local::{Attachment, LONG_OPEN, SharedRun};
use crate::core::manager::JobManager;
use crate::core::observe;
use crate::core::ready_after_yield::ready_after_yield;
use crate::core::runner::{
    Adopted, Adopting, Body, BodyError, InlineCompletion, KeyedCall, TypedBody, interruption,
};
use crate::core::shield::panic_message;
use crate::core::store::StoreError;

/// How long the answer of a call waits until its record is taken back, where the work may run again.
const TAKE_BACK: Duration = Duration::from_secs(5);

/// A call whose caller waits. Dropped before its answer, it treats its caller as disconnected.
pub(super) struct OpenCall<R: Send + 'static> {
    site: &'static CallSite,
    request: Arc<CallRequest>,
    context: Arc<JobContext>,
    conclude: fn(R) -> Outcome,
    /// The running body; taken when the call is answered, or when the body is handed to the manager.
    body: Option<TypedBody<R>>,
    /// The write of the job's record, while it lasts.
    adopting: Option<Adopting>,
    /// The run as the same calls join it, where they do.
    shared: Option<Arc<SharedRun>>,
    /// The call as the holder of its key, where it has one.
    keyed: Option<KeyedCall>,
    /// The caller, where other callers can find the run: from the start of a shared run, else from the caller's departure.
    attachment: Option<Attachment>,
}

/// How the run of an open call ended.
enum Ran<R> {
    Body(Result<R, BodyError>),
    /// The body ran longer than its deadline, and runs on.
    DeadlineOver,
    /// The body reported no progress for too long, and runs on.
    Stalled,
    /// The client cancelled the same call, made again, and the body runs on.
    Cancelled,
}

/// Why a call becomes a job.
#[derive(Clone, Copy)]
enum Because {
    TimeOver(Duration),
    Asks,
}

/// How an attempt to make a job of an open call went.
enum Attempt<R> {
    Adopted(Adopted),
    /// Something else came first; the record is taken back.
    Woken(Wake<Ran<R>>),
    Failed(StoreError),
}

impl<R: Send + 'static> OpenCall<R> {
    pub(super) fn new(
        site: &'static CallSite,
        request: Arc<CallRequest>,
        context: Arc<JobContext>,
        body: TypedBody<R>,
        conclude: fn(R) -> Outcome,
    ) -> Self {
        let body = Some(body);
        let (adopting, shared, keyed, attachment) = (None, None, None, None);
        Self { site, request, context, conclude, body, adopting, shared, keyed, attachment }
    }

    /// The same, of a run that the same calls share.
    pub(super) fn of_shared_run(mut self, shared: Arc<SharedRun>, attachment: Attachment) -> Self {
        (self.shared, self.attachment) = (Some(shared), Some(attachment));
        self
    }

    /// The same, of a call that has its key.
    pub(super) fn with_key(mut self, keyed: Option<KeyedCall>) -> Self {
        self.keyed = keyed;
        self
    }

    /// Waits for the answer.
    pub(super) async fn answer(mut self) -> Reply<R> {
        if !self.request.caller.has_left()
            && let Some(body) = &mut self.body
            && let Some(ended) = ready_after_yield(Pin::new(body)).await
        {
            return self.answer_ended(ended);
        }
        // Boxed, so that calls of microseconds, which end above, do not move the future of a longer wait about.
        Box::pin(self.answer_later()).await
    }

    /// Boxes the ways out, so that an open call has the size of its wait and no more.
    async fn answer_later(mut self) -> Reply<R> {
        let budget = budget::of(self.site, self.request.budget_limit);
        let because = match self.wait(self.context.began.checked_add(budget), true).await {
            Wake::TimeOver => Because::TimeOver(budget),
            Wake::Asks => Because::Asks,
            wake => return Box::pin(self.end(wake)).await,
        };
        Box::pin(self.detach(because)).await
    }

    /// Waits as `wait_until` does. Once the call has been open for long, the same call joins it.
    async fn wait(&mut self, until: Option<Instant>, may_ask: bool) -> Wake<Ran<R>> {
        if let Some(long_open) = self.long_open()
            && until.is_none_or(|until| long_open < until)
        {
            match self.wait_until(Some(long_open), may_ask).await {
                Wake::TimeOver => {
                    (self.shared, self.attachment) =
                        self.request.share_open(self.site, &self.context).unzip();
                }
                wake => return wake,
            }
        }
        self.wait_until(until, may_ask).await
    }

    /// When the same call may join this one, where that is possible and does not hold yet.
    fn long_open(&self) -> Option<Instant> {
        let joined = self.shared.is_none() && self.request.is_joined_when_long_open(self.site);
        self.context.began.checked_add(LONG_OPEN).filter(|_| joined)
    }

    /// Waits for the body until `until` at most and, where it `may_ask`, until it asks a question that only a job can ask.
    async fn wait_until(&mut self, until: Option<Instant>, may_ask: bool) -> Wake<Ran<R>> {
        let deadline = self.site.deadline;
        let Some(body) = self.body.as_mut() else { return Wake::Halted };
        let asks = async {
            match may_ask {
                true => self.context.questions.needs_job().await,
                false => std::future::pending().await,
            }
        };
        let stopped = stop_requested(self.attachment.as_ref());
        let run = pin!(within(&self.context, deadline, body, stopped));
        self.request.wait_for(run, until, pin!(asks)).await
    }

    /// Makes the call a job, or goes on waiting where that cannot be done. Boxes the other ways out, as `answer_later` does.
    async fn detach(mut self, because: Because) -> Reply<R> {
        let manager = self.request.manager().await;
        if !manager.runner().settings().hands_out_ids {
            return Box::pin(self.wait_without_job()).await;
        }
        let mut backoff = Backoff::default();
        loop {
            let error = match self.adopt(&manager).await {
                Attempt::Adopted(adopted) => {
                    return Box::pin(self.hand_over(&manager, adopted, because)).await;
                }
                Attempt::Woken(wake) => return Box::pin(self.end(wake)).await,
                Attempt::Failed(error) => error,
            };
            observe::error!(
                tool = self.site.tool, %error,
                "a call was to become a job that could not be stored; waiting on, and trying again"
            );
            match self.wait(Instant::now().checked_add(backoff.next()), false).await {
                Wake::TimeOver => {}
                wake => return Box::pin(self.end(wake)).await,
            }
        }
    }

    /// Waits for the body however long that takes, because the call cannot become a job.
    async fn wait_without_job(mut self) -> Reply<R> {
        observe::warn!(
            tool = self.site.tool,
            "a call was to become a job, but jobs are kept in memory only; waiting for the result instead"
        );
        loop {
            match self.wait(None, true).await {
                Wake::Asks => self.context.questions.set_route(AnswerRoute::Unavailable),
                wake => return self.end(wake).await,
            }
        }
    }

    /// Writes the job's record while the body runs on. Where anything else ends the wait first, the record is taken back.
    async fn adopt(&mut self, manager: &JobManager) -> Attempt<R> {
        let deadline = self.site.deadline;
        let Some(body) = self.body.as_mut() else { return Attempt::Failed(StoreError::Closed) };
        // A body that ends at this very moment is answered inline, also where the store answers at once.
        if let Some(ended) = ready_after_yield(Pin::new(&mut *body)).await {
            return Attempt::Woken(Wake::Ended(Ran::Body(ended)));
        }
        let adoption = self.request.adoption(self.site, self.shared.as_ref());
        let adopting =
            self.adopting.insert(manager.runner().adopt(adoption, Arc::clone(&self.context)));
        let waits = self.context.turn.waits();
        // The record says that the body has not begun, so it must not begin before its job has a supervisor.
        if waits {
            body.step_aside();
        }
        let adopted = {
            let stopped = stop_requested(self.attachment.as_ref());
            let run = pin!(async {
                match waits {
                    true => std::future::pending().await,
                    false => within(&self.context, deadline, &mut *body, stopped).await,
                }
            });
            let asks = pin!(std::future::pending());
            tokio::select! {
                biased;
                wake = self.request.wait_for(run, None, asks) => return Attempt::Woken(wake),
                adopted = adopting => adopted,
            }
        };
        self.adopting = None;
        match adopted {
            Ok(adopted) if body.is_finished() => {
                let ended = body.await;
                take_back(self.site, async { Some(adopted) }).await;
                Attempt::Woken(Wake::Ended(Ran::Body(ended)))
            }
            Ok(adopted) => Attempt::Adopted(adopted),
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Hands the body to the manager, and answers with the ticket of the job.
    async fn hand_over(
        mut self,
        manager: &JobManager,
        adopted: Adopted,
        because: Because,
    ) -> Reply<R> {
        let tool = self.site.tool;
        let Some(body) = self.body.take() else { return Reply::Failed(CallError::stopping(tool)) };
        let job_id = self.context.id();
        let elapsed = self.context.began.elapsed();
        observe::Span::current().record("job_id", display(job_id));
        let happened = match because {
            Because::TimeOver(_) if self.context.turn.waits() => {
                record_outcome(
                    "waited for its turn for its budget and became a job",
                    self.context.began,
                );
                let is_queued = self.context.turn.is_queued();
                let waits_for = waits_for(self.site, is_queued, manager, adopted.record());
                let waits_for = waits_for.await;
                format!("Task not begun: {waits_for}; waiting in background.")
            }
            Because::TimeOver(budget) => {
                record_outcome("outlived its budget and became a job", self.context.began);
                format!(
                    "Task exceeded {} time budget; running in background.",
                    budget::display(budget)
                )
            }
            Because::Asks => {
                record_outcome("asked something and became a job", self.context.began);
                "Task runs in background.".to_owned()
            }
        };
        let status = match self.context.turn.waits() {
            true => JobStatus::Pending,
            false => JobStatus::Running,
        };
        // The followers of the job may answer from now on what the caller has not answered.
        self.context.questions.set_route(AnswerRoute::Job);
        if let Some(keyed) = self.keyed.take() {
            keyed.becomes_job();
        }
        let (live, record) = adopted.supervise(Body::new(body, self.conclude));
        let attachment = self
            .attachment
            .take()
            .or_else(|| live.and_then(|live| manager.runner().live().attach(&live)));
        self.request.report_end(CallEnd::Job { record, attachment });
        let follow_up = &self.request.follow_up;
        Reply::Job(match self.context.questions.open().iter().next() {
            Some((key, question)) => {
                JobTicket::asking(job_id, &happened, tool, (key, question), follow_up)
            }
            None => {
                let pace = JobPace::of(manager, tool, elapsed);
                JobTicket::new(job_id, status, &happened, tool, follow_up, pace)
            }
        })
    }

    /// Answers a call whose body has ended.
    fn answer_ended(mut self, ended: Result<R, BodyError>) -> Reply<R> {
        self.body = None;
        let tool = self.site.tool;
        let began = self.context.began;
        let reply = match ended {
            Ok(result) => {
                record_outcome("answered inline", began);
                Reply::Inline(result)
            }
            Err(BodyError::Panicked(panic)) => {
                let message = format!("{tool} panicked: {}", panic_message(&*panic));
                record_outcome("panicked", began);
                // The caller may read the message of the panic; the readers of a log may not.
                if self.site.redact {
                    observe::error!("{tool} panicked; what it said is not shown (redact)");
                } else {
                    observe::error!("{message}");
                }
                Reply::Failed(CallError::new(CallErrorKind::Panic, tool, message))
            }
            // Only the end of the runtime aborts the body of an open call.
            Err(BodyError::Aborted) => Reply::Failed(CallError::stopping(tool)),
        };
        let fills_state = self.site.state.is_some() && matches!(reply, Reply::Inline(_));
        let completion = fills_state.then(|| {
            let (id, at) = (self.context.id(), self.context.now());
            InlineCompletion { site: self.site, id, at }
        });
        self.report_answered(completion);
        reply
    }

    /// Answers a call that did not become a job.
    async fn end(mut self, wake: Wake<Ran<R>>) -> Reply<R> {
        let tool = self.site.tool;
        let began = self.context.began;
        let error = match wake {
            Wake::Ended(Ran::Body(ended)) => {
                self.body = None;
                if let Some(adopting) = self.adopting.take() {
                    take_back(self.site, async { adopting.await.ok() }).await;
                }
                return self.answer_ended(ended);
            }
            Wake::Ended(Ran::DeadlineOver) => {
                let limit = humantime::format_duration(self.site.deadline.unwrap_or_default());
                let why = format!("ran longer than its deadline of {limit}");
                self.stop_overdue(CallErrorKind::Deadline, &why)
            }
            Wake::Ended(Ran::Stalled) => {
                let limit = humantime::format_duration(self.site.stall.unwrap_or_default());
                let why = format!("reported no progress for {limit}");
                self.stop_overdue(CallErrorKind::Stalled, &why)
            }
            Wake::Ended(Ran::Cancelled) => {
                let is_on_thread = self.body.as_ref().is_some_and(TypedBody::is_on_thread);
                self.stop_body(None);
                self.end_key(JobEvent::Cancel);
                record_outcome("was cancelled with the same call, made again", began);
                CallError::cancelled_again(tool, is_on_thread)
            }
            Wake::Halted | Wake::TimeOver | Wake::Asks => {
                record_outcome("was ended by the end of the server", began);
                let is_on_thread = self.body.as_ref().is_some_and(TypedBody::is_on_thread);
                self.stop_body(None);
                self.end_key(interruption());
                match is_on_thread {
                    true => CallError::told_to_stop(tool),
                    false => CallError::stopping(tool),
                }
            }
            Wake::CallerLeft => {
                record_outcome("was left by its caller", began);
                self.caller_left().await;
                return Reply::Failed(CallError::caller_left(tool));
            }
        };
        self.report_answered(None);
        Reply::Failed(error)
    }

    /// Stops a body that has taken too long, and returns the error of its call.
    fn stop_overdue(&mut self, kind: CallErrorKind, why: &str) -> CallError {
        let tool = self.site.tool;
        let fate = match self.body.as_ref().is_some_and(TypedBody::is_on_thread) {
            // No code but the body's own ends it.
            true => "was told to stop, which it does when it asks is_cancelled()",
            false => "was stopped",
        };
        self.stop_body(None);
        let message = format!("{tool} {why} and {fate}");
        record_outcome(why, self.context.began);
        observe::warn!("{message}");
        CallError::new(kind, tool, message)
    }

    /// Keeps how the call ended for its key, where its answer does not say that.
    fn end_key(&mut self, end: JobEvent) {
        if let Some(keyed) = self.keyed.take() {
            drop(keyed.end(end));
        }
    }

    /// Reports that the call is answered and is no job, where the server has to do anything about that.
    fn report_answered(&mut self, completion: Option<InlineCompletion>) {
        let shared = self.shared.take();
        if let Some(attachment) = self.attachment.take() {
            attachment.deliver();
        }
        let keyed = self.keyed.take();
        if shared.is_some() || completion.is_some() || keyed.is_some() {
            self.request.report_end(CallEnd::Answered { shared, completion, keyed });
        }
    }
}

/// The condition for the beginning of a body that waits, in words.
async fn waits_for(
    site: &CallSite,
    is_queued: bool,
    manager: &JobManager,
    record: Arc<JobRecord>,
) -> String {
    if !is_queued {
        return "all threads are busy".to_owned();
    }
    let place = manager.jobs().queue_place(&record).await.ok().flatten();
    let place = place.map(|place| format!("; it is number {place} in the queue"));
    let limit = site.max_concurrent.unwrap_or_default();
    format!("{} runs {limit} at a time{}", site.tool, place.unwrap_or_default())
}

/// Takes back the record of a body that ended before its job had a follower. Where the work may run again, the answer waits
/// for that, but for a moment at most: a process that ends in between would make the work run again.
async fn take_back(site: &CallSite, adopted: impl Future<Output = Option<Adopted>>) {
    if site.max_reruns > 0 {
        let taken_back = async {
            if let Some(adopted) = adopted.await {
                adopted.take_back().await;
            }
        };
        let _ = tokio::time::timeout(TAKE_BACK, taken_back).await;
    }
}

/// Waits until a later caller of the same run cancels it for its client.
async fn stop_requested(attachment: Option<&Attachment>) {
    match attachment {
        Some(attachment) => attachment.job().stop_requested().await,
        None => std::future::pending().await,
    }
}

/// Waits for the body, until it has run for longer than its deadline or it is `stopped`. An end of the body that is there already
/// counts first.
async fn within<R>(
    context: &JobContext,
    deadline: Option<Duration>,
    body: &mut TypedBody<R>,
    stopped: impl Future<Output = ()>,
) -> Ran<R> {
    let over = async {
        // A body that waits for its turn begins when it is polled, which comes before each look at this.
        poll_fn(|_| if context.turn.waits() { Poll::Pending } else { Poll::Ready(()) }).await;
        let deadline = deadline.and_then(|deadline| context.run_began().checked_add(deadline));
        context.questions.past(deadline).await;
    };
    tokio::select! {
        biased;
        ended = body => Ran::Body(ended),
        () = stopped => Ran::Cancelled,
        () = over => Ran::DeadlineOver,
        () = context.stalled() => Ran::Stalled,
    }
}
