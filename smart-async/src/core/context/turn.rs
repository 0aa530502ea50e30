//! The turn of a body that needs a thread of its own: whether the body waits for it, and when it came.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

/// The turn of one body. A body that needs no thread never waits, and begins with its call.
#[derive(Debug, Default)]
pub(crate) struct BodyTurn {
    waits: AtomicBool,
    came_at: OnceLock<Instant>,
}

impl BodyTurn {
    /// Takes note that the body has to wait.
    pub(crate) fn wait(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }

    /// Takes note that the body begins, on a thread of its own.
    pub(crate) fn come(&self) {
        let _ = self.came_at.set(Instant::now());
        self.waits.store(false, Ordering::SeqCst);
    }

    /// Returns whether the body waits, and so has not begun.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    /// When the body began, where it has a thread of its own.
    pub(super) fn came_at(&self) -> Option<Instant> {
        self.came_at.get().copied()
    }

    /// Returns whether the body has begun on a thread of its own.
    pub(crate) fn is_on_thread(&self) -> bool {
        self.came_at.get().is_some()
    }
}
