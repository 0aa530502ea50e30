//! The wall clock of records. Durations are measured with the runtime's monotonic clock instead.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

/// A moment on the wall clock, in UTC. Durations are never computed from two of these while a job runs:
/// the wall clock may jump.
pub type Timestamp = DateTime<Utc>;

/// The current time to the millisecond, which is the precision of records.
pub(crate) fn now() -> Timestamp {
    Utc::now().trunc_subsecs(3)
}

/// The time `elapsed` before now, or the earliest [`Timestamp`] if that is out of range.
pub(crate) fn ago(elapsed: std::time::Duration) -> Timestamp {
    let then = chrono::Duration::from_std(elapsed)
        .ok()
        .and_then(|elapsed| now().checked_sub_signed(elapsed));
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
        for long in [Duration::MAX, Duration::from_secs(10_000_000_000 * 3600)] {
            assert_eq!(ago(long), Timestamp::MIN_UTC);
        }
        assert!(ago(Duration::from_secs(1)) < now());
    }
}
