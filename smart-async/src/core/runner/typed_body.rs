//! A spawned body, in whichever way it was spawned: it can be awaited and aborted.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Spawns work as a part of the request that is being served, and returns the function that aborts it.
pub(crate) type BodySpawner = fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> StopBody;

/// Aborts the work, if it still runs.
pub(crate) type StopBody = Arc<dyn Fn() + Send + Sync>;

/// A body that runs in a task of its own. Dropped, it runs on.
pub(crate) enum TypedBody<R> {
    Spawned(JoinHandle<R>),
    Carried(oneshot::Receiver<thread::Result<R>>, StopBody),
}

/// Why a body has no result.
pub(crate) enum BodyError {
    Panicked(Box<dyn Any + Send>),
    /// It was aborted.
    Aborted,
}

impl<R: Send + 'static> TypedBody<R> {
    /// Spawns a body by a spawner of the request.
    pub(crate) fn carried(
        spawner: BodySpawner,
        body: impl Future<Output = R> + Send + 'static,
    ) -> Self {
        let (result, receiver) = oneshot::channel();
        let stop = spawner(Box::pin(async move {
            // The receiver may have been dropped.
            let _ = result.send(AssertUnwindSafe(body).catch_unwind().await);
        }));
        Self::Carried(receiver, stop)
    }
}

impl<R> TypedBody<R> {
    /// Returns whether the result is there.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Spawned(body) => body.is_finished(),
            Self::Carried(result, _) => !result.is_empty(),
        }
    }

    /// Aborts the body.
    pub(crate) fn abort(&self) {
        match self {
            Self::Spawned(body) => body.abort(),
            Self::Carried(_, stop) => stop(),
        }
    }
}

impl<R> From<JoinHandle<R>> for TypedBody<R> {
    fn from(body: JoinHandle<R>) -> Self {
        Self::Spawned(body)
    }
}

/// Waits for the end.
impl<R> Future for TypedBody<R> {
    type Output = Result<R, BodyError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.get_mut() {
            Self::Spawned(body) => ready!(Pin::new(body).poll(context)).map_err(|error| {
                error.try_into_panic().map_or(BodyError::Aborted, BodyError::Panicked)
            }),
            Self::Carried(result, _) => match ready!(Pin::new(result).poll(context)) {
                Ok(result) => result.map_err(BodyError::Panicked),
                // The spawned future was dropped together with the sender: the body does not run any more.
                Err(_) => Err(BodyError::Aborted),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawner(work: Pin<Box<dyn Future<Output = ()> + Send>>) -> StopBody {
        let task = tokio::spawn(work);
        Arc::new(move || task.abort())
    }

    #[tokio::test]
    async fn a_carried_body_ends_as_a_spawned_one_does() {
        let ended = TypedBody::carried(spawner, async { 7 }).await;
        assert!(matches!(ended, Ok(7)));
        let ended = TypedBody::carried(spawner, async { panic!("the saw is broken") }).await;
        let Err::<(), _>(BodyError::Panicked(panic)) = ended else { panic!("no panic") };
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the saw is broken"));
        let running = TypedBody::carried(spawner, std::future::pending::<()>());
        assert!(!running.is_finished());
        running.abort();
        assert!(matches!(running.await, Err(BodyError::Aborted)));
    }

    #[tokio::test]
    async fn a_carried_body_runs_on_when_its_handle_is_dropped() {
        let (sender, receiver) = oneshot::channel();
        drop(TypedBody::carried(spawner, async move { sender.send(7) }));
        assert_eq!(receiver.await, Ok(7));
    }
}
