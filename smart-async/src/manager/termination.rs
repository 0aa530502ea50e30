//! SIGTERM: the manager is shut down, and then the process ends as the signal says.

use super::JobManager;

/// Listens for as long as the manager is there.
///
/// Whoever listens to SIGTERM in a process takes away its usual effect, so the effect is brought about at the end: the
/// parent sees a process that was ended by the signal, as it wanted.
#[cfg(unix)]
pub(super) fn listen(manager: &JobManager) {
    use signal_hook::consts::SIGTERM;
    use signal_hook::low_level::emulate_default_handler;
    use tokio::signal::unix::{SignalKind, signal};

    let weak = manager.downgrade();
    crate::observe::try_spawn(async move {
        let mut terminations = match signal(SignalKind::terminate()) {
            Ok(terminations) => terminations,
            Err(error) => {
                return tracing::warn!(%error, "failed to listen for SIGTERM; it ends the server at once");
            }
        };
        if terminations.recv().await.is_none() {
            return;
        }
        if let Some(manager) = weak.upgrade() {
            tokio::select! {
                ended = manager.shutdown() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "failed to write everything down before the end");
                    }
                }
                // Whoever asks twice does not want to wait.
                _ = terminations.recv() => {}
            }
        }
        if let Err(error) = emulate_default_handler(SIGTERM) {
            tracing::error!(%error, "failed to end as SIGTERM says");
        }
    });
}

/// There is no SIGTERM here.
#[cfg(not(unix))]
pub(super) fn listen(_: &JobManager) {}
