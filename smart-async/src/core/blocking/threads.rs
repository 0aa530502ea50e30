//! The threads that blocking bodies run on. They belong to no runtime, so no runtime waits for them when it ends, and the end of
//! the process ends them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::core::shield::shielded;
use crate::core::sync::Mutex;

/// For how long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);
/// How many more threads the system has to start beside each that is started for a body: the runtime reads requests, writes answers and
/// reads the store on threads of its own.
const HEADROOM: usize = 4;

/// The code of a thread, or a piece of work.
pub(super) type Code = Box<dyn FnOnce() + Send>;

/// Starts a thread.
pub(super) type Start = Box<dyn Fn(Code) -> io::Result<()> + Send + Sync>;

/// Threads, of which those without work are kept for a while.
pub(super) struct Threads {
    idle: Mutex<Vec<Inbox>>,
    started: AtomicU64,
    start: Start,
    /// Held while a thread is started, so that no other one takes its headroom.
    starting: Mutex<()>,
}

/// The way to a thread.
#[derive(Clone)]
struct Inbox {
    number: u64,
    sender: Sender<Work>,
}

/// Work for a thread, and the value that is dropped when the thread is free again.
struct Work {
    code: Code,
    after: Box<dyn Send>,
}

impl Threads {
    pub(super) fn new(start: Start) -> Arc<Self> {
        let (idle, started, starting) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        Arc::new(Self { idle, started, start, starting })
    }

    /// Takes a thread that has no work, or starts one.
    ///
    /// # Errors
    /// Where the system starts no more threads, or hardly any after this one.
    pub(super) fn take(self: &Arc<Self>) -> io::Result<ReadyThread> {
        if let Some(inbox) = self.pop_idle() {
            return Ok(self.ready(inbox));
        }
        let _starting = self.starting.lock();
        let _headroom = self.headroom()?;
        let (sender, receiver) = channel();
        let inbox = Inbox { number: self.started.load(Ordering::Relaxed), sender };
        let (threads, own) = (Arc::clone(self), inbox.clone());
        (self.start)(Box::new(move || threads.serve(&own, &receiver)))?;
        self.started.fetch_add(1, Ordering::Relaxed);
        Ok(self.ready(inbox))
    }

    fn pop_idle(&self) -> Option<Inbox> {
        self.idle.lock().pop()
    }

    fn ready(self: &Arc<Self>, inbox: Inbox) -> ReadyThread {
        ReadyThread { threads: Arc::clone(self), inbox: Some(inbox) }
    }

    /// Starts as many threads as there has to be room for, which end when the answer is dropped.
    fn headroom(&self) -> io::Result<Vec<Sender<()>>> {
        let mut held = Vec::new();
        for _ in 0..HEADROOM {
            let (hold, released) = channel::<()>();
            (self.start)(Box::new(move || {
                let _ = released.recv();
            }))?;
            held.push(hold);
        }
        Ok(held)
    }

    /// Does the work of one thread, one piece after the other.
    fn serve(&self, own: &Inbox, work: &Receiver<Work>) {
        loop {
            match work.recv_timeout(IDLE) {
                Ok(Work { code, after }) => {
                    let _ = shielded(code);
                    self.idle.lock().push(own.clone());
                    let _ = shielded(|| drop(after));
                }
                // A thread that was taken has work soon.
                Err(RecvTimeoutError::Timeout) if !self.leaves_idle(own.number) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes a thread out of those without work. Returns whether it was one.
    fn leaves_idle(&self, number: u64) -> bool {
        let mut idle = self.idle.lock();
        let place = idle.iter().position(|inbox| inbox.number == number);
        place.map(|place| idle.swap_remove(place)).is_some()
    }
}

/// A thread that waits for work. Dropped, it is taken by other work.
pub(super) struct ReadyThread {
    threads: Arc<Threads>,
    inbox: Option<Inbox>,
}

impl ReadyThread {
    /// Does the work on the thread, and drops `after` when the thread is free again.
    pub(super) fn run(mut self, code: Code, after: impl Send + 'static) {
        if let Some(inbox) = self.inbox.take() {
            // The thread keeps its receiver for as long as it is taken.
            let _ = inbox.sender.send(Work { code, after: Box::new(after) });
        }
    }
}

impl Drop for ReadyThread {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            self.threads.idle.lock().push(inbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;

    /// Threads of which `limit` are there at most.
    fn limited(limit: usize) -> Arc<Threads> {
        let running = Arc::new(AtomicUsize::new(0));
        Threads::new(Box::new(move |code| {
            if running.fetch_add(1, Ordering::SeqCst) >= limit {
                running.fetch_sub(1, Ordering::SeqCst);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let running = Arc::clone(&running);
            thread::spawn(move || {
                code();
                running.fetch_sub(1, Ordering::SeqCst);
            });
            Ok(())
        }))
    }

    fn finish(thread: ReadyThread) {
        let (after, freed) = sync_channel::<()>(0);
        thread.run(Box::new(|| panic!("the saw is broken")), after);
        assert!(freed.recv().is_err());
    }

    #[test]
    fn a_thread_without_work_is_taken_again_also_after_a_panic() {
        let threads = limited(HEADROOM + 1);
        finish(threads.take().unwrap());
        finish(threads.take().unwrap());
        drop(threads.take().unwrap());
        finish(threads.take().unwrap());
        assert_eq!(threads.started.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_last_threads_are_left_to_others() {
        let threads = limited(HEADROOM);
        assert!(threads.take().is_err());
        assert_eq!(threads.started.load(Ordering::Relaxed), 0);
    }
}
