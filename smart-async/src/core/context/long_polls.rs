//! Bodies that compute without an await, and so hold up everybody else.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::CONTEXT;
use crate::core::observe;

/// A poll that takes longer than this holds a worker thread that others wait for.
const LONG_POLL: Duration = Duration::from_secs(1);

pin_project_lite::pin_project! {
    /// A body, of which it is said once where it holds its thread. An `async` block around it would take twice its room: once
    /// for what is moved in, and once for what is polled.
    pub(super) struct Watched<F> {
        #[pin]
        body: F,
    }
}

impl<F> Watched<F> {
    pub(super) const fn new(body: F) -> Self {
        Self { body }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = Instant::now();
        let polled = self.project().body.poll(context);
        let took = began.elapsed();
        if took > LONG_POLL {
            warn(took);
        }
        polled
    }
}

fn warn(took: Duration) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if WARNED.swap(true, Ordering::Relaxed) {
        return;
    }
    let tool = CONTEXT.try_with(|context| context.tool.to_string()).unwrap_or_else(|_| "?".into());
    observe::warn!(
        %tool, seconds = took.as_secs_f64(),
        "the body held its thread without an await; annotate it with `blocking`, or use spawn_blocking in it"
    );
}
