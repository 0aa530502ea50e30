//! The limit on the size of files that a process may write (`ulimit -f`). A write beyond it fails like one to a full disk, but before
//! it fails the system sends SIGXFSZ, whose usual effect ends the process.

/// Lets the signal pass without effect, for as long as the process lives. A handler of the program's own is still called.
///
/// A handler is in place of `SIG_IGN`, because child processes would inherit that.
#[cfg(unix)]
pub(super) fn survive() {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Once};

    use signal_hook::consts::SIGXFSZ;

    use crate::core::observe;

    static HANDLED: Once = Once::new();
    HANDLED.call_once(|| {
        let never_read = Arc::new(AtomicBool::new(false));
        if let Err(error) = signal_hook::flag::register(SIGXFSZ, never_read) {
            observe::warn!(%error, "failed to handle SIGXFSZ; a file that reaches its limit ends the server");
        }
    });
}

/// This system has no such signal.
#[cfg(not(unix))]
pub(super) const fn survive() {}
