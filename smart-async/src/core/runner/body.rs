//! A running body, whatever type it returns: how it ends, and how it is stopped.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::turn::{Needs, Turn};
use super::typed_body::{BodyError, TypedBody};
use crate::core::context::JobContext;
use crate::core::job::{FailureKind, JobFailure, Outcome, check_depth};
use crate::core::shield::{panic_message, shielded};

/// A body that runs in a task of its own. As a future, it waits for the end; dropped, the body runs on.
pub(crate) struct Body(Box<dyn Run>);

/// Begins a body when it is its turn.
pub(crate) type BeginBody = Box<dyn FnOnce(Turn) -> Body + Send>;

trait Run: Future<Output = BodyEnd> + Send + Unpin {
    fn abort(&self);
    fn is_on_thread(&self) -> bool;
    fn needs(&self) -> Needs;
    fn into_begin(self: Box<Self>) -> BeginBody;
}

/// A body, and the function that makes an outcome of its result.
struct Concluding<R> {
    body: TypedBody<R>,
    conclude: fn(R) -> Outcome,
}

/// How a body ended.
#[derive(Debug)]
pub(crate) enum BodyEnd {
    /// It returned, or panicked.
    Returned(Outcome),
    /// It was aborted.
    Aborted,
}

impl<R: Send + 'static> Run for Concluding<R> {
    fn abort(&self) {
        self.body.abort();
    }

    fn is_on_thread(&self) -> bool {
        self.body.is_on_thread()
    }

    fn needs(&self) -> Needs {
        self.body.needs()
    }

    fn into_begin(self: Box<Self>) -> BeginBody {
        Box::new(move |turn| Body::new(self.body.with_turn(turn), self.conclude))
    }
}

impl<R> Future for Concluding<R> {
    type Output = BodyEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<BodyEnd> {
        let conclude = self.conclude;
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll(context)) {
            Ok(result) => BodyEnd::Returned(
                shielded(|| check_depth(conclude(result)))
                    .unwrap_or_else(|panic| Err(panicked("turning its result into JSON", &*panic))),
            ),
            Err(BodyError::Panicked(panic)) => {
                BodyEnd::Returned(Err(panicked("the work", &*panic)))
            }
            Err(BodyError::Aborted) => BodyEnd::Aborted,
        })
    }
}

impl Body {
    /// `conclude` makes the job's outcome of the body's result, once the body has ended; it may panic.
    pub(crate) fn new<R: Send + 'static>(body: TypedBody<R>, conclude: fn(R) -> Outcome) -> Self {
        Self(Box::new(Concluding { body, conclude }))
    }

    pub(in crate::core) fn abort(&self) {
        self.0.abort();
    }

    /// Returns whether nothing but the body itself ends it, because it has a thread of its own.
    pub(in crate::core) fn is_on_thread(&self) -> bool {
        self.0.is_on_thread()
    }

    /// The condition for the beginning of a body that waits.
    pub(in crate::core) fn needs(&self) -> Needs {
        self.0.needs()
    }

    /// The function that lets the body begin, where it waits for its turn. The body gives up its place in the line.
    pub(in crate::core) fn into_begin(self) -> BeginBody {
        self.0.into_begin()
    }

    /// Tells the body to stop, gives it `grace`, and aborts it where it does not; returns when it has really stopped.
    pub(crate) async fn wind_down(mut self, context: &JobContext, grace: Duration) {
        context.cancellation.cancel();
        if tokio::time::timeout(grace, &mut self).await.is_err() {
            self.abort();
            self.await;
        }
    }
}

impl Future for Body {
    type Output = BodyEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<BodyEnd> {
        Pin::new(&mut *self.0).poll(context)
    }
}

fn panicked(what: &str, panic: &(dyn Any + Send)) -> JobFailure {
    JobFailure::new(FailureKind::Panic, format!("{what} panicked: {}", panic_message(panic)))
}
