//! Asking the caller of an open call, in the protocols up to 2025-11-25: an elicitation that belongs to its request. It is
//! sent from the task that serves the request, so that the SDK knows to which one it belongs.

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
use crate::mcp::client::session::came_over_http;

/// Waits for the answer of an open call, and puts what its body asks to the caller meanwhile. What the caller has not answered
/// by then it may still answer: the question goes on as the job's.
pub(in crate::mcp) async fn beside<F: Future>(
    asked: &Asked<'_>,
    call: &CallRequest,
    answer: F,
) -> F::Output {
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        () = async { ask_all(call.work().await, asked).await } => {}
    }
    answer.await
}

/// The client of an open call, and what it can be asked.
pub(in crate::mcp) struct Asked<'a> {
    can: &'a ElicitationCapability,
    peer: Peer<RoleServer>,
    /// Whether it can be told that a question is void. In a session over HTTP the SDK would send that to another stream.
    can_withdraw: bool,
}

impl<'a> Asked<'a> {
    pub(in crate::mcp) fn of(
        can: &'a ElicitationCapability,
        context: &RequestContext<RoleServer>,
    ) -> Self {
        Self { can, peer: context.peer.clone(), can_withdraw: !came_over_http(context) }
    }
}

/// Asks whatever the body asks, for as long as the call is open.
async fn ask_all(work: &Arc<JobContext>, asked: &Asked<'_>) {
    let mut known = Vec::new();
    loop {
        for (key, question) in work.questions.for_caller(&known).await {
            known.push(key.clone());
            ask_one(work, asked, key, question).await;
        }
    }
}

/// Asks one question; the answer is waited for elsewhere. Where the caller cannot be asked after all, it becomes a matter of a
/// job.
async fn ask_one(work: &Arc<JobContext>, asked: &Asked<'_>, key: String, question: Question) {
    let elicitation = match request(&question) {
        Some(InputRequest::Elicitation(elicitation)) if can_ask(asked.can, &question) => {
            elicitation
        }
        _ => return work.questions.set_route(AnswerRoute::Job),
    };
    let request = ServerRequest::ElicitRequest(elicitation);
    let options = PeerRequestOptions::no_options();
    match asked.peer.send_cancellable_request(request, options).await {
        Ok(handle) => {
            let (work, can_withdraw) = (Arc::clone(work), asked.can_withdraw);
            tokio::spawn(async move {
                take_answer(&work, handle, &key, &question, can_withdraw).await;
            });
        }
        Err(error) => failed(&work.questions, &error),
    }
}

/// Waits for what the caller answers, for as long as anybody wants to know.
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
            // The question stays open, for those who follow the job.
            _ => questions.set_route(AnswerRoute::Job),
        },
        Ok(_) => questions.set_route(AnswerRoute::Job),
        Err(error) => failed(questions, &error),
    }
}

fn failed(questions: &PendingQuestions, error: &ServiceError) {
    tracing::debug!(%error, "the caller could not be asked; the question becomes a job's");
    questions.set_route(AnswerRoute::Job);
}

/// Tells the client that nobody waits for its answer any more.
async fn withdraw(handle: RequestHandle<RoleServer>) {
    let reason = Some("nobody waits for the answer any more".to_owned());
    if let Err(error) = handle.cancel(reason).await {
        tracing::debug!(%error, "failed to withdraw a question");
    }
}
