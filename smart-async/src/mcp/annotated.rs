//! A call of an annotated tool, from its arguments to its answer: as a new call, or as one that comes back to work that
//! runs already.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio_util::sync::CancellationToken;

use super::outcome;
use super::peer_requests::carrier;
use super::progress::{Listener, followed};
use super::server::JobServer;
use super::tasks::{created, takes_tasks};
use super::tools::answer::in_band_error;
use super::wishes::{Annotated, Wishes};
use crate::budget;
use crate::call::{CallRequest, Caller};
use crate::call_key::CallKey;
use crate::hosts::Patience;
use crate::job::kept;
use crate::manager::{InlineCompletion, Left, LiveJob};
use crate::observe;
use crate::reply::JobTicket;

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
        let as_task = takes_tasks(&context);
        let patience = self.patience(&context);
        let mut listener = Listener::of(&context);
        let carrier = carrier(&context);
        let key =
            CallKey::new(std::any::type_name::<S>(), &request.name, request.arguments.as_ref());
        let follower = Follower { caller: &caller, at_once: wishes.async_mode, as_task, patience };
        // What answers a question is no new call.
        let is_new = request.input_responses.is_none() && request.request_state.is_none();
        if let Some(live) = self.manager.live().called(key).filter(|_| is_new)
            && follower.may_have(&live)
        {
            return self.follow(&mut listener, &live, follower).await;
        }
        // The request's own token fires when the answer goes out; the body's has to outlive the ticket.
        let body_token = CancellationToken::new();
        context.ct = body_token.clone();
        let call = Arc::new(CallRequest {
            open: Some(self.manager.open_call()),
            async_mode: wishes.async_mode,
            takes_tasks: as_task,
            patience,
            label: wishes.label,
            key: Some(key),
            shares: is_new.then(|| request.name.clone()),
            followed: listener.is_some().then(OnceLock::new),
            carrier,
            caller: caller.clone(),
            follow_up: self.names.follow_up(),
            body_token,
            arguments: annotated.rerun.then(|| request.arguments.clone().unwrap_or_default()),
            ..CallRequest::unknown(Some(self.manager.clone()))
        });
        let answer = Arc::clone(&call).serve(self.inner().call_tool(request, context));
        let answer = followed(&mut listener, || call.progress(), answer).await;
        if let Some(live) = call.joins.get() {
            return self.follow(&mut listener, live, follower).await;
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
            Some(id) if as_task && answer.is_ok() => {
                // Where the store cannot be read, the ticket says the same.
                created(&self.manager, *id).await.map_or(answer, |task| Ok(task.into()))
            }
            _ => answer,
        }
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

    /// Waits for the work, and answers with its result or, after the follower's own budget, with its ticket.
    async fn attach(
        &self,
        live: &Arc<LiveJob>,
        follower: Follower<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Follower { caller, at_once, as_task, patience } = follower;
        let tool = &*live.context.tool;
        tracing::debug!(job_id = %live.id(), %tool, "the same call runs already");
        let waited_for = live.site().filter(|site| !at_once && !site.always_job);
        let mut wait = waited_for.map(|site| budget::of(site, patience)).unwrap_or_default();
        let mut pause = Duration::from_millis(50);
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
                if as_task {
                    return created(&self.manager, live.id()).await.map(CallToolResponse::from);
                }
                let happened =
                    "This call was made before and its work still runs in the background.";
                let poll_after = self.manager.poll_after(tool, live.context.began.elapsed());
                let follow_up = self.names.follow_up();
                let ticket =
                    JobTicket::new(live.id(), job.status(), happened, tool, &follow_up, poll_after);
                return Ok(ticket.to_result().into());
            }
            wait = pause;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

/// A caller that gets the work of the same call, and what it wishes.
#[derive(Clone, Copy)]
struct Follower<'a> {
    caller: &'a Caller,
    /// It wants a job at once.
    at_once: bool,
    as_task: bool,
    patience: Option<Patience>,
}

impl Follower<'_> {
    /// Whether the caller gets this work; it counts as one who waits then. A client that may not call the tool is refused
    /// as for a new call, and work that is being stopped is left alone.
    fn may_have(self, live: &LiveJob) -> bool {
        live.site().is_some_and(|site| self.as_task || !site.task_required) && live.attached()
    }
}
