//! A session manager that knows when a session ends, and when the stream of an answer breaks.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use rmcp::model::{ClientJsonRpcMessage, GetExtensions, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::{
    EventStore, RestoreOutcome, ServerSseMessage, SessionId,
};

use crate::call::{Way, Ways};
use crate::core::sync::Mutex;

/// The sessions of a server over Streamable HTTP, for the SDK's service in place of a `LocalSessionManager`. A
/// [`JobServer`](crate::JobServer) learns from it at once that a session has ended (`DELETE`), and that the stream of an open call has
/// broken: the call becomes a job then, and the same call finds its work.
///
/// ```ignore
/// let sessions = Arc::new(HttpSessions::default());
/// let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
/// ```
pub struct HttpSessions<M = LocalSessionManager> {
    sessions: M,
    open: Mutex<HashMap<SessionId, Way>>,
}

/// The sessions of the SDK's [`LocalSessionManager`], as it is by default.
impl Default for HttpSessions {
    fn default() -> Self {
        Self::new(LocalSessionManager::default())
    }
}

impl<M> HttpSessions<M> {
    /// The sessions of this manager: one that is configured, or that keeps its sessions elsewhere.
    pub fn new(sessions: M) -> Self {
        Self { sessions, open: Mutex::default() }
    }

    fn begin(&self, id: &SessionId) {
        self.open.lock().insert(Arc::clone(id), Way::default());
    }
}

impl<M: SessionManager> SessionManager for HttpSessions<M> {
    type Error = M::Error;
    type Transport = M::Transport;

    async fn create_session(&self) -> Result<(SessionId, M::Transport), M::Error> {
        let (id, transport) = self.sessions.create_session().await?;
        self.begin(&id);
        Ok((id, transport))
    }

    fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<ServerJsonRpcMessage, M::Error>> + Send {
        self.sessions.initialize_session(id, message)
    }

    fn has_session(&self, id: &SessionId) -> impl Future<Output = Result<bool, M::Error>> + Send {
        self.sessions.has_session(id)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), M::Error> {
        let closed = self.sessions.close_session(id).await;
        if let Some(connection) = self.open.lock().remove(id) {
            connection.lose();
        }
        closed
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, M::Error> {
        let (connection, stream) = (self.open.lock().get(id).cloned(), Way::default());
        if let ClientJsonRpcMessage::Request(request) = &mut message {
            let connection = connection.unwrap_or_default();
            let ways = Ways { connection, stream: Some(stream.clone()) };
            request.request.extensions_mut().insert(ways);
        }
        let answer = self.sessions.create_stream(id, message).await?;
        Ok(AnswerStream { answer: Box::pin(answer), way: Some(stream) })
    }

    fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), M::Error>> + Send {
        self.sessions.accept_message(id, message)
    }

    fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> impl Future<
        Output = Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, M::Error>,
    > + Send {
        self.sessions.create_standalone_stream(id)
    }

    fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> impl Future<
        Output = Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, M::Error>,
    > + Send {
        self.sessions.resume(id, last_event_id)
    }

    async fn restore_session(
        &self,
        id: SessionId,
    ) -> Result<RestoreOutcome<M::Transport>, M::Error> {
        let restored = self.sessions.restore_session(Arc::clone(&id)).await?;
        if matches!(restored, RestoreOutcome::Restored(_)) {
            self.begin(&id);
        }
        Ok(restored)
    }

    fn event_store(&self) -> Option<Arc<dyn EventStore>> {
        self.sessions.event_store()
    }
}

impl<M> fmt::Debug for HttpSessions<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSessions").finish_non_exhaustive()
    }
}

/// The stream that a call is answered on. Dropped before its end, it is one that broke.
struct AnswerStream<S> {
    answer: Pin<Box<S>>,
    /// Taken at the end of the stream.
    way: Option<Way>,
}

impl<S: Stream> Stream for AnswerStream<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let next = ready!(self.answer.as_mut().poll_next(context));
        if next.is_none() {
            self.way = None;
        }
        Poll::Ready(next)
    }
}

impl<S> Drop for AnswerStream<S> {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            way.lose();
        }
    }
}
