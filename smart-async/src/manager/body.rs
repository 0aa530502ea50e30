//! A running body, whatever it returns: its end, and the ways to bring that about.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

use super::running::{Abort, Running, Unfinished};
use crate::context::JobContext;
use crate::job::{FailureKind, JobFailure, Outcome, kept};

/// A body that runs in a task of its own.
pub(crate) struct Body {
    ended: Pin<Box<dyn Future<Output = Ended> + Send>>,
    abort: Abort,
}

/// How a body ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    Concluded(Outcome),
    /// It was dropped where it stood.
    Aborted,
}

impl Body {
    /// `conclude` says what the body's result means to a job; it runs when the body has ended, and may panic.
    pub(crate) fn new<R: Send + 'static>(body: Running<R>, conclude: fn(R) -> Outcome) -> Self {
        let abort = body.abort_handle();
        let ended = async move {
            match body.await {
                Ok(result) => Ended::Concluded(
                    catch_unwind(AssertUnwindSafe(|| kept(conclude(result)))).unwrap_or_else(
                        |panic| Err(panicked("turning its result into JSON", &*panic)),
                    ),
                ),
                Err(Unfinished::Panicked(panic)) => {
                    Ended::Concluded(Err(panicked("the work", &*panic)))
                }
                Err(Unfinished::Aborted) => Ended::Aborted,
            }
        };
        Self { ended: Box::pin(ended), abort }
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; the body runs on.
    pub(super) async fn ended(&mut self) -> Ended {
        (&mut self.ended).await
    }

    pub(super) fn abort(&self) {
        self.abort.abort();
    }

    /// Tells the body to stop, gives it `grace`, and aborts it where it does not; returns when it has really stopped.
    pub(crate) async fn wind_down(mut self, context: &JobContext, grace: Duration) {
        context.cancellation.cancel();
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            self.abort();
            self.ended().await;
        }
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
