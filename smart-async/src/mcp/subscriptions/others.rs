//! The rest of a subscription that names tasks: what the SDK knows of it, and the wrapped server with it. That part is
//! served by the SDK, as a request of its own on a connection that leads back to here.

use std::future::ready;

use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, GetExtensions, GetMeta, JsonRpcMessage,
    ServerJsonRpcMessage, ServerNotification, SubscriptionFilter, SubscriptionsListenRequest,
    SubscriptionsListenRequestParams,
};
use rmcp::service::{RequestContext, RunningService, serve_directly_with_ct};
use rmcp::transport::Transport;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// An open request for notifications other than those of tasks. It ends when it is dropped.
pub(super) struct Others<S: ServerHandler> {
    said: mpsc::UnboundedReceiver<ServerJsonRpcMessage>,
    accepted: SubscriptionFilter,
    _served: RunningService<RoleServer, S>,
}

impl<S: ServerHandler> Others<S> {
    /// Makes the request, and waits until it is acknowledged.
    ///
    /// # Errors
    /// What the server answers in place of that.
    pub(super) async fn open(
        server: S,
        filter: SubscriptionFilter,
        context: &RequestContext<RoleServer>,
    ) -> Result<Self, ErrorData> {
        let params = SubscriptionsListenRequestParams::new(filter);
        let mut request =
            ClientRequest::SubscriptionsListenRequest(SubscriptionsListenRequest::new(params));
        *request.extensions_mut() = context.extensions.clone();
        *request.get_meta_mut() = context.meta.clone();
        let (say, mut said) = mpsc::unbounded_channel();
        let ended = context.ct.child_token();
        let request = ClientJsonRpcMessage::request(request, context.id.clone());
        let way = WayBack { request: Some(Box::new(request)), say, ended: ended.clone() };
        let served = serve_directly_with_ct(server, way, None, ended);
        match said.recv().await {
            Some(JsonRpcMessage::Notification(first)) => match first.notification {
                ServerNotification::SubscriptionsAcknowledgedNotification(acknowledged) => {
                    let accepted = acknowledged.params.notifications;
                    Ok(Self { said, accepted, _served: served })
                }
                _ => Err(unexpected()),
            },
            Some(JsonRpcMessage::Error(refused)) => Err(refused.error),
            _ => Err(unexpected()),
        }
    }

    /// What the server agreed to tell.
    pub(super) const fn accepted(&self) -> &SubscriptionFilter {
        &self.accepted
    }

    /// Waits for the next news, with the id of the subscription already; `None` once the server has ended it.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Option<ServerNotification> {
        loop {
            match self.said.recv().await {
                Some(JsonRpcMessage::Notification(news)) => return Some(news.notification),
                // Requests are not allowed here, and the answer says that it is over.
                Some(JsonRpcMessage::Request(_)) => {}
                Some(_) | None => return None,
            }
        }
    }
}

fn unexpected() -> ErrorData {
    ErrorData::internal_error("failed to subscribe: the server ended without a word", None)
}

/// The connection that leads back: it has one request to bring, and hands on what is said to it.
struct WayBack {
    request: Option<Box<ClientJsonRpcMessage>>,
    say: mpsc::UnboundedSender<ServerJsonRpcMessage>,
    ended: CancellationToken,
}

impl Transport<RoleServer> for WayBack {
    type Error = mpsc::error::SendError<ServerJsonRpcMessage>;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        ready(self.say.send(message))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        if let Some(request) = self.request.take() {
            return Some(*request);
        }
        self.ended.cancelled().await;
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
