//! Renames subscriptions to tasks in requests of Streamable HTTP. Only a request whose header names the method
//! `subscriptions/listen` is read here; any other passes unread, as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use super::rename::{LISTEN, SUBSCRIPTIONS_LISTEN, renamed};

/// The header with the method of a request, from 2026-07-28 on.
const METHOD_HEADER: &str = "mcp-method";

/// The longest request that is read here, in bytes: a quarter of the SDK's default limit. A longer one passes unchanged.
const LONGEST: usize = 1024 * 1024;

/// A middleware around the SDK's Streamable HTTP service, or around a service in front of that, for a
/// [`JobServer`](crate::JobServer) whose clients can subscribe to their tasks.
///
/// ```ignore
/// let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
/// let app = axum::Router::new().nest_service("/mcp", HttpTaskSubscriptions::new(mcp));
/// ```
#[derive(Debug, Clone)]
pub struct HttpTaskSubscriptions<S>(S);

impl<S> HttpTaskSubscriptions<S> {
    /// Forwards requests to `service`.
    pub const fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S, B> Service<Request<B>> for HttpTaskSubscriptions<S>
where
    S: Service<Request<HttpBody<B>>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // `poll_ready` made this very instance ready, so that it serves the request, and a clone takes its place.
        let fresh = self.0.clone();
        let mut service = std::mem::replace(&mut self.0, fresh);
        if !may_name_tasks(&request) {
            return Box::pin(service.call(request.map(HttpBody::untouched)));
        }
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let (body, was_renamed) = HttpBody::read(body).await;
            if was_renamed {
                // The SDK refuses a request whose header and body name different methods.
                head.headers.insert(METHOD_HEADER, HeaderValue::from_static(LISTEN));
                head.headers.remove(header::CONTENT_LENGTH);
            }
            service.call(Request::from_parts(head, body)).await
        })
    }
}

/// Returns whether the request's header names `subscriptions/listen`, and no other method. The SDK refuses two headers.
fn may_name_tasks<B>(request: &Request<B>) -> bool {
    let mut methods = request.headers().get_all(METHOD_HEADER).iter();
    request.method() == Method::POST
        && methods.next().is_some_and(|method| method == SUBSCRIPTIONS_LISTEN)
        && methods.next().is_none()
}

/// The body of a request that has passed [`HttpTaskSubscriptions`].
pub struct HttpBody<B: Body<Data = Bytes>> {
    /// The bytes that were read already, or their replacement.
    read: VecDeque<Bytes>,
    failed: Option<B::Error>,
    /// The part that was not read.
    rest: Option<Pin<Box<B>>>,
}

impl<B: Body<Data = Bytes>> HttpBody<B> {
    fn untouched(body: B) -> Self {
        Self { read: VecDeque::new(), failed: None, rest: Some(Box::pin(body)) }
    }

    /// Reads a body up to [`LONGEST`] bytes, and returns whether it was a subscription to tasks, which is renamed.
    async fn read(body: B) -> (Self, bool) {
        let mut rest = Box::pin(body);
        let mut whole = Vec::new();
        while whole.len() <= LONGEST {
            match std::future::poll_fn(|context| rest.as_mut().poll_frame(context)).await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        whole.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    let read = VecDeque::from([whole.into()]);
                    return (Self { read, failed: Some(error), rest: None }, false);
                }
                None => {
                    let renamed = renamed(&whole);
                    let was_renamed = renamed.is_some();
                    let read = VecDeque::from([renamed.unwrap_or(whole).into()]);
                    return (Self { read, failed: None, rest: None }, was_renamed);
                }
            }
        }
        (Self { read: VecDeque::from([whole.into()]), failed: None, rest: Some(rest) }, false)
    }
}

impl<B: Body<Data = Bytes>> Body for HttpBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(read) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        if let Some(failed) = this.failed.take() {
            return Poll::Ready(Some(Err(failed)));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        Poll::Ready(ready!(rest.as_mut().poll_frame(context)))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.failed.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read.iter().map(|read| read.len() as u64).sum();
        let rest = self.rest.as_ref().map(|rest| rest.size_hint()).unwrap_or_default();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        let upper = match (&self.rest, rest.upper()) {
            (None, _) => Some(read),
            (Some(_), upper) => upper.map(|upper| upper.saturating_add(read)),
        };
        if let Some(upper) = upper {
            hint.set_upper(upper);
        }
        hint
    }
}

// No field is pinned but the content of the box, whatever `B::Error` is.
impl<B: Body<Data = Bytes>> Unpin for HttpBody<B> {}

impl<B: Body<Data = Bytes>> fmt::Debug for HttpBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBody").finish_non_exhaustive()
    }
}
