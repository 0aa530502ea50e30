//! A call of an annotated tool, from its arguments to its answer: as a new call, or as one that comes back to work that
//! runs already.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, ElicitationCapability};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use super::client::capabilities::Client;
use super::outcome;
use super::progress_notifications::{ProgressNotifier, with_progress};
use super::questions::{Asked, Round, beside, can_be_asked_all, digest, input_required};
use super::sdk_gaps::request_scope::spawner;
use super::server::JobServer;
use super::tasks::created;
use super::tools::answer::in_band_error;
use super::wishes::{Annotated, Wishes};
use crate::call::budget;
use crate::call::host_timeouts::Patience;
use crate::call::reply::JobTicket;
use crate::call::{CallRequest, Caller};
use crate::core::call_key::CallKey;
use crate::core::job::{JobId, JobRecord, check_depth};
use crate::core::jobs::{Error, WaitFor};
use crate::core::local::{Left, LiveJob};
use crate::core::runner::InlineCompletion;
use crate::core::spawn::try_spawn;
use crate::core::{clock, observe};

impl<S: ServerHandler> JobServer<S> {
    /// A call of an annotated tool. What is rare is boxed, and so is the tool itself: memory for a small future is cheap.
    #[expect(clippy::manual_async_fn, reason = "an async fn holds its arguments twice")]
    pub(super) fn call_annotated(
        &self,
        annotated: Annotated,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
        caller: Caller,
    ) -> impl Future<Output = Result<CallToolResponse, ErrorData>> + Send {
        async move {
            let wishes = match Wishes::take(annotated, request.arguments.as_mut()) {
                Ok(wishes) => wishes,
                Err(answer) => return Ok(answer.into()),
            };
            let client = Client::of(&context);
            let retry = client.can_be_asked_in_rounds().map(|_| digest(&request));
            let mut listener = ProgressNotifier::of(&context);
            let follower = Follower {
                caller: &caller,
                at_once: wishes.async_mode,
                as_task: client.takes_tasks(),
                client: client.can_be_asked_in_rounds(),
                retry: retry.as_deref(),
                patience: self.patience(&context),
            };
            if request.request_state.is_some()
                && let Some(round) =
                    Box::pin(Round::of(&mut request, self.access(&context))).await?
            {
                return Box::pin(self.go_on(&mut listener, &round, follower)).await;
            }
            let (key, scope) = {
                let (server, scope) = (std::any::type_name::<S>(), self.session.scope(&context));
                let key = CallKey::new(server, &scope, &request.name, request.arguments.as_ref());
                (key.with(&beside_arguments(&request)), scope.mark())
            };
            if let Some(live) = self.manager.live().called(key)
                && follower.may_have(&live)
            {
                return Box::pin(self.follow(&mut listener, &live, follower)).await;
            }
            // The request's own token fires when the answer goes out; the body's has to outlive the ticket.
            let body_token = CancellationToken::new();
            context.ct = body_token.clone();
            // What answers a question is no new call, and the same as another that answers it so.
            let is_new = request.input_responses.is_none() && request.request_state.is_none();
            let asked = client.can_be_asked().map(|can| Box::new(Asked::of(can, &context)));
            let call = Arc::new(CallRequest {
                server: Some(self.shared()),
                open: Some(self.manager.open_call()),
                async_mode: wishes.async_mode,
                takes_tasks: follower.as_task,
                answers: request.input_responses.clone().unwrap_or_default(),
                asks_caller: asked.is_some(),
                patience: follower.patience,
                label: wishes.label,
                scope,
                key: Some(key),
                shares: is_new.then(|| request.name.clone()),
                followed: (listener.is_some() || asked.is_some()).then(SetOnce::new),
                carrier: spawner(&client, &context),
                arguments: annotated.rerun.then(|| request.arguments.clone().unwrap_or_default()),
                caller: caller.clone(),
                follow_up: self.names.follow_up(),
                body_token: Some(body_token),
                ..CallRequest::unknown(Some(self.manager.clone()))
            });
            let tool = Box::pin(Arc::clone(&call).serve(self.inner().call_tool(request, context)));
            let progress = || call.progress();
            let answer = match asked {
                None => with_progress(&mut listener, progress, tool).await,
                Some(asked) => {
                    let asking = Box::pin(beside(&asked, &call, tool));
                    with_progress(&mut listener, progress, asking).await
                }
            };
            if let Some(live) = call.joins.get() {
                return Box::pin(self.follow(&mut listener, live, follower)).await;
            }
            let leads = call.leads.get();
            if let Some(lead) = leads.filter(|_| call.became.get().is_none()) {
                lead.answered(&outcome::of_answer(&answer));
            }
            if let Some(completion) = call.completed.get() {
                Box::pin(self.hydrate_inline(completion, &answer)).await;
            }
            match call.became.get() {
                Some(id) => Box::pin(self.became_job(*id, &call, follower, answer)).await,
                None => answer,
            }
        }
    }

