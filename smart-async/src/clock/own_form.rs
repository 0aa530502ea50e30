//! Moments in the one form in which files and answers spell them, `2026-11-21T17:43:44.572Z`, digit by digit. Each record
//! has several, and what knows every form takes many times as long to read one.

use std::ops::Range;

use chrono::{Datelike, NaiveDate, Timelike};

use super::Timestamp;

/// The form; `0` stands for any digit.
const FORM: [u8; 24] = *b"0000-00-00T00:00:00.000Z";

const YEAR: Range<usize> = 0..4;
const MONTH: Range<usize> = 5..7;
const DAY: Range<usize> = 8..10;
const HOUR: Range<usize> = 11..13;
const MINUTE: Range<usize> = 14..16;
const SECOND: Range<usize> = 17..19;
const MILLIS: Range<usize> = 20..23;

/// A moment as text.
pub(crate) struct Written([u8; FORM.len()]);

impl Written {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes a moment, where the form can spell it.
pub(crate) fn write(time: Timestamp) -> Option<Written> {
    let time = time.naive_utc();
    let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9999)?;
    // A leap second has more than there are in one.
    let millis = Some(time.nanosecond() / 1_000_000).filter(|millis| *millis <= 999)?;
    let mut text = FORM;
    for (place, number) in [
        (YEAR, year),
        (MONTH, time.month()),
        (DAY, time.day()),
        (HOUR, time.hour()),
        (MINUTE, time.minute()),
        (SECOND, time.second()),
        (MILLIS, millis),
    ] {
        let mut left = number;
        for digit in text.get_mut(place)?.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    }
    Some(Written(text))
}

/// Reads a moment in this form, and in no other.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let text: &[u8; FORM.len()] = text.as_bytes().try_into().ok()?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    };
    if !text.iter().zip(&FORM).all(fits) {
        return None;
    }
    let number = |place: Range<usize>| {
        let digits = text.get(place).unwrap_or_default();
        digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    let year = i32::try_from(number(YEAR)).ok()?;
    let day = NaiveDate::from_ymd_opt(year, number(MONTH), number(DAY))?;
    // A leap second is none of these.
    let time =
        day.and_hms_milli_opt(number(HOUR), number(MINUTE), number(SECOND), number(MILLIS))?;
    Some(time.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    fn in_full(text: &str) -> Option<Timestamp> {
        text.parse().ok()
    }

    fn written(time: Timestamp) -> Option<String> {
        write(time).map(|text| text.as_str().to_owned())
    }

    fn written_in_full(time: Timestamp) -> String {
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    #[test]
    fn moments_are_written_and_read_as_everybody_does() {
        let mut moment = 0_i64;
        for step in 0..100_000 {
            moment = (moment + 1_234_567_891_011 + step) % 253_402_300_799_999;
            // Back to the beginning of the year 0; those before it have a sign.
            for millis in [moment, -(moment % 62_167_219_200_000)] {
                let time = Timestamp::from_timestamp_millis(millis).unwrap();
                let text = written_in_full(time);
                assert_eq!(written(time).as_ref(), Some(&text));
                assert_eq!(read(&text), Some(time), "{text}");
                assert_eq!(in_full(&text), Some(time), "{text}");
            }
        }
    }

    /// Each character of a moment in place of each other: what is read here, everybody reads so.
    #[test]
    fn nothing_is_read_here_that_others_read_otherwise() {
        let text = "2026-11-30T23:59:59.987Z";
        assert!(read(text).is_some());
        for at in 0..text.len() {
            for byte in 0..128 {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                if let Some(time) = read(&changed) {
                    assert_eq!(Some(time), in_full(&changed), "{changed}");
                }
            }
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_others() {
        for text in [
            "",
            "2026-11-30T23:59:59Z",
            "2026-11-30T23:59:59.9876Z",
            "2026-11-30T23:59:59.98+0Z",
            "2026-11-30 23:59:59.987Z",
            "2026-11-30T23:59:60.987Z",
            "2026-02-29T00:00:00.000Z",
            "2026-11-30T23:59:59.98ü",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// Finer ones are cut off, not rounded.
    #[test]
    fn a_moment_is_written_to_the_millisecond() {
        let fine = Timestamp::from_timestamp(1_800_000_000, 999_999_999).unwrap();
        assert_eq!(written(fine), Some(written_in_full(fine)));
    }

    #[test]
    fn moments_that_have_no_such_form_are_left_to_others() {
        let leap = Timestamp::from_timestamp(1_483_228_799, 1_500_000_000).unwrap();
        for time in [Timestamp::MIN_UTC, Timestamp::MAX_UTC, leap] {
            assert_eq!(written(time), None, "{time}");
        }
    }
}
