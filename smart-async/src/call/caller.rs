//! The caller of a call: how it may leave, and whether the work goes on then.
//!
//! A caller is *gone* once the SDK has dropped its request: no answer can reach it. It has *left* as soon as the way to it is
//! lost: from then on the work does not depend on it any more, though an answer may still reach a caller that reads on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::core::call_site::{CallSite, OnCancel, OnDisconnect};
use crate::core::local::Leave;

/// How long to wait, once a caller is gone, for the notification that says why. The SDK hands both over in one step, so the
/// notification is on its way by then if it comes at all.
const REASON_GRACE: Duration = Duration::from_millis(250);
/// The number of steps in which that time passes. A process that stands still meanwhile, because its container has used up its
/// share of the processor, finds one step over when it goes on; in the others the notification has its turn.
const REASON_STEPS: u32 = 5;

/// A way to a caller, and whether it is lost: the input of a connection has ended, or the stream of an answer has broken.
/// Clones are the same way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way(Arc<SetOnce<()>>);

impl Way {
    /// Takes note that the way is lost.
    pub(crate) fn lose(&self) {
        let _ = self.0.set(());
    }

    fn is_lost(&self) -> bool {
        self.0.initialized()
    }
}

/// The ways to a caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// The connection. Lost, the client is gone, though it may read the answers to what it has sent.
    pub(crate) connection: Way,
    /// The stream that the answer goes to, where it has one of its own. The client may come back and resume it.
    pub(crate) stream: Option<Way>,
}

impl Ways {
    fn is_lost(&self) -> bool {
        self.connection.is_lost() || self.is_stream_lost()
    }

    fn is_stream_lost(&self) -> bool {
        self.stream.as_ref().is_some_and(Way::is_lost)
    }

    async fn lost(&self) {
        let stream = async {
            match &self.stream {
                Some(stream) => drop(stream.0.wait().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.connection.0.wait() => {}
            () = stream => {}
        }
    }
}

/// The caller that waits for the answer of a call. The default is the caller of a plain function call, which can leave only by
/// dropping the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Option<Arc<Connected>>);

#[derive(Debug)]
struct Connected {
    gone: CancellationToken,
    ways: Ways,
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
    /// The stream of its answer broke. In the protocol that is no cancellation: the client may resume the stream.
    StreamLost,
}

impl Caller {
    /// A caller that is gone when `gone` is cancelled, and that these ways lead to.
    pub(crate) fn new(gone: CancellationToken, ways: Ways) -> Self {
        Self(Some(Arc::new(Connected { gone, ways, reason: SetOnce::new() })))
    }

    /// The same caller for one who answers it though it has left: it leaves when it is gone.
    pub(crate) fn though_left(&self) -> Self {
        match &self.0 {
            Some(caller) => Self::new(caller.gone.clone(), Ways::default()),
            None => Self::default(),
        }
    }

    /// Takes the caller's notification that it cancels the request. The first one counts.
    pub(crate) fn cancels(&self, reason: Option<String>) {
        if let Some(caller) = &self.0 {
            let _ = caller.reason.set(reason);
        }
    }

    /// Returns whether the caller is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(|caller| caller.gone.is_cancelled())
    }

    /// Returns whether the way to the caller is lost.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.0.as_ref().is_some_and(|caller| caller.ways.is_lost())
    }

    /// Returns whether the caller has left.
    pub(crate) fn has_left(&self) -> bool {
        self.is_out_of_reach() || self.is_gone()
    }

    /// Waits until the caller leaves.
    pub(crate) async fn left(&self) {
        match &self.0 {
            Some(caller) => tokio::select! {
                () = caller.gone.cancelled() => {}
                () = caller.ways.lost() => {}
            },
            None => std::future::pending().await,
        }
    }

    /// Waits until the caller leaves, and then for a moment for the reason.
    pub(crate) async fn departure(&self) -> Departure {
        let Some(caller) = &self.0 else { return std::future::pending().await };
        self.left().await;
        // A client that cancels a call and then goes has cancelled it.
        if !caller.gone.is_cancelled() {
            return match caller.ways.connection.is_lost() {
                true => Departure::Disconnected,
                false => Departure::StreamLost,
            };
        }
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
    /// The effect of a departure of this kind.
    pub(crate) fn leave_after(&self, departure: &Departure) -> Leave {
        let keeps = match departure {
            Departure::Disconnected => self.on_disconnect == OnDisconnect::Keep,
            Departure::StreamLost => true,
            Departure::Cancelled { reason } => match self.on_cancel {
                OnCancel::Auto => reason.as_deref().is_some_and(names_a_time_out),
                OnCancel::Keep => true,
                OnCancel::Cancel => false,
            },
        };
        match departure {
            _ if keeps => Leave::Keep,
            Departure::Cancelled { .. } => Leave::Cancelled,
            Departure::Disconnected | Departure::StreamLost => Leave::Stop,
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
        let caller = Caller::new(left, Ways::default());
        assert!(matches!(caller.departure().await, Departure::Disconnected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancellation_comes_before_the_end_of_the_connection() {
        let (gone, ways) = (CancellationToken::new(), Ways::default());
        let caller = Caller::new(gone.clone(), ways.clone());
        ways.connection.lose();
        assert!(matches!(caller.departure().await, Departure::Disconnected));
        assert!(caller.has_left() && !caller.is_gone() && !caller.though_left().has_left());
        gone.cancel();
        caller.cancels(None);
        assert!(matches!(caller.departure().await, Departure::Cancelled { reason: None }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_breaks_is_no_lost_connection_until_that_is_lost_too() {
        let ways = Ways { stream: Some(Way::default()), ..Ways::default() };
        let caller = Caller::new(CancellationToken::new(), ways.clone());
        ways.stream.as_ref().unwrap().lose();
        assert!(matches!(caller.departure().await, Departure::StreamLost));
        ways.connection.lose();
        assert!(matches!(caller.departure().await, Departure::Disconnected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_comes_a_moment_later_counts() {
        let left = CancellationToken::new();
        let caller = Caller::new(left.clone(), Ways::default());
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
        let caller = Caller::new(left.clone(), Ways::default());
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
