//! How far the view is behind the journal, and when it is to be rewritten: the writer thread and the store report it, and the
//! view thread waits for it.

use std::sync::{Condvar, PoisonError};
use std::time::{Duration, Instant};

use crate::core::sync::Mutex;

/// The view shows a change of state after this, or after twenty times what a rewrite takes where that is longer.
const STATE: Duration = Duration::from_secs(1);
/// The same for mere progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// After a rewrite the thread rests this many times as long as that took, so that it takes a twentieth of the time.
const REST: u32 = 19;

/// When the view thread rewrites the view without being asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Pace {
    /// In time for people who read it.
    #[default]
    ByItself,
    /// At the end alone: a test asks for the other rewrites.
    #[cfg(feature = "conformance")]
    WhenAsked,
}

/// How far the view is behind.
#[derive(Debug, Default)]
pub(super) struct ViewSignal {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    /// Since when the view lacks a change of state.
    state: Option<Instant>,
    /// Since when the view lacks mere progress.
    progress: Option<Instant>,
    closing: bool,
    closed: bool,
}

impl Pending {
    /// When the view is to be rewritten.
    fn due(&self, cost: Duration) -> Option<Instant> {
        let within = |since: Option<Instant>, limit: Duration| {
            since.map(|since| since + limit.max(cost * REST))
        };
        [within(self.state, STATE), within(self.progress, PROGRESS)].into_iter().flatten().min()
    }
}

/// For the writer thread and the store.
impl ViewSignal {
    /// Reports that the journal has more than the view shows.
    pub(super) fn behind(&self, merely_progress: bool) {
        let mut pending = self.pending.lock();
        let since = if merely_progress { &mut pending.progress } else { &mut pending.state };
        if since.is_some() {
            // The view thread knows by when it has to write. Waking it at each change would take a core from the callers.
            return;
        }
        *since = Some(Instant::now());
        drop(pending);
        self.changed.notify_all();
    }

    /// Has the view thread rewrite the view once more, where it is behind, and end.
    pub(super) fn close(&self) {
        self.pending.lock().closing = true;
        self.changed.notify_all();
    }

    /// Blocks until the view thread has ended.
    pub(super) fn wait_until_closed(&self) {
        let pending = self.pending.lock();
        drop(self.changed.wait_while(pending, |pending| !pending.closed));
    }
}

/// For the view thread.
impl ViewSignal {
    /// Waits until the view is to be rewritten, where the last rewrite took `cost`. Returns whether it ever is again.
    pub(super) fn wait_until_due(&self, cost: Duration, pace: Pace) -> bool {
        let mut pending = self.pending.lock();
        loop {
            let due = match pace {
                #[cfg(feature = "conformance")]
                Pace::WhenAsked if !pending.closing => None,
                _ => pending.due(cost),
            };
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                None if pending.closing => return false,
                None => {
                    pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
                }
                Some(left) if left.is_zero() || pending.closing => {
                    (pending.state, pending.progress) = (None, None);
                    return true;
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(pending, left);
                    pending = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Reports that a rewrite failed; of a store that is being closed only where `also_at_the_end` says so.
    pub(super) fn still_behind(&self, also_at_the_end: bool) {
        let mut pending = self.pending.lock();
        if !pending.closing || also_at_the_end {
            pending.state.get_or_insert_with(Instant::now);
        }
    }

    /// Reports that the view thread has ended.
    pub(super) fn set_closed(&self) {
        self.pending.lock().closed = true;
        self.changed.notify_all();
    }
}
