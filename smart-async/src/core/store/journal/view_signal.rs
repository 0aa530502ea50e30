//! How far the view is behind the journal, and when it is to be rewritten: the writer thread and the store report it, and the
//! view thread waits for it.

use std::sync::{Condvar, PoisonError};
use std::time::{Duration, Instant};

use crate::core::sync::Mutex;

/// The view shows a change of state after this, or after twenty times what a rewrite takes where that is longer.
const STATE: Duration = Duration::from_secs(1);
/// The same for mere progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// The journal loses what a job has dropped after this.
const DROPPED: Duration = Duration::from_secs(60);
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
#[derive(Debug)]
pub(super) struct ViewSignal {
    pending: Mutex<Pending>,
    changed: Condvar,
    pace: Pace,
}

/// A round of the view thread that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ViewRound {
    /// Whether the journal is to lose what was dropped.
    pub(super) erases: bool,
}

#[derive(Debug, Default)]
struct Pending {
    /// Since when the view lacks a change of state.
    state: Option<Instant>,
    /// Since when the view lacks mere progress.
    progress: Option<Instant>,
    /// When the journal is to lose what was dropped.
    erase_at: Option<Instant>,
    /// Whether a caller waits for the next round.
    is_urgent: bool,
    /// How many rounds have begun and ended.
    begun: u64,
    ended: u64,
    closing: bool,
    closed: bool,
}

impl Pending {
    /// When the view is to be rewritten.
    fn due(&self, cost: Duration) -> Option<Instant> {
        let within = |since: Option<Instant>, limit: Duration| {
            since.map(|since| since + limit.max(cost * REST))
        };
        let erases = self.erase_at.map(|time| time + cost * REST);
        let due = [within(self.state, STATE), within(self.progress, PROGRESS), erases];
        due.into_iter().flatten().min()
    }
}

/// For the writer thread and the store.
impl ViewSignal {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pending: Mutex::default(), changed: Condvar::new(), pace }
    }

    /// Reports that the journal holds what no record has any more: it is erased within a minute, or `soon`.
    pub(super) fn owes_erasure(&self, soon: bool) {
        let time = Instant::now() + if soon { STATE } else { DROPPED };
        let mut pending = self.pending.lock();
        // The next start looks for what a closing store cannot erase.
        if pending.closing || pending.erase_at.is_some_and(|known| known <= time) {
            return;
        }
        pending.erase_at = Some(time);
        drop(pending);
        self.changed.notify_all();
    }

    /// Has the view thread rewrite the view now, and blocks until it has tried.
    pub(super) fn wait_until_tried(&self) {
        #[cfg(feature = "conformance")]
        if matches!(self.pace, Pace::WhenAsked) {
            return;
        }
        let mut pending = self.pending.lock();
        pending.is_urgent = true;
        let round = pending.begun + 1;
        self.changed.notify_all();
        let waits = |pending: &mut Pending| !pending.closed && pending.ended < round;
        drop(self.changed.wait_while(pending, waits));
    }

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
    /// Waits until the view is to be rewritten, where the last rewrite took `cost`. `None` where it never is again.
    pub(super) fn wait_until_due(&self, cost: Duration) -> Option<ViewRound> {
        let mut pending = self.pending.lock();
        loop {
            let due = match self.pace {
                #[cfg(feature = "conformance")]
                Pace::WhenAsked if !pending.closing => None,
                _ if pending.is_urgent => Some(Instant::now()),
                _ => pending.due(cost),
            };
            let now = Instant::now();
            let left = due.map(|due| due.saturating_duration_since(now));
            match left {
                None if pending.closing => return None,
                None => {
                    pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
                }
                Some(left) if left.is_zero() || pending.closing => {
                    (pending.state, pending.progress, pending.is_urgent) = (None, None, false);
                    pending.begun += 1;
                    let closing = pending.closing;
                    let erases = pending.erase_at.take_if(|time| closing || *time <= now);
                    return Some(ViewRound { erases: erases.is_some() });
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(pending, left);
                    pending = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Reports that the round has ended, well or not.
    pub(super) fn round_ended(&self) {
        let mut pending = self.pending.lock();
        pending.ended = pending.begun;
        drop(pending);
        self.changed.notify_all();
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
