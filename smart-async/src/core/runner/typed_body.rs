//! A spawned body, in whichever way it was spawned: it can be awaited and aborted.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::core::blocking::{BodySlot, Slots, ThreadResult};
use crate::core::context::{self, JobContext};

/// Spawns work as a part of the request that is being served, and returns the function that aborts it.
pub(crate) type BodySpawner = fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> StopBody;

/// Aborts the work, if it still runs.
pub(crate) type StopBody = Arc<dyn Fn() + Send + Sync>;

/// A body that runs in a task or on a thread of its own. Dropped, it runs on.
pub(crate) enum TypedBody<R> {
    Spawned(JoinHandle<R>),
    Carried(oneshot::Receiver<thread::Result<R>>, StopBody),
    /// It cannot be aborted.
    OnThread(ThreadResult<R>),
    Waiting(WaitingBody<R>),
}

/// A blocking body that waits for its turn, and begins when it is polled then. Told to stop, or dropped, it never begins.
pub(crate) struct WaitingBody<R> {
    context: Arc<JobContext>,
    slots: Arc<Slots>,
    /// The place in the line; taken at the next poll where there is none.
    place: Option<BoxFuture<'static, BodySlot>>,
    /// Taken when the body begins.
    begin: Option<BeginOnThread<R>>,
}

/// Begins a blocking body.
type BeginOnThread<R> = Box<dyn FnOnce(&Arc<JobContext>, BodySlot) -> ThreadResult<R> + Send>;

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

impl<R: Send + 'static> TypedBody<R> {
    /// A blocking body, which begins now where it has a slot or one is free, else when it is its turn.
    pub(crate) fn blocking(
        context: &Arc<JobContext>,
        slots: &Arc<Slots>,
        slot: Option<BodySlot>,
        begin: impl FnOnce(&Arc<JobContext>, BodySlot) -> ThreadResult<R> + Send + 'static,
    ) -> Self {
        match slot.or_else(|| slots.try_take()) {
            Some(slot) => {
                context.turn.come();
                Self::OnThread(begin(context, slot))
            }
            None => {
                context.turn.wait();
                let (context, slots) = (Arc::clone(context), Arc::clone(slots));
                let place = Some(WaitingBody::<R>::place(&slots));
                Self::Waiting(WaitingBody { context, slots, place, begin: Some(Box::new(begin)) })
            }
        }
    }
}

impl<R> TypedBody<R> {
    /// Returns whether the result is there.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Spawned(body) => body.is_finished(),
            Self::Carried(result, _) | Self::OnThread(result) => !result.is_empty(),
            Self::Waiting(_) => false,
        }
    }

    /// Aborts the body, where that is possible. A body that waits has been told to stop by then, and so never begins.
    pub(crate) fn abort(&self) {
        match self {
            Self::Spawned(body) => body.abort(),
            Self::Carried(_, stop) => stop(),
            Self::OnThread(_) | Self::Waiting(_) => {}
        }
    }

    /// Returns whether nothing but the body itself ends it.
    pub(crate) const fn is_on_thread(&self) -> bool {
        matches!(self, Self::OnThread(_))
    }

    /// Lets a body that waits begin, where it has its turn.
    pub(super) fn with_turn(self, slot: Option<BodySlot>) -> Self {
        match (self, slot) {
            (Self::Waiting(mut body), Some(slot)) => match body.begin(slot) {
                Some(result) => Self::OnThread(result),
                None => Self::Waiting(body),
            },
            (body, _) => body,
        }
    }

    /// Lets others go first, where the body waits and will not be polled for a while.
    pub(crate) fn step_aside(&mut self) {
        if let Self::Waiting(body) = self {
            body.place = None;
        }
    }
}

impl<R> WaitingBody<R> {
    /// A place in the line. A body that another one waits for has its turn at once: that one holds a slot for both.
    fn place(slots: &Arc<Slots>) -> BoxFuture<'static, BodySlot> {
        let slots = Arc::clone(slots);
        match context::holds_slot() {
            true => Box::pin(slots.take_beside()),
            false => Box::pin(slots.take()),
        }
    }

    fn begin(&mut self, slot: BodySlot) -> Option<ThreadResult<R>> {
        let begin = self.begin.take()?;
        self.context.turn.come();
        Some(begin(&self.context, slot))
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
        let this = self.get_mut();
        if let Self::Waiting(body) = this {
            if body.context.cancellation.is_cancelled() {
                return Poll::Ready(Err(BodyError::Aborted));
            }
            let slots = &body.slots;
            let place = body.place.get_or_insert_with(|| WaitingBody::<R>::place(slots));
            let slot = ready!(place.as_mut().poll(context));
            match body.begin(slot) {
                Some(result) => *this = Self::OnThread(result),
                None => return Poll::Ready(Err(BodyError::Aborted)),
            }
        }
        Poll::Ready(match this {
            Self::Spawned(body) => ready!(Pin::new(body).poll(context)).map_err(|error| {
                error.try_into_panic().map_or(BodyError::Aborted, BodyError::Panicked)
            }),
            Self::Carried(result, _) | Self::OnThread(result) => {
                match ready!(Pin::new(result).poll(context)) {
                    Ok(result) => result.map_err(BodyError::Panicked),
                    // The spawned future was dropped together with the sender: the body does not run any more.
                    Err(_) => Err(BodyError::Aborted),
                }
            }
            Self::Waiting(_) => return Poll::Pending,
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
