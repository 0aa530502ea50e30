//! Exponential backoff: the pauses between attempts at an operation that fails for a while, such as a write to a full disk.

use std::time::Duration;

/// Pauses that double from 100 ms to 10 s.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(100))
    }
}

impl Backoff {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Duration::from_secs(10));
        pause
    }
}
