//! The wall clock of records. Durations are measured with the runtime's monotonic clock instead.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use tokio::time::{Instant, sleep_until};

use crate::core::shield::shielded;

/// A moment on the wall clock, in UTC. Durations are never computed from two of these while a job runs:
/// the wall clock may jump.
pub type Timestamp = DateTime<Utc>;

/// A source of the time by the wall clock. Cheap to clone.
///
/// A program gives another one than the system's where it has to decide what time it is, as a test of retention does.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    /// A clock that reads its time from this function.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The present time, to the millisecond: the precision in which records are kept. In place of a clock that panics, the
    /// system's counts.
    pub fn now(&self) -> Timestamp {
        shielded(|| (self.0)()).unwrap_or_else(|_| Utc::now()).trunc_subsecs(3)
    }
}

/// The clock of the system.
impl Default for WallClock {
    fn default() -> Self {
        Self::new(Utc::now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

/// Now by the system's clock, for code that has no store's.
pub(crate) fn now() -> Timestamp {
    WallClock::default().now()
}

/// Waits until this moment of the runtime's clock is past; for ever where there is none.
pub(crate) async fn past(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The time `elapsed` before `moment`, or the earliest [`Timestamp`] if that is out of range.
pub(crate) fn before(moment: Timestamp, elapsed: std::time::Duration) -> Timestamp {
    let then = chrono::Duration::from_std(elapsed).ok();
    let then = then.and_then(|elapsed| moment.checked_sub_signed(elapsed));
    then.map_or(Timestamp::MIN_UTC, |then| then.trunc_subsecs(3))
}

/// The time `time` after `moment`, or [`END_OF_TIME`] if that is out of range.
pub(crate) fn after(moment: Timestamp, time: std::time::Duration) -> Timestamp {
    let then =
        chrono::Duration::from_std(time).ok().and_then(|time| moment.checked_add_signed(time));
    then.map_or(END_OF_TIME, |then| then.trunc_subsecs(3).min(END_OF_TIME))
}

/// The last second that RFC 3339 can write.
const END_OF_TIME: Timestamp = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(end) => end,
    None => Timestamp::MAX_UTC,
};

/// Formats a time as RFC 3339 in UTC with milliseconds, the form of files and answers.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    // humantime panics outside of the years 1970 to 9999.
    if (0..=END_OF_TIME.timestamp()).contains(&time.timestamp()) {
        humantime::format_rfc3339_millis(SystemTime::from(time)).to_string()
    } else {
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// Parses an RFC 3339 time with any offset and precision.
pub(crate) fn parse_rfc3339(text: &str) -> Result<Timestamp, chrono::ParseError> {
    match humantime::parse_rfc3339(text) {
        Ok(time) => Ok(time.into()),
        Err(_) => DateTime::parse_from_rfc3339(text).map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn longer_ago_than_can_be_told_is_the_beginning_of_time() {
        let now = now();
        for long in [Duration::MAX, Duration::from_secs(10_000_000_000 * 3600)] {
            assert_eq!(before(now, long), Timestamp::MIN_UTC);
        }
        assert_eq!(after(before(now, Duration::from_secs(1)), Duration::from_secs(1)), now);
    }
}
