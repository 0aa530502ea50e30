//! The answer over HTTP to a request that cannot be decoded.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use rmcp::model::JsonRpcError;

use crate::core::sync::Mutex;
use crate::mcp::sdk_gaps::undecodable::Undecodable;

/// The fault of a request's body, once it has been read.
#[derive(Clone, Default)]
pub(super) struct SharedFault(Arc<Mutex<Option<Undecodable>>>);

impl SharedFault {
    pub(super) fn set(&self, fault: Option<Undecodable>) {
        *self.0.lock() = fault;
    }
}

/// The answer of the service, or an error in its place where the service refused the request for its body.
pub(super) fn refused<R>(answer: Response<R>, fault: &SharedFault) -> Response<HttpAnswer<R>> {
    let for_its_body =
        matches!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_REQUEST);
    let fault = fault.0.lock().take().filter(|_| for_its_body);
    let Some(fault) = fault else { return answer.map(HttpAnswer::Given) };
    let id = fault.id();
    let error = serde_json::to_vec(&JsonRpcError::new(id, fault.error)).unwrap_or_default();
    let mut refused = Response::new(HttpAnswer::Refused(Some(error.into())));
    *refused.status_mut() = StatusCode::BAD_REQUEST;
    let json = HeaderValue::from_static("application/json");
    refused.headers_mut().insert(header::CONTENT_TYPE, json);
    refused
}

/// The body of an answer that has passed [`HttpTaskSubscriptions`](super::HttpTaskSubscriptions).
pub enum HttpAnswer<R> {
    /// The body of the service's own answer.
    Given(R),
    /// The error for a request that cannot be decoded; `None` once it has been read.
    Refused(Option<Bytes>),
}

impl<R: Body<Data = Bytes> + Unpin> Body for HttpAnswer<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.get_mut() {
            Self::Given(body) => Pin::new(body).poll_frame(context),
            Self::Refused(error) => Poll::Ready(error.take().map(|error| Ok(Frame::data(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Given(body) => body.is_end_stream(),
            Self::Refused(error) => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Given(body) => body.size_hint(),
            Self::Refused(error) => {
                SizeHint::with_exact(error.as_ref().map_or(0, |error| error.len() as u64))
            }
        }
    }
}

impl<R> fmt::Debug for HttpAnswer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswer").finish_non_exhaustive()
    }
}
