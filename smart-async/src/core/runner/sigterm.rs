//! SIGTERM: the manager is shut down, and then the process ends as the signal says.

use crate::core::manager::JobManager;
use crate::core::observe;

/// Listens for as long as the process lives.
///
/// Whoever listens to SIGTERM in a process takes away its usual effect, so the effect is brought about at the end: the
/// parent sees a process that was ended by the signal, as it wanted. A thread of its own listens, because the process has
/// to end also where every thread of the runtime is held by a body, or the runtime is gone.
#[cfg(unix)]
pub(in crate::core) fn listen(manager: &JobManager) {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;
    use tokio::runtime::Handle;

    /// How often the listener looks for a second signal while it waits.
    const LOOK: Duration = Duration::from_millis(20);
    /// What may be added to the time that a shutdown takes at most.
    const MARGIN: Duration = Duration::from_secs(1);

    let Ok(runtime) = Handle::try_current() else { return };
    let mut signals = match Signals::new([SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            return observe::warn!(%error, "failed to listen for SIGTERM; it ends the server at once");
        }
    };
    let weak = manager.downgrade();
    let patience = manager.longest_shutdown() + MARGIN;
    let listen = move || {
        if signals.forever().next().is_none() {
            return;
        }
        if let Some(manager) = weak.upgrade() {
            let (done, ended) = mpsc::channel();
            let began = Instant::now();
            runtime.spawn(async move {
                if let Err(error) = manager.shutdown().await {
                    observe::error!(%error, "failed to write everything down before the end");
                }
                let _ = done.send(());
            });
            // Whoever asks twice does not want to wait; and where the runtime is gone, nobody answers.
            while began.elapsed() < patience
                && matches!(ended.recv_timeout(LOOK), Err(mpsc::RecvTimeoutError::Timeout))
                && signals.pending().next().is_none()
            {}
        }
        if let Err(error) = emulate_default_handler(SIGTERM) {
            observe::error!(%error, "failed to end as SIGTERM says");
        }
    };
    if let Err(error) =
        std::thread::Builder::new().name("smart-async-sigterm".to_owned()).spawn(listen)
    {
        observe::warn!(%error, "failed to listen for SIGTERM");
    }
}

/// There is no SIGTERM here.
#[cfg(not(unix))]
pub(in crate::core) fn listen(_: &JobManager) {}
