//! Whoever waits for the answer of a call, how they may leave, and what becomes of the work then.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::call_site::{CallSite, OnCancel, OnDisconnect};

/// How long to wait, once a caller is gone, for the notification that says why. It is on its way by then if it comes
/// at all: the SDK hands both over in one step.
const REASON_GRACE: Duration = Duration::from_millis(250);

/// Whoever waits for the answer of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    left: CancellationToken,
    /// Why the caller cancelled, once it said so.
    reason: Arc<OnceLock<Option<String>>>,
    said: CancellationToken,
}

/// How a caller left.
#[derive(Debug)]
pub(crate) enum Departure {
    /// Its connection was lost.
    Disconnected,
    /// It cancelled the request.
    Cancelled { reason: Option<String> },
}

impl Caller {
    /// A caller that is gone when `left` is cancelled.
    pub(crate) fn new(left: CancellationToken) -> Self {
        Self { left, ..Self::default() }
    }

    /// Takes the caller's notification that it cancels the request.
    pub(crate) fn cancels(&self, reason: Option<String>) {
        if self.reason.set(reason).is_ok() {
            self.said.cancel();
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Waits until the caller leaves.
    pub(crate) async fn left(&self) {
        self.left.cancelled().await;
    }

    /// Waits until the caller leaves, and a moment for why.
    pub(crate) async fn departure(&self) -> Departure {
        self.left().await;
        let _ = tokio::time::timeout(REASON_GRACE, self.said.cancelled()).await;
        match self.reason.get() {
            Some(reason) => Departure::Cancelled { reason: reason.clone() },
            None => Departure::Disconnected,
        }
    }
}

impl CallSite {
    /// Whether the work goes on after its caller left in this way.
    pub(crate) fn keeps_after(&self, departure: &Departure) -> bool {
        match departure {
            Departure::Disconnected => self.on_disconnect == OnDisconnect::Keep,
            Departure::Cancelled { reason } => match self.on_cancel {
                OnCancel::Auto => reason.as_deref().is_some_and(names_a_time_out),
                OnCancel::Keep => true,
                OnCancel::Cancel => false,
            },
        }
    }
}

/// Whether the reason of a cancellation is that the client lost patience, rather than that a person pressed a key.
///
/// The official clients say "request timeout" (Rust) and "Request timed out" (TypeScript).
fn names_a_time_out(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["timeout", "timed out", "time-out", "time out", "deadline"]
        .iter()
        .any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_no_reason_is_disconnected() {
        let left = CancellationToken::new();
        left.cancel();
        assert!(matches!(Caller::new(left).departure().await, Departure::Disconnected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_comes_a_moment_later_counts() {
        let (left, caller) = (CancellationToken::new(), Caller::default());
        let caller = Caller { left: left.clone(), ..caller };
        let other = caller.clone();
        left.cancel();
        let (departure, ()) = tokio::join!(caller.departure(), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            other.cancels(Some("request timeout".into()));
        });
        assert!(
            matches!(departure, Departure::Cancelled { reason: Some(reason) } if reason == "request timeout")
        );
    }
}
