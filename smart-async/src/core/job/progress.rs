//! The progress of work: the value that is shown and stored, and the cell that a body reports into.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Notify;

use crate::core::sync::Mutex;
use crate::core::text;

/// Messages are cut to this many bytes, on a character boundary, when they are read.
const MESSAGE_BYTES: usize = 1024;

/// The progress of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// The amount that is done, in units of the work's own.
    #[serde(serialize_with = "plain_number")]
    pub current: f64,
    /// The amount that there is to do, where the work knows it.
    #[serde(default, serialize_with = "plain_total", skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// `current` of `total` in percent, from 0 to 100 with one decimal, where `total` is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    /// The message of the last report that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Progress {
    /// Progress from its figures; the percentage follows from them.
    pub fn new(current: f64, total: Option<f64>, message: Option<String>) -> Self {
        let percentage = total
            .filter(|total| *total > 0.0)
            .map(|total| ((current / total).clamp(0.0, 1.0) * 1000.0).round() / 10.0);
        Self { current, total, percentage, message }
    }
}

/// A number that progress can be reported in: every integer and float of the language.
#[diagnostic::on_unimplemented(
    message = "progress is reported in numbers, and `{Self}` is none",
    label = "not a number",
    note = "`report(current, total, text)` takes figures and text, `count(current, total)` figures alone, and `message(text)` text alone"
)]
pub trait ProgressValue: sealed::Sealed {
    /// The number as a float, the form in which progress is kept (exact up to 2^53).
    fn into_f64(self) -> f64;
}

/// The total that progress is reported against: a number, or `()` where it is not known, or an `Option` of a number.
#[diagnostic::on_unimplemented(
    message = "the total of a progress report is a number, or `()` where it is not known, and `{Self}` is neither",
    label = "not a total",
    note = "`report(current, total, text)` takes figures and text, `count(current, total)` figures alone, and `message(text)` text alone"
)]
pub trait ProgressTotal: sealed::Sealed {
    /// The number as a float, if it is known.
    fn into_total(self) -> Option<f64>;
}

/// The text of a progress report: `&str`, `String`, and all that can be seen as a `str`.
#[diagnostic::on_unimplemented(
    message = "the message of a progress report is text, and `{Self}` is none",
    label = "not text",
    note = "text is a `&str` or a `String`, such as `format!(\"day {{day}}\")`",
    note = "a report without text is `count(current, total)`"
)]
pub trait ProgressMessage {
    /// The text.
    fn as_text(&self) -> &str;
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<str> + ?Sized> ProgressMessage for T {
    #[inline]
    fn as_text(&self) -> &str {
        self.as_ref()
    }
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! progress_numbers {
    ($($number:ty)*) => {$(
        impl sealed::Sealed for $number {}
        impl ProgressValue for $number {
            #[inline]
            fn into_f64(self) -> f64 {
                self as f64
            }
        }
        impl ProgressTotal for $number {
            #[inline]
            fn into_total(self) -> Option<f64> {
                Some(self.into_f64())
            }
        }
    )*};
}
progress_numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

impl sealed::Sealed for () {}
impl ProgressTotal for () {
    #[inline]
    fn into_total(self) -> Option<f64> {
        None
    }
}

impl<N: ProgressValue> sealed::Sealed for Option<N> {}
#[diagnostic::do_not_recommend]
impl<N: ProgressValue> ProgressTotal for Option<N> {
    #[inline]
    fn into_total(self) -> Option<f64> {
        self.map(ProgressValue::into_f64)
    }
}

/// The cell that a body reports its progress into: a few atomics, so that a report costs nanoseconds from any thread.
///
/// A reader may see the `current` of one report with the `total` of the next; each number by itself is whole.
#[derive(Debug)]
pub(crate) struct ProgressCell {
    current: AtomicU64,
    /// NaN where no total is known.
    total: AtomicU64,
    reported: AtomicBool,
    /// Set by each report; cleared by the watch for work that reports nothing any more.
    fresh: AtomicBool,
    /// Set by each report; cleared by the supervisor when it takes the progress to the store.
    dirty: AtomicBool,
    /// Wakes the supervisor at the first report after the last one that it took.
    reports: Notify,
    message: Mutex<String>,
}

impl ProgressCell {
    pub(crate) fn new() -> Self {
        Self {
            current: AtomicU64::new(0),
            total: AtomicU64::new(f64::NAN.to_bits()),
            reported: AtomicBool::new(false),
            fresh: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            reports: Notify::const_new(),
            message: Mutex::new(String::new()),
        }
    }

    /// Takes a report. A `current` that is not finite is passed over.
    #[inline]
    pub(crate) fn report(&self, current: f64, total: Option<f64>, message: Option<&str>) {
        if !current.is_finite() {
            return;
        }
        let total = total.filter(|total| total.is_finite()).unwrap_or(f64::NAN);
        self.current.store(current.to_bits(), Ordering::Relaxed);
        self.total.store(total.to_bits(), Ordering::Relaxed);
        if let Some(message) = message {
            self.keep(message);
        }
        self.news();
    }

    /// Takes a report that has no figures: those of the last report stay, or 0 where there was none.
    pub(crate) fn report_message(&self, message: &str) {
        self.keep(message);
        self.news();
    }

    fn keep(&self, message: &str) {
        let mut kept = self.message.lock();
        kept.clear();
        let message = text::truncated(message, MESSAGE_BYTES);
        let is_kept = |letter: &char| matches!(letter, '\n' | '\t') || !text::is_unseen(*letter);
        kept.extend(message.chars().filter(is_kept));
    }

    #[inline]
    fn news(&self) {
        self.reported.store(true, Ordering::Release);
        self.fresh.store(true, Ordering::Relaxed);
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.reports.notify_one();
        }
    }

    /// The last report, if there was one.
    pub(crate) fn read(&self) -> Option<Progress> {
        if !self.reported.load(Ordering::Acquire) {
            return None;
        }
        let current = f64::from_bits(self.current.load(Ordering::Relaxed));
        let total = Some(f64::from_bits(self.total.load(Ordering::Relaxed)))
            .filter(|total| !total.is_nan());
        let message = self.message.lock();
        let message = (!message.is_empty()).then(|| message.clone());
        Some(Progress::new(current, total, message))
    }

    /// Returns whether there was a report since the last call.
    pub(crate) fn take_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed) && self.fresh.swap(false, Ordering::Relaxed)
    }

    /// The last report, if there was one since the last call.
    pub(crate) fn take_unsynced(&self) -> Option<Progress> {
        self.dirty.swap(false, Ordering::AcqRel).then(|| self.read()).flatten()
    }

    /// Waits until there is a report that was not taken.
    pub(crate) async fn unsynced(&self) {
        while !self.dirty.load(Ordering::Acquire) {
            self.reports.notified().await;
        }
    }

    /// Marks the report that was taken last as not stored.
    pub(crate) fn put_back(&self) {
        self.dirty.store(true, Ordering::Release);
    }
}

