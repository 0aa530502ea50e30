//! A spawned body, however it was spawned: to be waited for, and to be stopped.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Spawns work as a part of the request that is being served, and returns what stops it.
pub(crate) type Carrier = fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> Stop;

/// Drops the work where it stands, if it still runs.
pub(crate) type Stop = Arc<dyn Fn() + Send + Sync>;

/// A body that runs in a task of its own. Dropped, it runs on.
pub(crate) enum Running<R> {
    Spawned(JoinHandle<R>),
    Carried(oneshot::Receiver<thread::Result<R>>, Stop),
}

/// Why a body has no result.
pub(crate) enum Unfinished {
    Panicked(Box<dyn Any + Send>),
    /// It was dropped where it stood.
    Aborted,
}

impl<R: Send + 'static> Running<R> {
    /// Spawns a body by way of a carrier.
    pub(crate) fn carried(
        carrier: Carrier,
        body: impl Future<Output = R> + Send + 'static,
    ) -> Self {
        let (result, receiver) = oneshot::channel();
        let stop = carrier(Box::pin(async move {
            // Nobody may be there to take it any more.
            let _ = result.send(AssertUnwindSafe(body).catch_unwind().await);
        }));
        Self::Carried(receiver, stop)
    }
}

impl<R> Running<R> {
    /// Whether there is a result to be had at once.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Spawned(body) => body.is_finished(),
            Self::Carried(result, _) => !result.is_empty(),
        }
    }

    /// Stops the body where it stands.
    pub(crate) fn abort(&self) {
        match self {
            Self::Spawned(body) => body.abort(),
            Self::Carried(_, stop) => stop(),
        }
    }
}

impl<R> From<JoinHandle<R>> for Running<R> {
    fn from(body: JoinHandle<R>) -> Self {
        Self::Spawned(body)
    }
}

/// Waits for the end.
impl<R> Future for Running<R> {
    type Output = Result<R, Unfinished>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.get_mut() {
            Self::Spawned(body) => ready!(Pin::new(body).poll(context)).map_err(|error| {
                error.try_into_panic().map_or(Unfinished::Aborted, Unfinished::Panicked)
            }),
            Self::Carried(result, _) => match ready!(Pin::new(result).poll(context)) {
                Ok(result) => result.map_err(Unfinished::Panicked),
                // It was dropped with what would have sent the result: it does not run any more.
                Err(_) => Err(Unfinished::Aborted),
            },
        })
    }
}

impl<R> fmt::Debug for Running<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(work: Pin<Box<dyn Future<Output = ()> + Send>>) -> Stop {
        let task = tokio::spawn(work);
        Arc::new(move || task.abort())
    }

    #[tokio::test]
    async fn a_carried_body_ends_as_a_spawned_one_does() {
        let ended = Running::carried(carrier, async { 7 }).await;
        assert!(matches!(ended, Ok(7)));
        let ended = Running::carried(carrier, async { panic!("the saw is broken") }).await;
        let Err::<(), _>(Unfinished::Panicked(panic)) = ended else { panic!("no panic") };
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the saw is broken"));
        let running = Running::carried(carrier, std::future::pending::<()>());
        assert!(!running.is_finished());
        running.abort();
        assert!(matches!(running.await, Err(Unfinished::Aborted)));
    }

    #[tokio::test]
    async fn a_carried_body_runs_on_when_nobody_waits_for_it() {
        let (sender, receiver) = oneshot::channel();
        drop(Running::carried(carrier, async move { sender.send(7) }));
        assert_eq!(receiver.await, Ok(7));
    }
}
