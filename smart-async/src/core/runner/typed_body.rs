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

use super::turn::{Needs, Turn, TurnLine};
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
    /// A body of an open call that has a slot of its tool, until it has ended.
    InSlot(Box<Self>, #[expect(dead_code, reason = "held")] Box<dyn TurnLine>),
}

/// A body that waits for its turn, and begins when it is polled then. Told to stop, or dropped, it never begins.
pub(crate) struct WaitingBody<R> {
    context: Arc<JobContext>,
    line: BodyLine,
    /// The place in the line; taken at the next poll where there is none.
    place: Option<BoxFuture<'static, Turn>>,
    /// Taken when the body begins.
    begin: Option<Begin<R>>,
}

/// The line in which a body waits for its turn.
enum BodyLine {
    Threads(Arc<Slots>),
    /// The queue of its tool; taken when the body begins.
    Queue(Option<Box<dyn TurnLine>>),
}

/// Begins a body whose turn has come.
type Begin<R> = Box<dyn FnOnce(&Arc<JobContext>, Turn) -> TypedBody<R> + Send>;

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
    /// A blocking body, which begins now where it has a thread or one is free, else when it is its turn.
    pub(crate) fn blocking(
        context: &Arc<JobContext>,
        slots: &Arc<Slots>,
        thread: Option<BodySlot>,
        begin: impl FnOnce(&Arc<JobContext>, BodySlot) -> ThreadResult<R> + Send + 'static,
    ) -> Self {
        if let Some(thread) = thread.or_else(|| slots.try_take()) {
            return Self::on_thread(context, thread, begin);
        }
        let slots = Arc::clone(slots);
        Self::waiting(context, BodyLine::Threads(Arc::clone(&slots)), move |context, turn| {
            Self::blocking(context, &slots, turn.thread, begin)
        })
    }

    fn on_thread(
        context: &Arc<JobContext>,
        thread: BodySlot,
        begin: impl FnOnce(&Arc<JobContext>, BodySlot) -> ThreadResult<R>,
    ) -> Self {
        context.turn.come_on_thread();
        Self::OnThread(begin(context, thread))
    }

    /// A body of an open call, which begins when its tool has a slot for it.
    pub(crate) fn queued(
        context: &Arc<JobContext>,
        slot: Box<dyn TurnLine>,
        begin: impl FnOnce(&Arc<JobContext>, Turn) -> Self + Send + 'static,
    ) -> Self {
        context.turn.wait_in_queue();
        Self::waiting(context, BodyLine::Queue(Some(slot)), begin)
    }

    fn waiting(
        context: &Arc<JobContext>,
        line: BodyLine,
        begin: impl FnOnce(&Arc<JobContext>, Turn) -> Self + Send + 'static,
    ) -> Self {
        context.turn.wait();
        let (context, place) = (Arc::clone(context), Some(line.place()));
        Self::Waiting(WaitingBody { context, line, place, begin: Some(Box::new(begin)) })
    }
}

impl<R> TypedBody<R> {
    /// Returns whether the result is there.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Spawned(body) => body.is_finished(),
            Self::Carried(result, _) | Self::OnThread(result) => !result.is_empty(),
            Self::Waiting(_) => false,
            Self::InSlot(body, _) => body.is_finished(),
        }
    }

    /// Aborts the body, where that is possible. A body that waits has been told to stop by then, and so never begins.
    pub(crate) fn abort(&self) {
        match self {
            Self::Spawned(body) => body.abort(),
            Self::Carried(_, stop) => stop(),
            Self::OnThread(_) | Self::Waiting(_) => {}
            Self::InSlot(body, _) => body.abort(),
        }
    }

    /// Returns whether nothing but the body itself ends it.
    pub(crate) fn is_on_thread(&self) -> bool {
        match self {
            Self::InSlot(body, _) => body.is_on_thread(),
            body => matches!(body, Self::OnThread(_)),
        }
    }

    /// The condition for the beginning of a body that waits.
    pub(super) fn needs(&self) -> Needs {
        match self {
            Self::Waiting(WaitingBody { line: BodyLine::Queue(Some(slot)), .. }) => slot.needs(),
            Self::Waiting(_) => Needs::Thread,
            _ => Needs::Nothing,
        }
    }

    /// Lets a body that waits begin: it has its turn.
    pub(super) fn with_turn(self, turn: Turn) -> Self {
        match self {
            Self::Waiting(mut body) => match body.begin(turn) {
                Some(begun) => begun,
                None => Self::Waiting(body),
            },
            body => body,
        }
    }

    /// Lets others go first, where the body waits and will not be polled for a while.
    pub(crate) fn step_aside(&mut self) {
        if let Self::Waiting(body) = self {
            body.place = None;
        }
    }
}

impl BodyLine {
    /// A place in the line. A body that another one waits for has its thread at once: that one holds a thread for both.
    fn place(&self) -> BoxFuture<'static, Turn> {
        match self {
            Self::Threads(slots) => {
                let slots = Arc::clone(slots);
                let takes_beside = context::holds_thread();
                Box::pin(async move {
                    let thread = match takes_beside {
                        true => slots.take_beside().await,
                        false => slots.take().await,
                    };
                    Turn { thread: Some(thread), ..Turn::default() }
                })
            }
            Self::Queue(Some(slot)) => slot.place(),
            // The body has begun.
            Self::Queue(None) => Box::pin(std::future::pending()),
        }
    }
}

impl<R> WaitingBody<R> {
    fn begin(&mut self, turn: Turn) -> Option<TypedBody<R>> {
        let begin = self.begin.take()?;
        self.context.turn.come();
        let slot = match &mut self.line {
            BodyLine::Queue(slot) => slot.take(),
            BodyLine::Threads(_) => None,
        };
        let body = begin(&self.context, turn);
        Some(match slot {
            Some(slot) => TypedBody::InSlot(Box::new(body), slot),
            None => body,
        })
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
            let line = &body.line;
            let place = body.place.get_or_insert_with(|| line.place());
            let turn = ready!(place.as_mut().poll(context));
            match body.begin(turn) {
                Some(begun) => *this = begun,
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
            Self::InSlot(body, _) => return Pin::new(&mut **body).poll(context),
            // Its thread was taken by another body meanwhile.
            Self::Waiting(_) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
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
