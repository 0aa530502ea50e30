//! The watch for work that has stalled: it reports no progress for so long that it will hardly end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::JobContext;

/// How often the watch looks within the limit. A report costs it nothing, and the work is stopped after an eighth of the limit more at
/// the latest.
const LOOKS: u32 = 8;

/// The shortest pause between two looks.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

impl JobContext {
    /// Waits until the run has reported nothing for as long as its tool allows. The time in which a question is open does not count.
    pub(crate) async fn stalled(&self) {
        match self.stall {
            // Boxed, because few tools have a limit, and the wait for any run has the size of this one.
            Some(limit) => Box::pin(self.quiet_for(limit)).await,
            None => std::future::pending().await,
        }
    }

    async fn quiet_for(&self, limit: Duration) {
        loop {
            let now = self.began.elapsed();
            if self.progress.take_fresh() || self.turn.waits() || !self.questions.open().is_empty()
            {
                self.quiet_since.store(millis(now), Ordering::Relaxed);
            }
            let heard = Duration::from_millis(self.quiet_since.load(Ordering::Relaxed));
            // A body that waited for its turn could report nothing before.
            let since = heard.max(self.run_began().duration_since(self.began));
            let quiet = now.saturating_sub(since);
            if quiet >= limit {
                return;
            }
            sleep((limit / LOOKS).min(limit - quiet).max(SHORTEST_LOOK)).await;
        }
    }
}