    /// The answer of a call that became a job: its ticket, or what this client takes in place of one.
    async fn became_job(
        &self,
        id: JobId,
        call: &CallRequest,
        follower: Follower<'_>,
        answer: Result<CallToolResponse, ErrorData>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(live) = self.manager.live().get(id) {
            let leads = call.leads.get().is_some();
            if follower.caller.has_left() {
                // Who leads is counted from the beginning; of work that is being stopped nothing is left to say.
                if leads || live.attached() {
                    self.ticket_was_lost(&live, follower.caller).await;
                }
            } else if leads {
                live.delivered();
            }
        }
        // Where the store cannot be read, the ticket says the same.
        let job = self.manager.status(id).await.ok().filter(|_| answer.is_ok());
        let better = job.and_then(|job| self.beyond_ticket(&job, follower));
        better.map_or(answer, Ok)
    }

    /// What this client is answered in place of a ticket: a task, or what the work asks.
    fn beyond_ticket(&self, job: &JobRecord, follower: Follower<'_>) -> Option<CallToolResponse> {
        if follower.as_task {
            return Some(created(&self.manager, job).into());
        }
        // Who could never answer gets the ticket, which tells the model what is asked.
        if !can_be_asked_all(follower.client, job) {
            return None;
        }
        input_required(follower.retry?, job).map(CallToolResponse::from)
    }

    /// Puts what a call answers with inline into the state that its tool names. An answer that is an error, or a question,
    /// goes nowhere.
    async fn hydrate_inline(
        &self,
        completion: &InlineCompletion,
        answer: &Result<CallToolResponse, ErrorData>,
    ) {
        if let Ok(CallToolResponse::Complete(result)) = answer
            && result.is_error != Some(true)
        {
            match check_depth(outcome::of_result(result)) {
                Ok(output) => self.manager.hydrate_inline(completion, &output).await,
                Err(failure) => {
                    observe::error!(%failure, "the answer of a call goes into no state");
                }
            }
        }
    }

    /// The caller left before the ticket reached it: the same call, made again, gets the job; or the job is stopped,
    /// as the annotation says. Where another caller has the ticket, or still waits for it, nothing changes.
    async fn ticket_was_lost(&self, live: &Arc<LiveJob>, caller: &Caller) {
        let departure = caller.departure().await;
        let keep = live.site().is_none_or(|site| site.keeps_after(&departure));
        match live.left(keep) {
            Left::OthersCare => {}
            Left::Kept => self.manager.live().remember_undelivered(live),
            Left::Closed => {
                self.manager.live().forget(live);
                self.manager.request_cancel(live);
                // On disk as well, so that the work does not run again if this process ends first.
                let (manager, id) = (self.manager.clone(), live.id());
                try_spawn(async move {
                    let _ = manager.cancel(id).await;
                });
            }
        }
    }

    /// Answers a call as the same one that runs already, and starts no second run. The caller counts as one who waits.
    async fn follow(
        &self,
        listener: &mut Option<Box<ProgressNotifier>>,
        live: &Arc<LiveJob>,
        follower: Follower<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _open = self.manager.open_call();
        let answer = self.attach(live, follower);
        with_progress(listener, || live.context.progress.read(), answer).await
    }

    /// The answer to a call whose work goes on: a task, what it asks, or its ticket.
    fn ticket(&self, job: &JobRecord, happened: &str, follower: Follower<'_>) -> CallToolResponse {
        if let Some(better) = self.beyond_ticket(job, follower) {
            return better;
        }
        let (tool, follow_up) = (&*job.spec.tool, self.names.follow_up());
        let elapsed = job.elapsed(clock::now()).unwrap_or_default();
        let poll_after = self.manager.poll_after(tool, elapsed);
        let ticket = match job.open_questions().next() {
            Some(asked) => JobTicket::asking(job.id, happened, tool, asked, &follow_up, poll_after),
            None => JobTicket::new(job.id, job.status(), happened, tool, &follow_up, poll_after),
        };
        ticket.to_result().into()
    }

