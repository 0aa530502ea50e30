//! A warning for bodies that compute without an await, and so keep a worker thread from all other tasks.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::core::observe;

/// The longest poll of a body that is no reason for a warning.
const LONG_POLL: Duration = Duration::from_secs(1);

/// Runs a body of `tool`, and warns once per process where a poll takes long.
pub(super) fn warn_of_long_polls<F: Future>(
    tool: Cow<'static, str>,
    mut body: Pin<Box<F>>,
) -> impl Future<Output = F::Output> + use<F> {
    poll_fn(move |context| {
        let began = Instant::now();
        let polled = body.as_mut().poll(context);
        let took = began.elapsed();
        if took > LONG_POLL {
            warn(&tool, took);
        }
        polled
    })
}

fn warn(tool: &str, took: Duration) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if WARNED.swap(true, Ordering::Relaxed) {
        return;
    }
    observe::warn!(
        %tool, seconds = took.as_secs_f64(),
        "the body held its thread without an await; annotate it with `blocking`, or use spawn_blocking in it"
    );
}
