//! Warnings and errors on stderr in a program that has set no `tracing` subscriber.
//!
//! The library writes all of them with `observe::warn!` and `observe::error!`, so that they reach stderr without set-up. Where
//! the thread has no subscriber, these macros install one for the one event only. They never become the global subscriber,
//! so a program may set its own at any time; from then on, that one receives the events.

use std::sync::LazyLock;

use tracing::dispatcher::{get_default, with_default};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level};
use tracing_subscriber::registry::LookupSpan;

/// [`tracing::warn!`] that reaches stderr where the program has set no subscriber.
macro_rules! warn_operator {
    ($($event:tt)*) => { $crate::core::observe::emit(|| ::tracing::warn!($($event)*)) };
}

/// [`tracing::error!`] that reaches stderr where the program has set no subscriber.
macro_rules! error_operator {
    ($($event:tt)*) => { $crate::core::observe::emit(|| ::tracing::error!($($event)*)) };
}

pub(crate) use {error_operator as error, warn_operator as warn};

/// Runs `event`, which emits one event, under a subscriber that writes to stderr where this thread has none.
pub(crate) fn emit(event: impl FnOnce()) {
    static WARNINGS: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(on_stderr(Level::WARN)));
    if get_default(|current| current.is::<NoSubscriber>()) {
        with_default(&WARNINGS, event);
    } else {
        event();
    }
}

/// A subscriber that writes to stderr what is of this level or a graver one.
pub(crate) fn on_stderr(
    level: Level,
) -> impl tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A subscriber that complains of a closed stderr would panic, since it complains there.
        .log_internal_errors(false)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

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
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(text);
                Ok(text.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let own = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        with_default(&Dispatch::new(own.finish()), || error!(job_id = 7, "failed to bake"));
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("ERROR smart_async::core::observe")
                && text.contains("failed to bake job_id=7"),
            "{text}"
        );
    }

    /// An event of `tracing::warn!` would not reach stderr.
    #[test]
    fn no_other_file_writes_warnings_past_these_macros() {
        fn visit(folder: &Path) {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path);
                } else if !path.ends_with("core/observe.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let direct = ["tracing::warn!", "tracing::error!"];
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
