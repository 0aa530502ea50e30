//! Whoever waits for the answer of a call, how they may leave, and what becomes of the work then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::core::call_site::{CallSite, OnCancel, OnDisconnect};

/// How long to wait, once a caller is gone, for the notification that says why. It is on its way by then if it comes
/// at all: the SDK hands both over in one step.
const REASON_GRACE: Duration = Duration::from_millis(250);

/// Whoever waits for the answer of a call. By default it is somebody of whom nothing is known: who can only drop the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Option<Arc<Known>>);

#[derive(Debug)]
struct Known {
    left: CancellationToken,
    /// Why the caller cancelled, once it said so.
    reason: SetOnce<Option<String>>,
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
        Self(Some(Arc::new(Known { left, reason: SetOnce::new() })))
    }

    /// Takes the caller's notification that it cancels the request. The first one counts.
    pub(crate) fn cancels(&self, reason: Option<String>) {
        if let Some(known) = &self.0 {
            let _ = known.reason.set(reason);
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.0.as_ref().is_some_and(|known| known.left.is_cancelled())
    }

    /// Waits until the caller leaves.
    pub(crate) async fn left(&self) {
        match &self.0 {
            Some(known) => known.left.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the caller leaves, and a moment for why.
    pub(crate) async fn departure(&self) -> Departure {
        let Some(known) = &self.0 else { return std::future::pending().await };
        known.left.cancelled().await;
        match tokio::time::timeout(REASON_GRACE, known.reason.wait()).await {
            Ok(reason) => Departure::Cancelled { reason: reason.clone() },
            Err(_) => Departure::Disconnected,
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
        let left = CancellationToken::new();
        let caller = Caller::new(left.clone());
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
