//! The callers that wait for the answer of a run, and the rules about their departure: the last caller's departure decides whether the
//! work goes on, unless a caller has an answer or a ticket already. A caller that cancels its call speaks also for the equal calls of
//! its client that were made [`LONG_OPEN`] before: those the client has given up without a word.

use std::time::Duration;

use tokio::time::Instant;

use crate::core::call_key::CallKey;
use crate::core::sync::Mutex;

/// How long a call is open before the same call on its connection joins it. A client that gives up without a word and calls again
/// does so after its own time-out, and few of those are shorter; a client that makes equal calls on purpose makes them together.
pub(crate) const LONG_OPEN: Duration = Duration::from_secs(10);

/// The callers of one run.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<KnownCallers>);

#[derive(Debug, Default)]
struct KnownCallers {
    waiting: Vec<RunCaller>,
    /// Those that have an answer or a ticket, as far as another caller can speak for them; of the same call the latest.
    served: Vec<RunCaller>,
    /// Whether a caller has an answer or a ticket for which no other one can speak.
    has_served_others: bool,
    /// Whether the work is being stopped because its last caller left. No caller can join it any more.
    closed: bool,
    /// How many callers there were.
    count: u64,
}

/// One caller of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunCaller {
    number: u64,
    /// The key of its call on its connection, where equal calls there are those of one client.
    call: Option<CallKey>,
    came: Instant,
}

impl RunCaller {
    /// Returns whether this caller, where it cancels its call, speaks for the other one as well.
    fn speaks_for(&self, other: &Self) -> bool {
        self.call.is_some()
            && self.call == other.call
            && self.came.saturating_duration_since(other.came) >= LONG_OPEN
    }
}

impl KnownCallers {
    fn add(&mut self, call: Option<CallKey>, came: Instant) -> RunCaller {
        self.count += 1;
        let caller = RunCaller { number: self.count, call, came };
        self.waiting.push(caller);
        caller
    }

    fn remove(&mut self, caller: &RunCaller) {
        self.waiting.retain(|known| known.number != caller.number);
    }
}

impl Callers {
    /// A caller of an earlier process has a ticket.
    pub(super) fn set_delivered(&self) {
        self.0.lock().has_served_others = true;
    }

    pub(super) fn was_delivered(&self) -> bool {
        let known = self.0.lock();
        known.has_served_others || !known.served.is_empty()
    }

    pub(super) fn is_any_waiting(&self) -> bool {
        !self.0.lock().waiting.is_empty()
    }

    /// Counts one more caller; `None` where the run is being stopped, and takes none.
    pub(super) fn attach(&self, call: Option<CallKey>, came: Instant) -> Option<RunCaller> {
        let mut known = self.0.lock();
        (!known.closed).then(|| known.add(call, came))
    }

    /// Counts the caller of a run that no other caller knows.
    pub(super) fn attach_first(&self, call: Option<CallKey>, came: Instant) -> RunCaller {
        self.0.lock().add(call, came)
    }

    /// Counts one caller less, which left without an answer.
    pub(super) fn leave(&self, caller: &RunCaller, how: Leave) -> Detach {
        let mut known = self.0.lock();
        known.remove(caller);
        let counts = |other: &RunCaller| how != Leave::Cancelled || !caller.speaks_for(other);
        let is_another_there = known.waiting.iter().chain(&known.served).any(counts);
        if is_another_there || known.has_served_others {
            return Detach::Nothing;
        }
        known.closed = how != Leave::Keep;
        if known.closed { Detach::Stop } else { Detach::Keep }
    }

    /// Counts one caller less, about whose answer it is known whether it is one or a ticket.
    pub(super) fn release(&self, caller: &RunCaller, delivered: bool) {
        let mut known = self.0.lock();
        known.remove(caller);
        match caller.call {
            _ if !delivered => {}
            None => known.has_served_others = true,
            Some(call) => {
                let is_later =
                    |other: &RunCaller| other.call == Some(call) && other.came > caller.came;
                if !known.served.iter().any(is_later) {
                    known.served.retain(|other| other.call != Some(call));
                    known.served.push(*caller);
                }
            }
        }
    }
}

/// How a caller left, as its tool has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The work goes on, if this was the last caller.
    Keep,
    /// The work stops, if this was the last caller.
    Stop,
    /// As `Stop`, because the client cancelled the call.
    Cancelled,
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

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Option<CallKey> = Some(CallKey::new([1; 32]));
    const ELSEWHERE: Option<CallKey> = Some(CallKey::new([2; 32]));

    /// Callers that came after so many seconds each.
    fn callers<const N: usize>(
        now: Instant,
        came: [(Option<CallKey>, u64); N],
    ) -> (Callers, [RunCaller; N]) {
        let callers = Callers::default();
        let known = came
            .map(|(call, after)| callers.attach(call, now + Duration::from_secs(after)).unwrap());
        (callers, known)
    }

    #[test]
    fn a_cancelled_call_speaks_for_the_equal_ones_that_its_client_made_long_before() {
        let now = Instant::now();
        for (came, expected) in [
            ([(CALL, 0), (CALL, 10)], Detach::Stop),
            ([(CALL, 0), (CALL, 9)], Detach::Nothing),
            ([(CALL, 20), (CALL, 10)], Detach::Nothing),
            ([(ELSEWHERE, 0), (CALL, 10)], Detach::Nothing),
            ([(None, 0), (None, 10)], Detach::Nothing),
        ] {
            // The other one waits, or has its ticket.
            for delivered in [false, true] {
                let (callers, [other, cancelled]) = callers(now, came);
                if delivered {
                    callers.release(&other, true);
                }
                assert_eq!(callers.leave(&cancelled, Leave::Cancelled), expected, "{came:?}");
            }
        }
    }

    #[test]
    fn a_call_that_leaves_otherwise_speaks_for_itself_alone() {
        for how in [Leave::Keep, Leave::Stop] {
            let (callers, [_, left]) = callers(Instant::now(), [(CALL, 0), (CALL, 60)]);
            assert_eq!(callers.leave(&left, how), Detach::Nothing);
        }
    }

    #[test]
    fn of_equal_calls_that_were_served_the_latest_counts() {
        let came = [(CALL, 0), (CALL, 15), (CALL, 20)];
        for order in [[0, 1], [1, 0]] {
            let (callers, known) = callers(Instant::now(), came);
            for index in order {
                callers.release(&known[index], true);
            }
            assert_eq!(callers.0.lock().served.len(), 1);
            assert_eq!(callers.leave(&known[2], Leave::Cancelled), Detach::Nothing);
        }
    }
}
