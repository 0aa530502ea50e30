//! How many callers wait for the answer of a run, and the one rule about their departure: the last caller's departure decides
//! whether the work goes on, unless a caller has an answer or a ticket already.

use crate::core::sync::Mutex;

/// The callers of one run.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    waiting: u32,
    /// Whether a caller has an answer or a ticket.
    delivered: bool,
    /// Whether the work is being stopped because its last caller left. No caller can join it any more.
    closed: bool,
}

impl Callers {
    pub(super) fn set_delivered(&self) {
        self.0.lock().delivered = true;
    }

    pub(super) fn was_delivered(&self) -> bool {
        self.0.lock().delivered
    }

    pub(super) fn is_any_waiting(&self) -> bool {
        self.0.lock().waiting > 0
    }

    /// Counts one more caller. Returns whether that is possible: a run that is being stopped takes no callers.
    pub(super) fn attach(&self) -> bool {
        let mut counts = self.0.lock();
        if !counts.closed {
            counts.waiting += 1;
        }
        !counts.closed
    }

    /// Counts one caller less, which left without an answer.
    pub(super) fn leave(&self, keep: bool) -> Detach {
        let mut counts = self.0.lock();
        counts.waiting = counts.waiting.saturating_sub(1);
        if counts.waiting > 0 || counts.delivered {
            return Detach::Nothing;
        }
        counts.closed = !keep;
        if keep { Detach::Keep } else { Detach::Stop }
    }

    /// Counts one caller less, about whose answer it is known whether it is one or a ticket.
    pub(super) fn release(&self, delivered: bool) {
        let mut counts = self.0.lock();
        counts.waiting = counts.waiting.saturating_sub(1);
        counts.delivered |= delivered;
    }
}

/// The effect of a caller's departure on the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the work may have to be stopped"]
pub(crate) enum Detach {
    /// Nothing: other callers wait for the answer, or a caller has one.
    Nothing,
    /// The work goes on, and the same call finds it.
    Keep,
    /// The work has to be stopped, and the same call finds it no more.
    Stop,
}
