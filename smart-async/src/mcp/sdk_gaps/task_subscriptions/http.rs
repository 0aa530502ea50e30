//! Renames subscriptions to tasks in requests of Streamable HTTP, and answers the requests that cannot be decoded. Only a request
//! whose header names the method `subscriptions/listen` is read before the SDK reads it; any other passes as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use super::rename::{LISTEN, SUBSCRIPTIONS_LISTEN, renamed};
use super::undecodable_body::{HttpAnswer, SharedFault, refused};
use crate::mcp::sdk_gaps::undecodable::undecodable;

/// The header with the method of a request, from 2026-07-28 on.
const METHOD_HEADER: &str = "mcp-method";

/// The longest request that is read here, in bytes: a quarter of the SDK's default limit. A longer one passes unchanged.
const LONGEST: usize = 1024 * 1024;

/// A middleware around the SDK's Streamable HTTP service, or around a service in front of that, for a
/// [`JobServer`](crate::JobServer) whose clients can subscribe to their tasks. A request that cannot be decoded is answered with a
/// JSON-RPC error and status 400.
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

impl<S, B, R> Service<Request<B>> for HttpTaskSubscriptions<S>
where
    S: Service<Request<HttpBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Response = Response<HttpAnswer<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // `poll_ready` made this very instance ready, so that it serves the request, and a clone takes its place.
        let fresh = self.0.clone();
        let mut service = std::mem::replace(&mut self.0, fresh);
        if request.method() != Method::POST {
            let answering = service.call(request.map(HttpBody::untouched));
            return Box::pin(async move { Ok(answering.await?.map(HttpAnswer::Given)) });
        }
        let fault = SharedFault::default();
        if !may_name_tasks(&request) {
            let answering = service.call(request.map(|body| HttpBody::watched(body, &fault)));
            return Box::pin(async move { Ok(refused(answering.await?, &fault)) });
        }
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let (body, was_renamed) = HttpBody::read(body, &fault).await;
            if was_renamed {
                // The SDK refuses a request whose header and body name different methods.
                head.headers.insert(METHOD_HEADER, HeaderValue::from_static(LISTEN));
                head.headers.remove(header::CONTENT_LENGTH);
            }
            Ok(refused(service.call(Request::from_parts(head, body)).await?, &fault))
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
    /// The bytes that went through, until the end of the body is there and they are looked at.
    watched: Option<Watched>,
}

/// A copy of a body, by reference, and the place for its fault.
struct Watched {
    passed: Vec<Bytes>,
    fault: SharedFault,
}

impl Watched {
    /// Looks for a fault in a body that has passed as a whole.
    fn end(self) {
        self.fault.set(match self.passed.as_slice() {
            [whole] => undecodable(whole),
            pieces => undecodable(&pieces.concat()),
        });
    }
}

impl<B: Body<Data = Bytes>> HttpBody<B> {
    fn untouched(body: B) -> Self {
        Self { read: VecDeque::new(), failed: None, rest: Some(Box::pin(body)), watched: None }
    }

    fn watched(body: B, fault: &SharedFault) -> Self {
        let watched = Watched { passed: Vec::new(), fault: fault.clone() };
        Self { watched: Some(watched), ..Self::untouched(body) }
    }

    /// Reads a body up to [`LONGEST`] bytes, and returns whether it was a subscription to tasks, which is renamed.
    async fn read(body: B, fault: &SharedFault) -> (Self, bool) {
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
                    return (Self { read, failed: Some(error), rest: None, watched: None }, false);
                }
                None => {
                    fault.set(undecodable(&whole));
                    let renamed = renamed(&whole);
                    let was_renamed = renamed.is_some();
                    let read = VecDeque::from([renamed.unwrap_or(whole).into()]);
                    return (Self { read, failed: None, rest: None, watched: None }, was_renamed);
                }
            }
        }
        let read = VecDeque::from([whole.into()]);
        let watched = Some(Watched { passed: Vec::new(), fault: fault.clone() });
        (Self { read, failed: None, rest: Some(rest), watched }, false)
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
        let next = match this.read.pop_front() {
            Some(read) => Some(Ok(Frame::data(read))),
            None => match this.failed.take() {
                Some(failed) => Some(Err(failed)),
                None => match &mut this.rest {
                    Some(rest) => ready!(rest.as_mut().poll_frame(context)),
                    None => None,
                },
            },
        };
        match &next {
            Some(Ok(frame)) => {
                if let (Some(watched), Some(data)) = (&mut this.watched, frame.data_ref()) {
                    watched.passed.push(data.clone());
                }
            }
            Some(Err(_)) => this.watched = None,
            None => {
                if let Some(watched) = this.watched.take() {
                    watched.end();
                }
            }
        }
        Poll::Ready(next)
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