    /// Goes on with the work that asked something of an earlier call, with the answers of this one: to its result, to its
    /// next question or, after the caller's own budget, to its ticket. The work may run in another process.
    async fn go_on(
        &self,
        listener: &mut Option<Box<ProgressNotifier>>,
        round: &Round,
        follower: Follower<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (_open, _reading) = (self.manager.open_call(), self.manager.reading(&[round.id]));
        round.answer().await?;
        let live = self.manager.live().get(round.id);
        // Who comes back counts as one who waits, and whose departure may stop the work.
        let attached = live.as_ref().filter(|live| live.attached());
        let site = live.as_ref().and_then(|live| live.site());
        let budget = budget::of_any(site, follower.patience);
        let waiting = async {
            let jobs = [round.id];
            tokio::select! {
                biased;
                waited = self.manager.wait(&jobs, WaitFor::any(), budget) => waited.map(Some),
                () = follower.caller.left() => Ok(None),
                () = self.manager.halted() => Ok(None),
            }
        };
        let progress = || live.as_ref()?.context.progress.read();
        let waited = with_progress(listener, progress, waiting).await;
        let failed = |error: Error| ErrorData::internal_error(error.to_string(), None);
        if let (Err(_), Some(live)) = (&waited, attached) {
            live.asked();
        }
        let job = waited.map_err(failed)?.and_then(|waited| waited.jobs.into_iter().next());
        let Some(job) = job.filter(|_| !follower.caller.has_left()) else {
            let left = follower.caller.has_left();
            match attached {
                Some(live) if left => self.ticket_was_lost(live, follower.caller).await,
                Some(live) => live.asked(),
                None => {}
            }
            let why = if left { "the caller has left" } else { "the server is ending" };
            return Ok(in_band_error(why, None).into());
        };
        if job.status().is_terminal() {
            let job = self.manager.status_with_result(job.id).await.map_err(failed)?;
            return outcome::of_record(&job).map(CallToolResponse::from);
        }
        let happened = match job.open_questions().next() {
            Some(_) => "Task runs in background.".to_owned(),
            None => {
                let budget = budget::spoken(budget);
                format!("Task exceeded {budget} time budget; running in background.")
            }
        };
        let answer = self.ticket(&job, &happened, follower);
        if let Some(live) = attached {
            match &answer {
                CallToolResponse::InputRequired(_) => live.asked(),
                _ => live.delivered(),
            }
            self.manager.live().forget_undelivered(live);
        }
        Ok(answer)
    }

    /// Waits for the work, and answers with its result or, after the follower's own budget, with its ticket.
    async fn attach(
        &self,
        live: &Arc<LiveJob>,
        follower: Follower<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Follower { caller, at_once, patience, .. } = follower;
        let tool = &*live.context.tool;
        tracing::debug!(job_id = %live.id(), %tool, "the same call runs already");
        let waited_for = live.site().filter(|site| !at_once && !site.always_job);
        let mut wait = waited_for.map(|site| budget::of(site, patience)).unwrap_or_default();
        let mut pause = Duration::from_millis(50);
        let mut asked = false;
        loop {
            tokio::select! {
                biased;
                ending = live.ending() => {
                    live.delivered();
                    self.manager.live().forget(live);
                    return outcome::of_ending(&ending).map(CallToolResponse::from);
                }
                () = caller.left() => {
                    self.ticket_was_lost(live, caller).await;
                    return Ok(in_band_error("the caller has left", None).into());
                }
                () = self.manager.halted() => {
                    return Ok(in_band_error("the server is ending", None).into());
                }
                () = tokio::time::sleep(wait) => {}
                () = live.context.desk.needs_job(), if !asked => asked = true,
            }
            // An id that is not on disk, or whose record may yet be taken back, is not handed out: then the wait goes on.
            if self.manager.hands_out_ids()
                && self.manager.live().holds(live)
                && let Ok(job) = self.manager.status(live.id()).await
                && !job.status().is_terminal()
                && !caller.has_left()
            {
                live.delivered();
                self.manager.live().forget_undelivered(live);
                let happened =
                    "This call was made before and its work still runs in the background.";
                return Ok(self.ticket(&job, happened, follower));
            }
            wait = pause;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

/// What a call says beside its arguments: answers, and a state that is its tool's own.
fn beside_arguments(request: &CallToolRequestParams) -> Map<String, Value> {
    let mut beside = Map::new();
    if let Some(answers) = &request.input_responses {
        beside
            .extend(answers.iter().map(|(key, answer)| (format!("answer {key}"), answer.clone())));
    }
    if let Some(state) = &request.request_state {
        beside.insert("state".to_owned(), state.as_str().into());
    }
    beside
}

/// A caller that gets the work of the same call, and what it wishes.
#[derive(Clone, Copy)]
struct Follower<'a> {
    caller: &'a Caller,
    /// It wants a job at once.
    at_once: bool,
    as_task: bool,
    /// What it can be asked when its call is answered.
    client: Option<&'a ElicitationCapability>,
    /// What its retry would have in common with this call.
    retry: Option<&'a str>,
    patience: Option<Patience>,
}

impl Follower<'_> {
    /// Whether the caller gets this work; it counts as one who waits then. A client that may not call the tool is refused
    /// as for a new call, and work that is being stopped is left alone.
    fn may_have(self, live: &LiveJob) -> bool {
        live.site().is_some_and(|site| self.as_task || !site.task_required) && live.attached()
    }
}
