//! A running body, whatever it returns: its end, and the ways to bring that about.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::typed_body::{Running, Unfinished};
use crate::core::context::JobContext;
use crate::core::job::{FailureKind, JobFailure, Outcome, check_depth};

/// A body that runs in a task of its own. As a future, it waits for the end; dropped, the body runs on.
pub(crate) struct Body(Box<dyn Run>);

trait Run: Future<Output = Ended> + Send + Unpin {
    fn abort(&self);
}

/// A body, and what its result means to a job.
struct Concluded<R> {
    body: Running<R>,
    conclude: fn(R) -> Outcome,
}

/// How a body ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Concluded(Outcome),
    /// It was dropped where it stood.
    Aborted,
}

impl<R: Send> Run for Concluded<R> {
    fn abort(&self) {
        self.body.abort();
    }
}

impl<R> Future for Concluded<R> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let conclude = self.conclude;
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll(context)) {
            Ok(result) => Ended::Concluded(
                catch_unwind(AssertUnwindSafe(|| check_depth(conclude(result))))
                    .unwrap_or_else(|panic| Err(panicked("turning its result into JSON", &*panic))),
            ),
            Err(Unfinished::Panicked(panic)) => {
                Ended::Concluded(Err(panicked("the work", &*panic)))
            }
            Err(Unfinished::Aborted) => Ended::Aborted,
        })
    }
}

impl Body {
    /// `conclude` says what the body's result means to a job; it runs when the body has ended, and may panic.
    pub(crate) fn new<R: Send + 'static>(body: Running<R>, conclude: fn(R) -> Outcome) -> Self {
        Self(Box::new(Concluded { body, conclude }))
    }

    pub(in crate::core) fn abort(&self) {
        self.0.abort();
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
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        Pin::new(&mut *self.0).poll(context)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

fn panicked(what: &str, panic: &(dyn Any + Send)) -> JobFailure {
    JobFailure::new(FailureKind::Panic, format!("{what} panicked: {}", panic_message(panic)))
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(without a message)")
}
