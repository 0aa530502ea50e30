//! The token that tells a body to stop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Tells a body to stop, once. The token is made at its first use: most bodies never look at it, and are never told.
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    token: OnceLock<CancellationToken>,
    /// Whether the body may know that it was told: it has looked since, or has the token.
    is_known: AtomicBool,
}

impl Cancellation {
    pub(crate) fn token(&self) -> &CancellationToken {
        self.token.get_or_init(CancellationToken::new)
    }

    pub(crate) fn cancel(&self) {
        self.token().cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.get().is_some_and(CancellationToken::is_cancelled)
    }

    pub(crate) async fn cancelled(&self) {
        self.token().cancelled().await;
    }

    /// Returns whether the body was told, and takes note that it knows.
    pub(super) fn tells(&self) -> bool {
        let is_cancelled = self.is_cancelled();
        if is_cancelled {
            self.is_known.store(true, Ordering::Relaxed);
        }
        is_cancelled
    }

    /// Waits until the body is told, and takes note that it knows.
    pub(super) async fn told(&self) {
        self.cancelled().await;
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// Gives the token to the body, which may look at it unnoticed.
    pub(super) fn give_token(&self) -> CancellationToken {
        self.is_known.store(true, Ordering::Relaxed);
        self.token().clone()
    }

    /// Returns whether a body that was told to stop did not know: it went on to its end.
    pub(in crate::core) fn went_unnoticed(&self) -> bool {
        !self.is_known.load(Ordering::Relaxed)
    }
}

impl From<CancellationToken> for Cancellation {
    fn from(token: CancellationToken) -> Self {
        Self { token: OnceLock::from(token), ..Self::default() }
    }
}
