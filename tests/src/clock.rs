//! A wall clock that follows the runtime's clock, and so runs on when a test with a paused runtime sleeps.

use smart_async::manager::WallClock;
use tokio::time::Instant;

/// A clock that shows the present time now, and moves on with the runtime's.
pub fn runtime_clock() -> WallClock {
    let (began, at) = (Instant::now(), WallClock::default().now());
    WallClock::new(move || at + began.elapsed())
}
