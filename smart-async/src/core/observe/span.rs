//! Spans of the program's `tracing` subscriber. A subscriber that panics loses the span, and the code within the span runs all the
//! same.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::field::Value;
use tracing::level_filters::LevelFilter;

use crate::core::shield::shielded;

/// A span, or none where the subscriber wants none.
#[derive(Debug, Default)]
pub(crate) struct Span(Option<tracing::Span>);

impl Span {
    /// The span that `make` makes.
    pub(crate) fn new(make: impl FnOnce() -> tracing::Span) -> Self {
        Self(shielded(make).ok().filter(|span| !span.is_disabled()))
    }

    /// The span that this thread is in.
    pub(crate) fn current() -> Self {
        // Without a subscriber in the process no thread is in a span.
        if LevelFilter::current() == LevelFilter::OFF {
            return Self(None);
        }
        Self::new(tracing::Span::current)
    }

    /// Returns whether no subscriber wants the span.
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Records the value of a field.
    pub(crate) fn record(&self, field: &str, value: impl Value) -> &Self {
        if let Some(span) = &self.0 {
            let _ = shielded(|| span.record(field, value));
        }
        self
    }

    /// Has the thread be in the span until the guard is dropped.
    #[inline]
    fn enter(&self) -> Entered<'_> {
        Entered(self.0.as_ref().and_then(|span| shielded(|| span.enter()).ok()))
    }

    /// Runs a function within the span.
    pub(crate) fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
        let _entered = self.enter();
        run()
    }

    /// Has a future run, and be dropped, within the span.
    pub(crate) const fn around<F>(self, future: F) -> InSpan<F> {
        InSpan { future: Some(future), span: self }
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            let _ = shielded(|| drop(span));
        }
    }
}

/// The thread is in a span until this is dropped.
struct Entered<'a>(Option<tracing::span::Entered<'a>>);

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(entered) = self.0.take() {
            let _ = shielded(|| drop(entered));
        }
    }
}

pin_project! {
    /// A future within a span; see [`Span::around`].
    pub(crate) struct InSpan<F> {
        // `None` once it is being dropped.
        #[pin]
        future: Option<F>,
        span: Span,
    }

    impl<F> PinnedDrop for InSpan<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.span.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        match this.future.as_pin_mut() {
            Some(future) => future.poll(context),
            None => Poll::Pending,
        }
    }
}
