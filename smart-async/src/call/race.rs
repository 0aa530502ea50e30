//! A call whose caller waits: the race of its body against its budget, its deadline, its caller's patience and the end
//! of the server. Exactly one of them decides.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::display;

use super::caller::Departure;
use super::request::CallRequest;
use super::{nobody_waits, stopping, tell};
use crate::call::budget;
use crate::call::reply::{CallError, CallErrorKind, JobTicket, Reply};
use crate::core::backoff::Backoff;
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::context::questions::Way;
use crate::core::job::{JobStatus, Outcome};
use crate::core::local::{Left, LiveJob};
use crate::core::manager::JobManager;
use crate::core::observe;
use crate::core::ready_after_yield::ready_after_yield;
use crate::core::runner::{Adopted, Body, InlineCompletion, Running, Unfinished, panic_message};
use crate::core::store::StoreError;

/// A call whose caller waits. Dropped before its answer, it hands the work on, so that nothing is lost.
pub(super) struct OpenCall<R: Send + 'static> {
    site: &'static CallSite,
    request: Arc<CallRequest>,
    context: Arc<JobContext>,
    conclude: fn(R) -> Outcome,
    /// The running body; gone once it has been answered for or handed on.
    body: Option<Running<R>>,
    /// The record that is being written, while it is.
    adopting: Option<JoinHandle<Result<Adopted, StoreError>>>,
    /// The work as the same call finds it, from the caller's departure on.
    taken_in: Option<Arc<LiveJob>>,
}

/// What ended a wait.
enum Woken<R> {
    Ended(Result<R, Unfinished>),
    TimeOver,
    /// The body asks something that only a job can ask.
    Asks,
    DeadlineOver,
    CallerLeft,
    Halted,
}

/// Why a call becomes a job.
#[derive(Clone, Copy)]
enum Because {
    TimeOver(Duration),
    Asks,
}

/// How an attempt to make a job of an open call went.
enum Adopting<R> {
    Adopted(Adopted),
    /// Something else came first; the record takes itself back.
    Woken(Woken<R>),
    Failed(StoreError),
}