/// Writes 52.0 as `52`: people and agents count in whole numbers.
fn plain_number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // A whole number within 2^53 fits.
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

fn plain_total<S: Serializer>(total: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match total {
        Some(total) => plain_number(total, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(current: f64, total: Option<f64>) -> serde_json::Value {
        serde_json::to_value(Progress::new(current, total, None)).unwrap()
    }

    #[test]
    fn whole_numbers_are_written_without_a_point() {
        assert_eq!(
            progress(52.0, Some(100.0)).to_string(),
            r#"{"current":52,"percentage":52.0,"total":100}"#
        );
        assert_eq!(progress(0.5, None).to_string(), r#"{"current":0.5}"#);
    }

    #[test]
    fn a_percentage_stays_between_0_and_100_and_needs_a_total() {
        assert_eq!(Progress::new(5.0, Some(3.0), None).percentage, Some(100.0));
        assert_eq!(Progress::new(-5.0, Some(3.0), None).percentage, Some(0.0));
        assert_eq!(Progress::new(1.0, Some(3.0), None).percentage, Some(33.3));
        assert_eq!(Progress::new(1.0, Some(0.0), None).percentage, None);
        assert_eq!(Progress::new(1.0, None, None).percentage, None);
    }

    #[test]
    fn nothing_is_read_before_the_first_report() {
        assert_eq!(ProgressCell::new().read(), None);
    }

    #[test]
    fn a_report_is_taken_once_and_can_be_put_back() {
        let cell = ProgressCell::new();
        cell.report(1.0, Some(2.0), Some("half"));
        let taken = cell.take_unsynced();
        assert_eq!(taken, Some(Progress::new(1.0, Some(2.0), Some("half".into()))));
        assert_eq!(cell.take_unsynced(), None);
        cell.put_back();
        assert_eq!(cell.take_unsynced(), taken);
    }

    #[test]
    fn figures_that_are_not_finite_are_passed_over() {
        let cell = ProgressCell::new();
        cell.report(f64::NAN, Some(2.0), None);
        assert_eq!(cell.read(), None);
        cell.report(1.0, Some(f64::INFINITY), None);
        assert_eq!(cell.read(), Some(Progress::new(1.0, None, None)));
    }

    #[test]
    fn a_message_without_figures_keeps_the_last_ones() {
        let cell = ProgressCell::new();
        cell.report_message("opening");
        assert_eq!(
            cell.take_unsynced(),
            Some(Progress::new(0.0, None, Some("opening".to_owned())))
        );
        cell.report(1.0, Some(2.0), None);
        cell.report_message("closing");
        let closing = Progress::new(1.0, Some(2.0), Some("closing".to_owned()));
        assert_eq!(cell.take_unsynced(), Some(closing));
        cell.report_message("");
        assert_eq!(cell.take_unsynced(), Some(Progress::new(1.0, Some(2.0), None)));
    }

    #[test]
    fn a_long_message_is_cut_on_a_character_boundary() {
        let cell = ProgressCell::new();
        cell.report(1.0, None, Some(&"ü".repeat(1000)));
        let message = cell.read().unwrap().message.unwrap();
        assert!(message.len() <= MESSAGE_BYTES && message.starts_with("üü"), "{}", message.len());
    }
}
