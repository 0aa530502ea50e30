//! `SMART_ASYNC_DEBUG=true`: the spans and events of calls, of jobs and of bodies on stderr.
//!
//! Bodies run in tasks and threads of their own, so this needs the global subscriber. [`set_up`] installs it at the first
//! request, call or submitted job, after a program has usually set its own, and keeps one that is set already.

use std::sync::Once;

use tracing::dispatcher::set_global_default;
use tracing::{Dispatch, Level, Metadata};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::core::env_vars;
use crate::core::observe::on_stderr;

/// Installs the subscriber of `SMART_ASYNC_DEBUG`, where the variable is on and the program has set no global subscriber, and reports
/// variables of the library whose names or values are wrong.
///
/// Only the first call in a process has an effect. A program that sets a global subscriber later is told by `tracing` that
/// there is one already.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if env_vars::switch(&env_vars::process, env_vars::DEBUG) {
            let filter = dynamic_filter_fn(is_shown).with_max_level_hint(Level::DEBUG);
            let _ = set_global_default(Dispatch::new(on_stderr(Level::DEBUG).with(filter)));
        }
        env_vars::report_faults();
    });
}

/// Returns whether a span or event is the library's, or was made within one of its spans, as those of a body are.
///
/// The SDK's own are not: they hold whole messages, with the arguments and results that `redact` keeps out of logs.
fn is_shown<S>(metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let is_own =
        |metadata: &Metadata<'_>| metadata.target().split("::").next() == Some("smart_async");
    is_own(metadata)
        || context
            .lookup_current()
            .is_some_and(|span| span.scope().any(|span| is_own(span.metadata())))
}
