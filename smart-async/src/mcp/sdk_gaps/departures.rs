//! Tells a server at once that the input of a connection has ended, and over HTTP that a session has ended or the stream of an
//! answer has broken.
//!
//! **Gap.** At the end of the input, the loop of rmcp 3.11 (`serve_inner` in `service.rs`) lets open calls be answered for five
//! seconds before it cancels their tokens, and tells handlers nothing meanwhile. An answer within that time goes to a client that is
//! gone, and is lost. In a session over HTTP an answer also goes, without a word, to a stream that has broken.
//!
//! **Work-around.** A transport around the one that is served sees the end of the input; so does the reader of
//! `task_subscriptions`, which passes a notification on. A session manager around the SDK's sees the end of a session and the end of
//! a stream, and puts both on each request.
//!
//! **Ends when** the SDK's request context tells of these.

#[cfg(feature = "http")]
mod http;

use std::pin::Pin;

use rmcp::RoleServer;
use rmcp::model::ClientRequest;
use rmcp::service::{RequestContext, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

#[cfg(feature = "http")]
pub use self::http::HttpSessions;
use super::undecodable::refusal_of;
use crate::call::{Way, Ways};

/// A transport that tells when its input ends. It also answers the requests that a reader of `task_subscriptions` refused: the SDK
/// takes them for requests that come too early, or that lack their metadata.
pub(in crate::mcp) struct WatchedTransport<T> {
    transport: T,
    connection: Way,
    /// The answer that is being sent. It is kept here, because the SDK drops the future of `receive` at any time.
    refusing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<T> WatchedTransport<T> {
    /// Loses `connection` at the end of the input.
    pub(in crate::mcp) const fn new(transport: T, connection: Way) -> Self {
        Self { transport, connection, refusing: None }
    }
}

/// The answer to a request that a reader refused; `None` for any other message.
fn refusal(message: &RxJsonRpcMessage<RoleServer>) -> Option<TxJsonRpcMessage<RoleServer>> {
    let RxJsonRpcMessage::<RoleServer>::Request(request) = message else { return None };
    let ClientRequest::CustomRequest(custom) = &request.request else { return None };
    let error = refusal_of(custom)?;
    Some(TxJsonRpcMessage::<RoleServer>::error(error, Some(request.id.clone())))
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for WatchedTransport<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        self.transport.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if let Some(refusing) = &mut self.refusing {
                refusing.as_mut().await;
                self.refusing = None;
            }
            let message = self.transport.receive().await;
            match &message {
                None => self.connection.lose(),
                Some(message) => {
                    if let Some(refusal) = refusal(message) {
                        let sending = self.transport.send(refusal);
                        // A connection that takes no answer ends by itself.
                        self.refusing = Some(Box::pin(async move { drop(sending.await) }));
                        continue;
                    }
                }
            }
            return message;
        }
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}

/// The ways to the caller of a request that came through a session manager of this library; `None` for any other request.
#[cfg(feature = "http")]
pub(in crate::mcp) fn ways_over_http(context: &RequestContext<RoleServer>) -> Option<Ways> {
    context.extensions.get::<Ways>().cloned()
}

/// Without the feature `http` no request comes through such a session manager.
#[cfg(not(feature = "http"))]
pub(in crate::mcp) const fn ways_over_http(_: &RequestContext<RoleServer>) -> Option<Ways> {
    None
}
