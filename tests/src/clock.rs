//! Wall clocks for tests: one that follows the runtime's clock, and so runs on when a test with a paused runtime sleeps, and one
//! by which no two things happen at the same moment.

use std::sync::atomic::{AtomicU64, Ordering};
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
