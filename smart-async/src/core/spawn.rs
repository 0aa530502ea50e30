//! Spawning from code that may run outside of a runtime, such as `Drop`.

use tokio::runtime::Handle;

/// Spawns `future` on the current runtime; does nothing where there is none, or where it has shut down.
pub(crate) fn try_spawn(future: impl Future<Output = ()> + Send + 'static) {
    // `tokio::spawn` would hold the runtime's context while a runtime that shuts down drops `future`, whose own destructor may
    // spawn in turn. A handle does not hold it.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(future);
    }
}
