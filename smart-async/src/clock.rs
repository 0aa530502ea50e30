//! The wall clock, as records show it. Durations are measured with the monotonic clock of the runtime instead.

mod own_form;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

pub(crate) use self::own_form::{read as from_own_form, write as in_own_form};

/// A moment on the wall clock, in UTC. Durations are never computed from two of these while a job runs:
/// the wall clock may jump.
pub type Timestamp = DateTime<Utc>;

/// Now, to the millisecond: the precision in which records are kept.
pub(crate) fn now() -> Timestamp {
    Utc::now().trunc_subsecs(3)
}

/// The moment that lies `elapsed` before now; the beginning of time where that is longer ago.
pub(crate) fn ago(elapsed: std::time::Duration) -> Timestamp {
    let then = chrono::Duration::from_std(elapsed)
        .ok()
        .and_then(|elapsed| now().checked_sub_signed(elapsed));
    then.map_or(Timestamp::MIN_UTC, |then| then.trunc_subsecs(3))
}

/// The moment that comes `time` after this one; the end of time where that is later.
pub(crate) fn after(moment: Timestamp, time: std::time::Duration) -> Timestamp {
    let then =
        chrono::Duration::from_std(time).ok().and_then(|time| moment.checked_add_signed(time));
    then.map_or(END_OF_TIME, |then| then.trunc_subsecs(3).min(END_OF_TIME))
}

/// The last moment that RFC 3339 can spell.
const END_OF_TIME: Timestamp = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(end) => end,
    None => Timestamp::MAX_UTC,
};

/// A moment as files and answers spell it: RFC 3339, UTC, milliseconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    match in_own_form(time) {
        Some(text) => text.as_str().to_owned(),
        None => time.to_rfc3339_opts(SecondsFormat::Millis, true),
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
