//! The token that tells a body to stop.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// Tells a body to stop, once. The token is made at its first use: most bodies never look at it, and are never told.
#[derive(Debug, Default)]
pub(crate) struct Cancellation(OnceLock<CancellationToken>);

impl Cancellation {
    pub(crate) fn token(&self) -> &CancellationToken {
        self.0.get_or_init(CancellationToken::new)
    }

    pub(crate) fn cancel(&self) {
        self.token().cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.get().is_some_and(CancellationToken::is_cancelled)
    }

    pub(crate) async fn cancelled(&self) {
        self.token().cancelled().await;
    }
}

impl From<CancellationToken> for Cancellation {
    fn from(token: CancellationToken) -> Self {
        Self(OnceLock::from(token))
    }
}
