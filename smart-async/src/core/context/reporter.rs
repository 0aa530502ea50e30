//! The handle by which a body reports its progress.

use std::sync::Arc;

use super::JobContext;
use crate::core::job::{Progress, ProgressMessage, ProgressTotal, ProgressValue};

/// Reports the progress of the current work. Cheap to clone; usable from any thread and any depth. A report costs
/// nanoseconds, so a body may report as often as it likes. Outside of any work a report does nothing.
#[derive(Debug, Clone)]
pub struct ProgressReporter(Option<Arc<JobContext>>);

/// Returns a handle that reports the progress of the work that this code runs in.
pub fn progress() -> ProgressReporter {
    ProgressReporter(super::current())
}

impl ProgressReporter {
    pub(super) const fn new(context: Option<Arc<JobContext>>) -> Self {
        Self(context)
    }

    /// Reports that `current` of `total` is done, with a message.
    ///
    /// `total` is a number, or `()` where it is not known, or an `Option` of a number; of a bare `None` the compiler does not know
    /// which. An empty message is no message. Figures that are
    /// not finite are ignored; messages are cut to 1 KiB.
    #[inline]
    pub fn report(
        &self,
        current: impl ProgressValue,
        total: impl ProgressTotal,
        message: impl ProgressMessage,
    ) {
        if let Some(context) = &self.0 {
            context.progress.report(
                current.into_f64(),
                total.into_total(),
                Some(message.as_text()),
            );
        }
    }

    /// Reports a message, and leaves the figures as they were: 0 without a total where none were reported.
    ///
    /// An empty message removes the last one; messages are cut to 1 KiB.
    #[inline]
    pub fn message(&self, message: impl ProgressMessage) {
        if let Some(context) = &self.0 {
            context.progress.report_message(message.as_text());
        }
    }

    /// Reports that `current` of `total` is done, and leaves the message as it was.
    #[inline]
    pub fn count(&self, current: impl ProgressValue, total: impl ProgressTotal) {
        if let Some(context) = &self.0 {
            context.progress.report(current.into_f64(), total.into_total(), None);
        }
    }

    /// The last report, if there was one.
    pub fn last(&self) -> Option<Progress> {
        self.0.as_ref().and_then(|context| context.progress.read())
    }
}

/// Returns the handle of [`progress()`] as a closure of current, total and message, for code that takes callbacks.
pub fn create_progress_callback()
-> impl Fn(f64, Option<f64>, Option<&str>) + Clone + Send + Sync + 'static {
    let reporter = progress();
    move |current, total, message| {
        if let Some(context) = &reporter.0 {
            context.progress.report(current, total, message);
        }
    }
}
