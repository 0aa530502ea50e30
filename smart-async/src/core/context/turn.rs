//! The turn of a body that has to wait for one: for a thread of its own, or for a slot of its tool. It tells whether the body waits,
//! and when its turn came.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

/// The turn of one body. Most bodies never wait, and begin with their call.
#[derive(Debug, Default)]
pub(crate) struct BodyTurn {
    waits: AtomicBool,
    is_queued: AtomicBool,
    is_kept: AtomicBool,
    is_on_thread: AtomicBool,
    came_at: OnceLock<Instant>,
}

impl BodyTurn {
    /// Takes note that the body has to wait.
    pub(crate) fn wait(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }

    /// Takes note that the body waits in the queue for its slot, whose record is in the store meanwhile.
    pub(crate) fn wait_in_queue(&self) {
        self.is_queued.store(true, Ordering::SeqCst);
        self.wait();
    }

    /// Takes note that the body begins.
    pub(crate) fn come(&self) {
        let _ = self.came_at.set(Instant::now());
        self.waits.store(false, Ordering::SeqCst);
    }

    /// Takes note that the body begins on a thread of its own.
    pub(crate) fn come_on_thread(&self) {
        self.is_on_thread.store(true, Ordering::SeqCst);
        self.come();
    }

    /// Returns whether the body waits, and so has not begun.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    /// Returns whether the body begins, or began, when it had its slot from the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.is_queued.load(Ordering::SeqCst)
    }

    /// Takes note that the call has become a job, whose record stays.
    pub(crate) fn keep_record(&self) {
        self.is_kept.store(true, Ordering::SeqCst);
    }

    /// Returns whether the record of the call stays after its end.
    pub(crate) fn keeps_record(&self) -> bool {
        self.is_kept.load(Ordering::SeqCst)
    }

    /// When the body began, where it had to wait for that or has a thread of its own.
    pub(super) fn came_at(&self) -> Option<Instant> {
        self.came_at.get().copied()
    }

    /// Returns whether the body has begun on a thread of its own.
    pub(crate) fn is_on_thread(&self) -> bool {
        self.is_on_thread.load(Ordering::SeqCst)
    }
}