impl<R: Send + 'static> OpenCall<R> {
    pub(super) fn new(
        site: &'static CallSite,
        request: Arc<CallRequest>,
        context: Arc<JobContext>,
        body: Running<R>,
        conclude: fn(R) -> Outcome,
    ) -> Self {
        Self { site, request, context, conclude, body: Some(body), adopting: None, taken_in: None }
    }

    /// Waits for the answer.
    pub(super) async fn answer(mut self, budget: Duration) -> Reply<R> {
        if let Some(body) = &mut self.body
            && let Some(ended) = ready_after_yield(Pin::new(body)).await
        {
            return self.ended(ended);
        }
        // Work of microseconds never comes here, and need not carry its size along.
        Box::pin(self.answer_later(budget)).await
    }

    async fn answer_later(mut self, budget: Duration) -> Reply<R> {
        match self.wait(self.context.began.checked_add(budget), true).await {
            // Neither do most of the others come here.
            Woken::TimeOver => Box::pin(self.detach(Because::TimeOver(budget))).await,
            Woken::Asks => Box::pin(self.detach(Because::Asks)).await,
            woken => self.end(woken).await,
        }
    }

    /// Waits for the body, but until `over` at most, and for nobody who is not there any more; where it `may_ask`, also until
    /// it asks something that only a job can ask.
    async fn wait(&mut self, over: Option<Instant>, may_ask: bool) -> Woken<R> {
        let deadline = self.deadline();
        let Some(body) = self.body.as_mut() else { return Woken::Halted };
        tokio::select! {
            // The result is looked at first: when it is there, nothing else counts.
            biased;
            ended = body => Woken::Ended(ended),
            () = self.request.caller.left() => Woken::CallerLeft,
            () = self.request.halted() => Woken::Halted,
            () = past_some(&self.context, deadline) => Woken::DeadlineOver,
            () = sleep_until_some(over) => Woken::TimeOver,
            () = self.context.desk.needs_job(), if may_ask => Woken::Asks,
        }
    }

    /// When the work has run for as long as it may.
    fn deadline(&self) -> Option<Instant> {
        self.site.deadline.and_then(|deadline| self.context.began.checked_add(deadline))
    }

    /// The budget is over, or the body asks something: makes the work a job, or goes on waiting where that cannot be done.
    async fn detach(mut self, because: Because) -> Reply<R> {
        let manager = self.request.manager().await;
        let mut backoff = Backoff::default();
        let can_keep = manager.hands_out_ids();
        if !can_keep {
            observe::warn!(
                tool = self.site.tool,
                "a call was to become a job, but jobs are kept in memory only; waiting for the result instead"
            );
        }
        loop {
            let again = if can_keep {
                match self.adopt(&manager).await {
                    Adopting::Adopted(adopted) => {
                        return self.hand_over(&manager, adopted, because);
                    }
                    Adopting::Woken(woken) => return self.end(woken).await,
                    Adopting::Failed(error) => {
                        observe::error!(
                            tool = self.site.tool, %error,
                            "a call was to become a job that could not be stored; waiting on, and trying again"
                        );
                        Instant::now().checked_add(backoff.next())
                    }
                }
            } else {
                None
            };
            match self.wait(again, !can_keep).await {
                Woken::TimeOver => {}
                Woken::Asks => self.context.desk.reach(Way::Nobody),
                woken => return self.end(woken).await,
            }
        }
    }

    /// Writes the job's record while the body runs on. Exactly one of the two sides wins: a record that is not taken
    /// on, or comes too late, takes itself back.
    async fn adopt(&mut self, manager: &JobManager) -> Adopting<R> {
        let deadline = self.deadline();
        let Some(body) = self.body.as_mut() else { return Adopting::Failed(StoreError::Closed) };
        let adoption = self.request.adoption(self.site);
        let adopting = self.adopting.insert(manager.adopt(adoption, Arc::clone(&self.context)));
        let adopted = tokio::select! {
            biased;
            ended = &mut *body => return Adopting::Woken(Woken::Ended(ended)),
            () = self.request.caller.left() => return Adopting::Woken(Woken::CallerLeft),
            () = self.request.halted() => return Adopting::Woken(Woken::Halted),
            () = past_some(&self.context, deadline) => return Adopting::Woken(Woken::DeadlineOver),
            adopted = adopting => adopted,
        };
        self.adopting = None;
        match adopted {
            Ok(Ok(adopted)) if body.is_finished() => {
                let ended = body.await;
                self.take_back(async { Some(adopted) }).await;
                Adopting::Woken(Woken::Ended(ended))
            }
            Ok(Ok(adopted)) => Adopting::Adopted(adopted),
            Ok(Err(error)) => Adopting::Failed(error),
            Err(_) => Adopting::Failed(StoreError::Closed),
        }
    }

    fn hand_over(mut self, manager: &JobManager, adopted: Adopted, because: Because) -> Reply<R> {
        let tool = self.site.tool;
        let Some(body) = self.body.take() else { return Reply::Failed(stopping(tool)) };
        let job_id = self.context.id();
        let elapsed = self.context.began.elapsed();
        Span::current().record("job_id", display(job_id));
        let happened = match because {
            Because::TimeOver(budget) => {
                tell("outlived its budget and became a job", elapsed);
                format!(
                    "Task exceeded {} time budget; running in background.",
                    budget::spoken(budget)
                )
            }
            Because::Asks => {
                tell("asked something and became a job", elapsed);
                "Task runs in background.".to_owned()
            }
        };
        // What its caller has not answered by now is the job's to ask.
        self.context.desk.reach(Way::Job);
        adopted.supervise(Body::new(body, self.conclude));
        let _ = self.request.became.set(job_id);
        let poll_after = manager.poll_after(tool, elapsed);
        let follow_up = &self.request.follow_up;
        Reply::Job(match self.context.desk.open().iter().next() {
            Some((key, question)) => {
                JobTicket::asking(job_id, &happened, tool, (key, question), follow_up, poll_after)
            }
            None => {
                let status = JobStatus::Running;
                JobTicket::new(job_id, status, &happened, tool, follow_up, poll_after)
            }
        })
    }

    /// Answers a call whose body has ended.
    fn ended(mut self, ended: Result<R, Unfinished>) -> Reply<R> {
        self.body = None;
        let tool = self.site.tool;
        let elapsed = self.context.began.elapsed();
        match ended {
            Ok(result) => {
                tell("answered inline", elapsed);
                if let Some(target) = self.site.state {
                    let completion = InlineCompletion::new(target, tool, self.context.id());
                    let _ = self.request.completed.set(completion);
                }
                Reply::Inline(result)
            }
            Err(Unfinished::Panicked(panic)) => {
                let message = format!("{tool} panicked: {}", panic_message(&*panic));
                tell("panicked", elapsed);
                // The caller is told; a log is read by others.
                if self.site.redact {
                    observe::error!("{tool} panicked; what it said is not shown (redact)");
                } else {
                    observe::error!("{message}");
                }
                Reply::Failed(CallError::new(CallErrorKind::Panic, tool, message))
            }
            // Only the end of the runtime aborts a body whose call is open.
            Err(Unfinished::Aborted) => Reply::Failed(stopping(tool)),
        }
    }

    /// Answers a call that did not outlive its budget, or whose caller does not wait for it.
    async fn end(mut self, woken: Woken<R>) -> Reply<R> {
        let tool = self.site.tool;
        let elapsed = self.context.began.elapsed();
        let error = match woken {
            Woken::Ended(ended) => {
                self.body = None;
                if let Some(adopting) = self.adopting.take() {
                    Box::pin(self.take_back(async { adopting.await.ok()?.ok() })).await;
                }
                return self.ended(ended);
            }
            Woken::DeadlineOver => {
                self.stop_body();
                let limit = humantime::format_duration(self.site.deadline.unwrap_or_default());
                let message =
                    format!("{tool} ran longer than its deadline of {limit} and was stopped");
                tell("ran longer than its deadline", elapsed);
                observe::warn!("{message}");
                CallError::new(CallErrorKind::Deadline, tool, message)
            }
            Woken::Halted | Woken::TimeOver | Woken::Asks => {
                tell("was ended by the end of the server", elapsed);
                self.stop_body();
                stopping(tool)
            }
            Woken::CallerLeft => {
                tell("was left by its caller", elapsed);
                Box::pin(self.caller_left()).await;
                nobody_waits(tool)
            }
        };
        Reply::Failed(error)
    }

    /// Takes back the record of work that ended before anybody heard of its job. Where the work may run again, the answer
    /// waits for that, for a moment at most: a process that ended in between would have it run again.
    async fn take_back(&self, adopted: impl Future<Output = Option<Adopted>>) {
        const MOMENT: Duration = Duration::from_secs(5);
        if self.site.max_reruns > 0 {
            let taken_back = async {
                if let Some(adopted) = adopted.await {
                    adopted.take_back().await;
                }
            };
            let _ = tokio::time::timeout(MOMENT, taken_back).await;
        }
    }

    /// Nobody waits for the answer any more: keeps the work as a job, or stops it, as the annotation says. The same
    /// call finds the work from this moment on, before it is known why the caller left.
    async fn caller_left(&mut self) {
        if let Some(manager) = &self.request.manager {
            let adoption = self.request.adoption(self.site);
            let live = manager.take_in(&adoption, &self.context);
            // Who leads is counted from the beginning; any other is from now on, beside those who find the work.
            if self.request.leads.get().is_none() {
                live.attached();
            }
            self.taken_in = Some(live);
        }
        let departure = self.request.caller.departure().await;
        self.settle(&departure);
    }

    /// Keeps the work as a job, or stops it.
    fn settle(&mut self, departure: &Departure) {
        let keep = self.site.keeps_after(departure);
        let lead = self.request.leads.get().map(|lead| lead.live());
        let keep = match lead.or(self.taken_in.as_ref()) {
            // Others wait for the same work: then it is not this caller's to stop.
            Some(live) => live.left(keep) != Left::Closed,
            None => keep,
        };
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
        context.desk.reach(Way::Job);
        self.request.with_manager(async move |manager| {
            if !manager.hands_out_ids() {
                context.desk.reach(Way::Nobody);
            }
            let live = live.unwrap_or_else(|| manager.take_in(&adoption, &context));
            manager.keep(adoption, live, body, adopting);
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

async fn past_some(context: &JobContext, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => context.desk.past(deadline).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until_some(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
