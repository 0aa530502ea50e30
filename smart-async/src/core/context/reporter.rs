//! The handle by which a body reports its progress.

use std::sync::Arc;

use super::JobContext;
use crate::core::job::{Progress, ProgressTotal, ProgressValue};

/// Reports how far the current work has come. Cheap to clone; usable from any thread and any depth; each report costs
/// nanoseconds, so report as often as you like. Outside of any work it does nothing.
#[derive(Debug, Clone)]
pub struct ProgressReporter(Option<Arc<JobContext>>);

/// A handle to report the progress of the work that this code runs in.
pub fn progress() -> ProgressReporter {
    ProgressReporter(super::current())
}

impl ProgressReporter {
    pub(super) const fn new(context: Option<Arc<JobContext>>) -> Self {
        Self(context)
    }

    /// Reports that `current` of `total` is done, and what is being done.
    ///
    /// `total` is a number, or `()` or `None` where it is not known. An empty message is no message. Figures that are
    /// not finite are passed over; messages are cut to 1 KiB.
    #[inline]
    pub fn report(
        &self,
        current: impl ProgressValue,
        total: impl ProgressTotal,
        message: impl AsRef<str>,
    ) {
        if let Some(context) = &self.0 {
            context.progress.report(current.into_f64(), total.into_total(), Some(message.as_ref()));
        }
    }

    /// Reports that `current` of `total` is done, and leaves the message as it was.
    #[inline]
    pub fn count(&self, current: impl ProgressValue, total: impl ProgressTotal) {
        if let Some(context) = &self.0 {
            context.progress.report(current.into_f64(), total.into_total(), None);
        }
    }

    /// What was reported last, if anything was.
    pub fn last(&self) -> Option<Progress> {
        self.0.as_ref().and_then(|context| context.progress.read())
    }
}

/// The same handle as [`progress()`] as a plain closure, for code that takes callbacks: current, total, message.
pub fn create_progress_callback()
-> impl Fn(f64, Option<f64>, Option<&str>) + Clone + Send + Sync + 'static {
    let reporter = progress();
    move |current, total, message| {
        if let Some(context) = &reporter.0 {
            context.progress.report(current, total, message);
        }
    }
}
