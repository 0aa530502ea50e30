//! Asking the caller of an open call, in the protocols up to 2025-11-25: an elicitation that belongs to its request. It is
//! sent from the task that serves the request, so that the SDK knows to which one it belongs.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rmcp::RoleServer;
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientResult, ElicitationCapability,
    InputRequest, ServerRequest,
};
use rmcp::service::{Peer, PeerRequestOptions, RequestContext, ServiceError};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{can_ask, request};
use crate::call::CallRequest;
use crate::context::desk::{Desk, Way};
use crate::job::Question;

/// For how long an answer waits until the client has been told that its questions are void: a connection that takes nothing
/// any more must not hold it up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the caller can be asked while its call is open, where it can.
pub(in crate::mcp) fn can_be_asked(
    context: &RequestContext<RoleServer>,
) -> Option<ElicitationCapability> {
    let asks = context.protocol_version().is_none_or(|version| version.has_initialize());
    context.client_capabilities().filter(|_| asks)?.elicitation
}

/// Waits for the answer of an open call, and puts what its body asks to the caller meanwhile.
pub(in crate::mcp) async fn beside<F: Future>(
    can: Option<ElicitationCapability>,
    call: &CallRequest,
    peer: &Peer<RoleServer>,
    answer: F,
) -> F::Output {
    let Some(can) = can else { return answer.await };
    let over = CancellationToken::new();
    // In a place of its own: calls of clients that cannot be asked do not carry it.
    let mut asking = Box::pin(async {
        tokio::select! {
            work = call.work() => ask_all(&work.desk, &can, peer, &over).await,
            () = over.cancelled() => {}
        }
    });
    let answer = {
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = &mut asking => return answer.await,
        }
    };
    over.cancel();
    let _ = timeout(LAST_WORDS, asking).await;
    answer
}

/// Asks whatever the body asks, until the call is over.
async fn ask_all(
    desk: &Desk,
    can: &ElicitationCapability,
    peer: &Peer<RoleServer>,
    over: &CancellationToken,
) {
    let (mut known, mut asked) = (Vec::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            biased;
            () = over.cancelled(), if asked.is_empty() => return,
            Some(()) = asked.next() => {}
            new = desk.for_caller(&known), if !over.is_cancelled() => {
                for (key, question) in new {
                    known.push(key.clone());
                    asked.push(ask_one(desk, can, peer, over, key, question));
                }
            }
        }
    }
}

/// Asks one question. Where the caller cannot be asked after all, it becomes a matter of a job.
async fn ask_one(
    desk: &Desk,
    can: &ElicitationCapability,
    peer: &Peer<RoleServer>,
    over: &CancellationToken,
    key: String,
    question: Question,
) {
    let elicitation = match request(&question) {
        Some(InputRequest::Elicitation(elicitation)) if can_ask(can, &question) => elicitation,
        _ => return desk.reach(Way::Job),
    };
    let request = ServerRequest::ElicitRequest(elicitation);
    let sent = peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await;
    let mut handle = match sent {
        Ok(handle) => handle,
        Err(error) => return failed(desk, &error),
    };
    let answer = tokio::select! {
        biased;
        answer = &mut handle.rx => answer.unwrap_or(Err(ServiceError::TransportClosed)),
        _ = desk.outcome(&key) => return withdraw(peer, handle.id, "the question was given up").await,
        () = over.cancelled() => {
            return withdraw(peer, handle.id, "the call was answered before this question was").await;
        }
    };
    match answer {
        Ok(ClientResult::ElicitResult(answer)) => match serde_json::to_value(answer) {
            Ok(answer) => desk.answer(&key, answer, false),
            Err(error) => tracing::warn!(%error, "an answer could not be read"),
        },
        // An answer of another shape, which says nothing.
        Ok(_) => desk.answer(&key, Value::Null, false),
        Err(error) => failed(desk, &error),
    }
}

fn failed(desk: &Desk, error: &ServiceError) {
    tracing::debug!(%error, "the caller could not be asked; the question becomes a job's");
    desk.reach(Way::Job);
}

/// Tells the client that nobody waits for its answer any more.
async fn withdraw(peer: &Peer<RoleServer>, id: rmcp::model::RequestId, reason: &str) {
    let params = CancelledNotificationParam::new(Some(id), Some(reason.to_owned()));
    let notification = CancelledNotification::new(params);
    if let Err(error) = peer.send_notification(notification.into()).await {
        tracing::debug!(%error, "failed to withdraw a question");
    }
}
