//! SIGTERM: the runner is shut down, and then the process ends by the signal.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::observe;

/// Starts a shutdown; `None` where the runner is gone.
pub(super) type StartShutdown = Box<dyn FnOnce() -> Option<BoxFuture<'static, ()>> + Send>;

/// Listens for as long as the process lives. A shutdown takes `longest` at most.
///
/// A handler for SIGTERM takes away the signal's usual effect. So the listener brings that effect about at the end, and the
/// parent sees a process that was ended by the signal, as it requested. The listener is a thread of its own, because the process
/// has to end also where bodies hold every thread of the runtime, or the runtime is gone.
#[cfg(unix)]
pub(super) fn listen(shutdown: StartShutdown, longest: Duration) {
    use std::sync::mpsc;
    use std::time::Instant;

    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use tokio::runtime::Handle;

    /// How often the listener looks for a second signal while it waits.
    const LOOK: Duration = Duration::from_millis(20);
    /// The margin that is added to the time that a shutdown takes at most.
    const MARGIN: Duration = Duration::from_secs(1);

    let Ok(runtime) = Handle::try_current() else { return };
    let mut signals = match Signals::new([SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            return observe::warn!(%error, "failed to listen for SIGTERM; it ends the server at once");
        }
    };
    let patience = longest + MARGIN;
    let listen = move || {
        if signals.forever().next().is_none() {
            return;
        }
        if let Some(shutdown) = shutdown() {
            let (done, ended) = mpsc::channel();
            let began = Instant::now();
            runtime.spawn(async move {
                shutdown.await;
                let _ = done.send(());
            });
            // A second signal ends the wait; and where the runtime is gone, no answer comes.
            while began.elapsed() < patience
                && matches!(ended.recv_timeout(LOOK), Err(mpsc::RecvTimeoutError::Timeout))
                && signals.pending().next().is_none()
            {}
        }
        if let Err(error) = emulate_default_handler(SIGTERM) {
            observe::error!(%error, "failed to end the process by SIGTERM");
        }
    };
    if let Err(error) =
        std::thread::Builder::new().name("smart-async-sigterm".to_owned()).spawn(listen)
    {
        observe::warn!(%error, "failed to listen for SIGTERM");
    }
}

/// This system has no SIGTERM.
#[cfg(not(unix))]
pub(super) fn listen(_: StartShutdown, _: Duration) {}
