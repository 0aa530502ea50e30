//! The library's events and spans. All of them go through here, so that a subscriber of the program that panics ends no thread and
//! no task of the library: the event is lost.
//!
//! Warnings and errors reach stderr without set-up: where the thread has no subscriber, the macros install one for the one event
//! only. They never become the global subscriber, so a program may set its own at any time; from then on, that one receives the
//! events. On stderr a failure that lasts is told once.

mod repeats;
mod span;
mod stderr;

use std::sync::LazyLock;

use tracing::dispatcher::{get_default, with_default};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use self::repeats::Repeats;
use self::stderr::StderrLines;
use crate::core::shield;

/// [`tracing::warn!`] that reaches stderr where the program has set no subscriber.
macro_rules! warn_operator {
    ($($event:tt)*) => { $crate::core::observe::emit(|| ::tracing::warn!($($event)*)) };
}

/// [`tracing::error!`] that reaches stderr where the program has set no subscriber.
macro_rules! error_operator {
    ($($event:tt)*) => { $crate::core::observe::emit(|| ::tracing::error!($($event)*)) };
}

/// [`tracing::info!`] past a subscriber that panics.
macro_rules! shielded_info {
    ($($event:tt)*) => { $crate::core::observe::shielded(|| ::tracing::info!($($event)*)) };
}

/// [`tracing::debug!`] past a subscriber that panics.
macro_rules! shielded_debug {
    ($($event:tt)*) => { $crate::core::observe::shielded(|| ::tracing::debug!($($event)*)) };
}

pub(crate) use self::span::Span;
pub(crate) use {
    error_operator as error, shielded_debug as debug, shielded_info as info, warn_operator as warn,
};

/// Runs `event`, which emits one event, under a subscriber that writes to stderr where this thread has none.
pub(crate) fn emit(event: impl FnOnce()) {
    static WARNINGS: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(on_stderr(Level::WARN).with(Repeats::default())));
    shielded(|| {
        if get_default(|current| current.is::<NoSubscriber>()) {
            with_default(&WARNINGS, event);
        } else {
            event();
        }
    });
}

/// Runs `event`, which emits one event. A panic of the subscriber loses the event alone.
pub(crate) fn shielded(event: impl FnOnce()) {
    let _ = shield::shielded(event);
}

/// A subscriber that writes to stderr what is of this level or a graver one.
pub(crate) fn on_stderr(
    level: Level,
) -> impl tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| StderrLines)
        .with_ansi(false)
        // A subscriber that complains of a closed stderr would panic, since it complains there.
        .log_internal_errors(false)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::NamedTempFile;

    use super::*;

    fn has_subscriber() -> bool {
        get_default(|current| !current.is::<NoSubscriber>())
    }

    #[test]
    fn a_warning_without_a_subscriber_leaves_the_program_free_to_set_one() {
        warn!("a warning of a test");
        assert!(!has_subscriber());
    }

    #[test]
    fn a_warning_goes_to_the_subscriber_of_the_program() {
        let log = NamedTempFile::new().unwrap();
        let own = tracing_subscriber::fmt().with_ansi(false).with_writer(log.reopen().unwrap());
        with_default(&Dispatch::new(own.finish()), || error!(job_id = 7, "failed to bake"));
        let text = std::fs::read_to_string(log.path()).unwrap();
        assert!(
            text.contains("ERROR smart_async::core::observe")
                && text.contains("failed to bake job_id=7"),
            "{text}"
        );
    }

    #[test]
    fn a_subscriber_that_panics_loses_events_and_spans_and_nothing_else() {
        let panicking = Dispatch::new(Panicking::default());
        let ran = with_default(&panicking, || {
            error!("lost");
            debug!("lost");
            let span = Span::new(|| tracing::debug_span!("lost", field = tracing::field::Empty));
            span.record("field", 1);
            drop(Span::current());
            span.in_scope(|| 7)
        });
        assert_eq!(ran, 7);
        for panics_from in 0..20 {
            let panicking = Dispatch::new(Panicking { calls: 0.into(), panics_from });
            with_default(&panicking, || {
                let mut future = Box::pin(
                    Span::new(|| tracing::debug_span!("span")).around(std::future::pending::<()>()),
                );
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(future.as_mut().poll(&mut context).is_pending());
            });
        }
    }

    /// Panics at each call from one on.
    #[derive(Default)]
    struct Panicking {
        calls: std::sync::atomic::AtomicUsize,
        panics_from: usize,
    }

    impl Panicking {
        fn called(&self) {
            let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(call < self.panics_from, "a subscriber of a test panics");
        }
    }

    impl tracing::Subscriber for Panicking {
        // A panic in here would poison the registry that all tests of the process share.
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            self.called();
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {
            self.called();
        }
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.called();
        }
        fn enter(&self, _: &tracing::span::Id) {
            self.called();
        }
        fn exit(&self, _: &tracing::span::Id) {
            self.called();
        }
        fn try_close(&self, _: tracing::span::Id) -> bool {
            self.called();
            true
        }
    }

    /// An event of `tracing` itself would not reach stderr, and a subscriber that panics would end the thread.
    #[test]
    fn no_other_file_writes_events_past_these_macros() {
        fn visit(folder: &Path) {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path);
                } else if !path.ends_with("core/observe.rs") && !path.ends_with("observe/span.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let direct = [
                        "tracing::warn!",
                        "tracing::error!",
                        "tracing::info!",
                        "tracing::debug!",
                        "tracing::trace!",
                        "tracing::event!",
                        "tracing::Span",
                        "Instrument",
                    ];
                    assert!(
                        !direct.iter().any(|direct| text.contains(direct)),
                        "{}",
                        path.display()
                    );
                }
            }
        }
        visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    }
}
