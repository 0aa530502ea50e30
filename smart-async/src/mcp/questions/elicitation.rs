//! Asks the caller of an open call by elicitation, in the protocols up to 2025-11-25. The elicitation is sent from the task that
//! serves the call's request, so that the SDK associates the two.

use std::pin::pin;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ClientResult, ElicitationCapability, InputRequest, ServerRequest};
use rmcp::service::{Peer, PeerRequestOptions, RequestContext, RequestHandle, ServiceError};

use super::{can_ask, request};
use crate::call::CallRequest;
use crate::core::context::JobContext;
use crate::core::context::questions::{AnswerRoute, PendingQuestions};
use crate::core::job::Question;
use crate::core::observe;
use crate::mcp::client::session::came_over_http;

/// Waits for the answer of an open call, and asks the caller the body's questions meanwhile. The caller may still answer an
/// open question afterwards: it goes on as a question of the job.
pub(in crate::mcp) async fn with_elicitation<F: Future>(
    client: &ElicitationPeer<'_>,
    call: &CallRequest,
    answer: F,
) -> F::Output {
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        () = async { ask_all(call.work().await, client).await } => {}
    }
    answer.await
}

/// The client of an open call that can be asked.
pub(in crate::mcp) struct ElicitationPeer<'a> {
    capability: &'a ElicitationCapability,
    peer: Peer<RoleServer>,
    /// Whether a withdrawal reaches the client. In a session over HTTP, the SDK sends it to another stream.
    can_withdraw: bool,
}

impl<'a> ElicitationPeer<'a> {
    pub(in crate::mcp) fn of(
        capability: &'a ElicitationCapability,
        context: &RequestContext<RoleServer>,
    ) -> Self {
        Self { capability, peer: context.peer.clone(), can_withdraw: !came_over_http(context) }
    }
}

/// Asks each question of the body, until the call is answered and the caller of this function drops the future.
async fn ask_all(work: &Arc<JobContext>, client: &ElicitationPeer<'_>) {
    let mut known = Vec::new();
    loop {
        for (key, question) in work.questions.for_caller(&known).await {
            known.push(key.clone());
            ask_one(work, client, key, question).await;
        }
    }
}

/// Sends one question; a task of its own waits for the answer. A question that cannot be sent goes the way of a job.
async fn ask_one(
    work: &Arc<JobContext>,
    client: &ElicitationPeer<'_>,
    key: String,
    question: Question,
) {
    let elicitation = match request(&question) {
        Some(InputRequest::Elicitation(elicitation)) if can_ask(client.capability, &question) => {
            elicitation
        }
        _ => return work.questions.set_route(AnswerRoute::Job),
    };
    let request = ServerRequest::ElicitRequest(elicitation);
    let options = PeerRequestOptions::no_options();
    match client.peer.send_cancellable_request(request, options).await {
        Ok(handle) => {
            let (work, can_withdraw) = (Arc::clone(work), client.can_withdraw);
            tokio::spawn(async move {
                take_answer(&work, handle, &key, &question, can_withdraw).await;
            });
        }
        Err(error) => failed(&work.questions, &error),
    }
}

/// Waits for the caller's answer, until the question is closed or the work is cancelled.
async fn take_answer(
    work: &JobContext,
    mut handle: RequestHandle<RoleServer>,
    key: &str,
    question: &Question,
    can_withdraw: bool,
) {
    let questions = &work.questions;
    let is_void = async {
        tokio::select! {
            () = questions.closed(key) => {}
            () = work.cancellation.cancelled() => {}
        }
    };
    let answer = tokio::select! {
        biased;
        answer = &mut handle.rx => answer.unwrap_or(Err(ServiceError::TransportClosed)),
        () = is_void => {
            if can_withdraw {
                withdraw(handle).await;
            }
            return;
        }
    };
    match answer {
        Ok(ClientResult::ElicitResult(answer)) => match serde_json::to_value(answer) {
            Ok(answer) if question.check(&answer).is_ok() => questions.answer(key, answer),
            // The question stays open, for the clients that follow the job.
            _ => questions.set_route(AnswerRoute::Job),
        },
        Ok(_) => questions.set_route(AnswerRoute::Job),
        Err(error) => failed(questions, &error),
    }
}

fn failed(questions: &PendingQuestions, error: &ServiceError) {
    observe::debug!(%error, "failed to ask the caller; the question becomes one of the job");
    questions.set_route(AnswerRoute::Job);
}

/// Tells the client that the body does not wait for its answer any more.
async fn withdraw(handle: RequestHandle<RoleServer>) {
    let reason = Some("the answer is no longer needed".to_owned());
    if let Err(error) = handle.cancel(reason).await {
        observe::debug!(%error, "failed to withdraw a question");
    }
}
