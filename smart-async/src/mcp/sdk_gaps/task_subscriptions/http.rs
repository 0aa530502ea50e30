//! Reading requests of Streamable HTTP, so that subscriptions to tasks arrive. Only requests that say in their header that
//! they are subscriptions are read here; every other goes through untouched, and streamed as it comes.

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

/// The header by which a request says its method, from 2026-07-28.
const METHOD: &str = "mcp-method";

/// The longest request that is looked at, in bytes: what the SDK takes unless told otherwise is four times this. What is
/// longer is passed on as it stands.
const LONGEST: usize = 1024 * 1024;

/// The SDK's Streamable HTTP service, or whatever stands before it, for a [`JobServer`](crate::JobServer) whose clients
/// can subscribe to their tasks.
///
/// ```ignore
/// let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
/// let app = axum::Router::new().nest_service("/mcp", HttpTaskSubscriptions::new(mcp));
/// ```
#[derive(Debug, Clone)]
pub struct HttpTaskSubscriptions<S>(S);

impl<S> HttpTaskSubscriptions<S> {
    /// Passes requests on to `service`.
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
        // The one that is ready goes along with the request, and a fresh one takes its place.
        let fresh = self.0.clone();
        let mut service = std::mem::replace(&mut self.0, fresh);
        if !may_name_tasks(&request) {
            return Box::pin(service.call(request.map(HttpBody::untouched)));
        }
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let (body, was_renamed) = HttpBody::read(body).await;
            if was_renamed {
                // The SDK holds the two against each other.
                head.headers.insert(METHOD, HeaderValue::from_static(LISTEN));
                head.headers.remove(header::CONTENT_LENGTH);
            }
            service.call(Request::from_parts(head, body)).await
        })
    }
}

/// Whether the request says of itself that it is a subscription. One that says two things is left to the SDK to refuse.
fn may_name_tasks<B>(request: &Request<B>) -> bool {
    let mut said = request.headers().get_all(METHOD).iter();
    request.method() == Method::POST
        && said.next().is_some_and(|said| said == SUBSCRIPTIONS_LISTEN)
        && said.next().is_none()
}

/// The body of a request that has gone through [`HttpTaskSubscriptions`].
pub struct HttpBody<B: Body<Data = Bytes>> {
    /// What has been read of it, or takes its place.
    read: VecDeque<Bytes>,
    failed: Option<B::Error>,
    /// What has not been read.
    rest: Option<Pin<Box<B>>>,
}

impl<B: Body<Data = Bytes>> HttpBody<B> {
    fn untouched(body: B) -> Self {
        Self { read: VecDeque::new(), failed: None, rest: Some(Box::pin(body)) }
    }

    /// Reads a body as far as a subscription may reach; says whether it is one to tasks.
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

// A stream whose error is not to be moved out of is still moved as a whole: nothing of it is pinned but the box.
impl<B: Body<Data = Bytes>> Unpin for HttpBody<B> {}

impl<B: Body<Data = Bytes>> fmt::Debug for HttpBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBody").finish_non_exhaustive()
    }
}
