//! Wall clocks for tests: one that follows the runtime's clock, and so runs on when a test with a paused runtime sleeps, one that
//! jumps, and one by which no two things happen at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use smart_async::manager::WallClock;
use tokio::time::Instant;

/// A clock that shows the present time now, and moves on with the runtime's.
pub fn runtime_clock() -> WallClock {
    let (began, at) = (Instant::now(), WallClock::default().now());
    WallClock::new(move || at + began.elapsed())
}

/// A clock that moves on by a millisecond each time it is read: of two completions, the second is the later one.
pub fn stepping_clock() -> WallClock {
    let (at, reads) = (WallClock::default().now(), AtomicU64::new(0));
    WallClock::new(move || at + Duration::from_millis(reads.fetch_add(1, Ordering::Relaxed)))
}

/// A wall clock that goes on as the runtime's, and that a test sets. Clones are the same.
#[derive(Debug, Clone)]
pub struct JumpingClock(WallClock, Arc<AtomicI64>);

impl JumpingClock {
    /// A clock that shows the present time.
    #[expect(clippy::new_without_default, reason = "it shows another time each time")]
    pub fn new() -> Self {
        Self(runtime_clock(), Arc::default())
    }

    /// The clock, for a store.
    pub fn clock(&self) -> WallClock {
        let Self(clock, hours) = self.clone();
        WallClock::new(move || {
            let jump = Duration::from_secs(3600 * hours.load(Ordering::SeqCst).unsigned_abs());
            match hours.load(Ordering::SeqCst) {
                ..0 => clock.now() - jump,
                _ => clock.now() + jump,
            }
        })
    }

    /// Puts the clock forward by so many hours, or back.
    pub fn jump(&self, hours: i64) {
        self.1.fetch_add(hours, Ordering::SeqCst);
    }
}
