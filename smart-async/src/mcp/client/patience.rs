//! How long the client of one connection waits for an answer, learned from the calls that it gave up: the table of hosts ages, some
//! hosts share a name, and users set limits of their own.

use std::time::Duration;

use super::host_timeouts::HostTimeout;
use crate::core::sync::Mutex;

/// The shortest time-out that is learned. No host gives up sooner; a client that does has a limit for that one call.
const SHORTEST: Duration = Duration::from_secs(10);

/// The time-out of the client of one connection, where it has shown one.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Patience(Mutex<Option<Duration>>);

impl Patience {
    /// Takes note that the client gave a call up after this time, with a time-out as the reason. The newest time-out counts.
    pub(in crate::mcp) fn gave_up(&self, after: Duration) {
        if after >= SHORTEST {
            *self.0.lock() = Some(after);
        }
    }

    /// The time-out for waits: the one that the client has shown, else the one of its host.
    pub(in crate::mcp) fn for_waits(&self, host: Option<HostTimeout>) -> Option<HostTimeout> {
        self.0.lock().map(HostTimeout::new).or(host)
    }

    /// The longest budget of a call, where one is known: what the client has shown only lowers it.
    pub(in crate::mcp) fn budget(&self, host: Option<HostTimeout>) -> Option<Duration> {
        let shown = self.0.lock().map(HostTimeout::new);
        [shown, host].into_iter().flatten().map(HostTimeout::budget).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<HostTimeout> = Some(HostTimeout::new(Duration::from_secs(300)));

    fn times(patience: &Patience) -> (u64, u64) {
        let wait = patience.for_waits(HOST).unwrap().wait(true, false);
        (wait.as_secs(), patience.budget(HOST).unwrap().as_secs())
    }

    #[test]
    fn a_client_that_gave_up_is_not_made_to_wait_so_long_again() {
        let patience = Patience::default();
        assert_eq!(times(&patience), (295, 200));
        patience.gave_up(Duration::from_secs(60));
        assert_eq!(times(&patience), (55, 40));
    }

    #[test]
    fn a_longer_time_out_raises_waits_and_no_budget() {
        let patience = Patience::default();
        patience.gave_up(Duration::from_secs(600));
        assert_eq!(times(&patience), (595, 200));
        assert_eq!(patience.budget(None), Some(Duration::from_secs(400)));
    }

    #[test]
    fn the_limit_of_a_single_call_is_not_that_of_the_client() {
        let patience = Patience::default();
        patience.gave_up(Duration::from_millis(500));
        assert_eq!(times(&patience), (295, 200));
        assert_eq!(patience.for_waits(None), None);
    }
}
