//! The caller of a call: how it may leave, and whether the work goes on then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::core::call_site::{CallSite, OnCancel, OnDisconnect};

/// How long to wait, once a caller is gone, for the notification that says why. The SDK hands both over in one step, so the
/// notification is on its way by then if it comes at all.
const REASON_GRACE: Duration = Duration::from_millis(250);
/// The number of steps in which that time passes. A process that stands still meanwhile, because its container has used up its
/// share of the processor, finds one step over when it goes on; in the others the notification has its turn.
const REASON_STEPS: u32 = 5;

/// The caller that waits for the answer of a call. The default is the caller of a plain function call, which can leave only by
/// dropping the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Option<Arc<Connected>>);

#[derive(Debug)]
struct Connected {
    left: CancellationToken,
    /// Why the caller cancelled the request, once its notification has come.
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
        Self(Some(Arc::new(Connected { left, reason: SetOnce::new() })))
    }

    /// Takes the caller's notification that it cancels the request. The first one counts.
    pub(crate) fn cancels(&self, reason: Option<String>) {
        if let Some(caller) = &self.0 {
            let _ = caller.reason.set(reason);
        }
    }

    /// Returns whether the caller is gone.
    pub(crate) fn has_left(&self) -> bool {
        self.0.as_ref().is_some_and(|caller| caller.left.is_cancelled())
    }

    /// Waits until the caller leaves.
    pub(crate) async fn left(&self) {
        match &self.0 {
            Some(caller) => caller.left.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the caller leaves, and then for a moment for the reason.
    pub(crate) async fn departure(&self) -> Departure {
        let Some(caller) = &self.0 else { return std::future::pending().await };
        caller.left.cancelled().await;
        for _ in 0..REASON_STEPS {
            let step = REASON_GRACE / REASON_STEPS;
            if let Ok(reason) = tokio::time::timeout(step, caller.reason.wait()).await {
                return Departure::Cancelled { reason: reason.clone() };
            }
        }
        Departure::Disconnected
    }
}

impl CallSite {
    /// Returns whether the work goes on after its last caller left in this way.
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

/// Returns whether the reason of a cancellation is a time-out of the client, rather than a decision of its user.
///
/// The official clients say "request timeout" (Rust) and "Request timed out" (TypeScript).
pub(crate) fn names_a_time_out(reason: &str) -> bool {
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
    #[tokio::test(start_paused = true)]
    async fn a_reason_counts_though_the_process_stood_still_before_it() {
        let left = CancellationToken::new();
        let caller = Caller::new(left.clone());
        let other = caller.clone();
        left.cancel();
        let (departure, ()) = tokio::join!(caller.departure(), async {
            tokio::time::advance(Duration::from_secs(10)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            other.cancels(Some("request timeout".into()));
        });
        assert!(matches!(departure, Departure::Cancelled { .. }), "{departure:?}");
    }
}
