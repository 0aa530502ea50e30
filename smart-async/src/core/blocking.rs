//! The share of blocking bodies: how many run at a time. Each runs on a thread of its own, and none on the runtime's blocking pool, which
//! reads the requests of clients.
//!
//! [`Slots`] is the one place that decides when a blocking body may begin.

mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep};

use self::threads::{ReadyThread, Threads};
use crate::core::observe;

/// How many blocking bodies a manager runs at a time, unless the program says otherwise.
pub(crate) const DEFAULT_SLOTS: usize = 64;

/// How often a body that has its turn tries to get a thread, while the system starts none.
const NEXT_TRY: Duration = Duration::from_millis(100);

/// The result of a blocking body, or the payload of its panic.
pub(crate) type ThreadResult<R> = oneshot::Receiver<thread::Result<R>>;

/// The slots of one manager.
pub(crate) struct Slots {
    permits: Arc<Semaphore>,
    threads: Arc<Threads>,
}

/// A turn: the right of a blocking body to run, and a thread for it. Dropped, the next body gets it.
pub(crate) struct BodySlot {
    thread: ReadyThread,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// As many slots, but one at least.
    pub(crate) fn new(slots: usize) -> Arc<Self> {
        static OF_PROCESS: LazyLock<Arc<Threads>> = LazyLock::new(|| {
            Threads::new(Box::new(|code| {
                thread::Builder::new().name("blocking-body".to_owned()).spawn(code).map(drop)
            }))
        });
        Self::on(slots, Arc::clone(&OF_PROCESS))
    }

    fn on(slots: usize, threads: Arc<Threads>) -> Arc<Self> {
        let slots = slots.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { permits: Arc::new(Semaphore::new(slots)), threads })
    }

    /// The slots of calls that come without a manager.
    pub(crate) fn of_process() -> &'static Arc<Self> {
        static SLOTS: LazyLock<Arc<Slots>> = LazyLock::new(|| Slots::new(DEFAULT_SLOTS));
        &SLOTS
    }

    /// A slot, where one is free.
    pub(crate) fn try_take(&self) -> Option<BodySlot> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(BodySlot { thread: self.threads.take().ok()?, permit: Some(permit) })
    }

    /// Waits for a slot. Those that wait get theirs in the order in which they came.
    ///
    /// # Cancel safety
    /// Dropping the future loses the place in the line.
    pub(crate) async fn take(self: Arc<Self>) -> BodySlot {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        BodySlot { thread: self.next_thread().await, permit }
    }

    /// A slot beside the others, for a body that another one of this manager waits for: that one holds a slot already.
    pub(crate) async fn take_beside(self: Arc<Self>) -> BodySlot {
        BodySlot { thread: self.next_thread().await, permit: None }
    }

    async fn next_thread(&self) -> ReadyThread {
        let mut is_told = false;
        loop {
            match self.threads.take() {
                Ok(thread) => return thread,
                Err(error) if !is_told => {
                    is_told = true;
                    observe::warn!(%error, "no thread could be started for a blocking body, which waits for one");
                }
                Err(_) => {}
            }
            sleep(NEXT_TRY).await;
        }
    }
}

impl BodySlot {
    /// Runs a body as part of the current runtime.
    pub(crate) fn run<R: Send + 'static>(
        self,
        body: impl FnOnce() -> R + Send + 'static,
    ) -> ThreadResult<R> {
        let (result, receiver) = oneshot::channel();
        let runtime = Handle::current();
        let held_clock = hold_paused_clock(&runtime);
        let code = move || {
            let _entered = runtime.enter();
            let ended = catch_unwind(AssertUnwindSafe(body));
            // The receiver may have been dropped.
            let _ = result.send(ended);
        };
        self.thread.run(Box::new(code), (self.permit, held_clock));
        receiver
    }
}

/// Holds the clock of a test that has paused it, until the answer is dropped: a paused clock moves on when the runtime has nothing
/// to do, and the runtime knows nothing of a body on a thread of ours.
fn hold_paused_clock(runtime: &Handle) -> Option<std::sync::mpsc::Sender<()>> {
    let (shown, before) = (Instant::now(), std::time::Instant::now());
    while before.elapsed().is_zero() {}
    if Instant::now() != shown {
        return None;
    }
    let (held, released) = std::sync::mpsc::channel();
    runtime.spawn_blocking(move || {
        let _ = released.recv();
    });
    Some(held)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test]
    async fn a_body_waits_for_its_turn_and_a_dropped_turn_goes_to_the_next() {
        let slots = Slots::new(1);
        let first = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        let mut second = Box::pin(Arc::clone(&slots).take());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(slots.try_take().is_none(), "it is the second one's turn");
        assert_eq!(second.await.run(|| 7).await.unwrap().unwrap(), 7);
        // The slot is free when the thread is.
        Arc::clone(&slots).take().await;
    }

    #[tokio::test]
    async fn a_body_that_a_body_waits_for_needs_no_turn() {
        let slots = Slots::new(1);
        let _held = slots.try_take().unwrap();
        assert_eq!(Arc::clone(&slots).take_beside().await.run(|| 8).await.unwrap().unwrap(), 8);
    }

    #[tokio::test]
    async fn a_panic_is_the_bodys_result_and_the_runtime_is_entered() {
        let slots = Slots::new(1);
        let ended =
            Arc::clone(&slots).take().await.run(|| -> u8 { panic!("the saw is broken") }).await;
        let Err(panic) = ended.unwrap() else { panic!("no panic") };
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the saw is broken"));
        let run = slots.take().await.run(|| Handle::current().block_on(async { 9 }));
        assert_eq!(run.await.unwrap().unwrap(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_while_the_system_starts_no_thread() {
        let refused = std::sync::atomic::AtomicUsize::new(0);
        let threads = Threads::new(Box::new(move |code| {
            match refused.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3 {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => thread::Builder::new().spawn(code).map(drop),
            }
        }));
        let slots = Slots::on(1, threads);
        let began = Instant::now();
        let run = slots.take().await.run(|| 10);
        assert_eq!(began.elapsed(), NEXT_TRY * 3);
        assert_eq!(run.await.unwrap().unwrap(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_stands_still_while_a_body_runs() {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let body = Slots::new(1).take().await.run(move || gone.recv().is_ok());
        let began = Instant::now();
        let go_later = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            go.send(())
        });
        tokio::select! {
            ended = body => assert!(ended.unwrap().unwrap()),
            () = sleep(Duration::from_secs(3600)) => panic!("an hour passed"),
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        go_later.join().unwrap().unwrap();
    }
}
