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

use rmcp::RoleServer;
use rmcp::service::{RequestContext, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

#[cfg(feature = "http")]
pub use self::http::HttpSessions;
use crate::call::{Way, Ways};

/// A transport that tells when its input ends.
pub(in crate::mcp) struct WatchedTransport<T> {
    transport: T,
    connection: Way,
}

impl<T> WatchedTransport<T> {
    /// Loses `connection` at the end of the input.
    pub(in crate::mcp) const fn new(transport: T, connection: Way) -> Self {
        Self { transport, connection }
    }
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
        let message = self.transport.receive().await;
        if message.is_none() {
            self.connection.lose();
        }
        message
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
