//! A call of an annotated tool, from its arguments to its answer: as a new call, or as one that comes back to work that
//! runs already.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, ElicitationCapability};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use super::outcome;
use super::peer_requests::carrier;
use super::progress::{Listener, followed};
use super::questions::{
    Asked, Round, beside, can_be_asked, can_be_asked_all, digest, input_required,
};
use super::server::JobServer;
use super::tasks::{created, takes_tasks};
use super::tools::answer::in_band_error;
use super::wishes::{Annotated, Wishes};
use crate::budget;
use crate::call::{CallRequest, Caller};
use crate::call_key::CallKey;
use crate::hosts::Patience;
use crate::job::{JobRecord, kept};
use crate::manager::{Error, InlineCompletion, Left, LiveJob, WaitFor};
use crate::reply::JobTicket;
use crate::{clock, observe};

impl<S: ServerHandler> JobServer<S> {
    pub(super) async fn call_annotated(
        &self,
        annotated: Annotated,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
        caller: Caller,
    ) -> Result<CallToolResponse, ErrorData> {
        let wishes = match Wishes::take(annotated, request.arguments.as_mut()) {
            Ok(wishes) => wishes,
            Err(answer) => return Ok(answer.into()),
        };
        let round = match request.request_state {
            Some(_) => Box::pin(Round::of(&mut request, self.access(&context))).await?,
            None => None,
        };
        let client = rounds_with(&context);
        let retry = client.as_ref().map(|_| digest(&request));
        let as_task = takes_tasks(&context);
        let patience = self.patience(&context);
        let mut listener = Listener::of(&context);
        let carrier = carrier(&context);
        let can_be_asked = can_be_asked(&context);
        let (server, scope) = (std::any::type_name::<S>(), self.opened.scope(&context));
        let key = CallKey::new(server, &scope, &request.name, request.arguments.as_ref())
            .with(&beside_arguments(&request));
        let follower = Follower {
            caller: &caller,
            at_once: wishes.async_mode,
            as_task,
            client: client.as_ref(),
            retry: retry.as_deref(),
            patience,
        };
        if let Some(round) = round {
            // Rare, and large: every call would carry it.
            return Box::pin(self.go_on(&mut listener, &round, follower)).await;
        }
        // What answers a question is no new call, and the same as another that answers it so.
        let is_new = request.input_responses.is_none() && request.request_state.is_none();
        if let Some(live) = self.manager.live().called(key)
            && follower.may_have(&live)
        {
            return Box::pin(self.follow(&mut listener, &live, follower)).await;
        }
        // The request's own token fires when the answer goes out; the body's has to outlive the ticket.
        let body_token = CancellationToken::new();
        context.ct = body_token.clone();
        let call = Arc::new(CallRequest {
            open: Some(self.manager.open_call()),
            async_mode: wishes.async_mode,
            takes_tasks: as_task,
            answers: request.input_responses.clone().unwrap_or_default(),
            asks_caller: can_be_asked.is_some(),
            patience,
            label: wishes.label,
            scope: scope.mark(),
            key: Some(key),
            shares: is_new.then(|| request.name.clone()),
            followed: (listener.is_some() || can_be_asked.is_some()).then(SetOnce::new),
            carrier,
            arguments: annotated.rerun.then(|| request.arguments.clone().unwrap_or_default()),
            ..CallRequest::of(
                Some(self.manager.clone()),
                caller.clone(),
                self.names.follow_up(),
                body_token,
            )
        });
        let asked = Asked::of(&context);
        // By reference from here on: whatever takes a future by value holds a copy of its size.
        let answer = pin!(Arc::clone(&call).serve(self.inner().call_tool(request, context)));
        let answer = pin!(beside(can_be_asked, &call, asked, answer));
        let answer = followed(&mut listener, || call.progress(), answer).await;
        if let Some(live) = call.joins.get() {
            return Box::pin(self.follow(&mut listener, live, follower)).await;
        }
        let leads = call.leads.get();
        if let Some(lead) = leads.filter(|_| call.became.get().is_none()) {
            lead.answered(&outcome::of_answer(&answer));
        }
        if let Some(completion) = call.completed.get() {
            self.hydrate_inline(completion, &answer).await;
        }
        if let Some(live) = call.became.get().and_then(|id| self.manager.live().get(*id)) {
            if caller.has_left() {
                // Who leads is counted from the beginning; of work that is being stopped nothing is left to say.
                if leads.is_some() || live.attached() {
                    self.ticket_was_lost(&live, &caller).await;
                }
            } else if leads.is_some() {
                live.delivered();
            }
        }
        match call.became.get() {
            Some(id) if answer.is_ok() => {
                // Where the store cannot be read, the ticket says the same.
                let job = self.manager.status(*id).await.ok();
                let better = job.and_then(|job| self.beyond_ticket(&job, follower));
                better.map_or(answer, Ok)
            }
            _ => answer,
        }
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
            match kept(outcome::of_result(result)) {
                Ok(output) => self.manager.hydrate_inline(completion, &output).await,
                Err(failure) => {
                    tracing::error!(%failure, "the answer of a call goes into no state");
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
                observe::try_spawn(async move {
                    let _ = manager.cancel(id).await;
                });
            }
        }
    }

    /// Answers a call as the same one that runs already, and starts no second run. The caller counts as one who waits.
    async fn follow(
        &self,
        listener: &mut Option<Listener>,
        live: &Arc<LiveJob>,
        follower: Follower<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _open = self.manager.open_call();
        let answer = self.attach(live, follower);
        followed(listener, || live.context.progress.read(), answer).await
    }

    /// The answer to a call whose work goes on: a task, what it asks, or its ticket.
    fn ticket(&self, job: &JobRecord, happened: &str, follower: Follower<'_>) -> CallToolResponse {
        if let Some(better) = self.beyond_ticket(job, follower) {
            return better;
        }
        let (tool, follow_up) = (&*job.tool, self.names.follow_up());
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
        listener: &mut Option<Listener>,
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
        let waited = followed(listener, progress, waiting).await;
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

/// What a client of 2026-07-28 or later can be asked, in a task or by a call that it makes again with the answer.
fn rounds_with(context: &RequestContext<RoleServer>) -> Option<ElicitationCapability> {
    let speaks = context.protocol_version().is_some_and(|version| !version.has_initialize());
    context.client_capabilities().filter(|_| speaks)?.elicitation
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
