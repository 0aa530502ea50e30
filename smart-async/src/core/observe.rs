//! `SMART_ASYNC_DEBUG=true`: shows our spans and events, and those of the bodies, on stderr, where the program has set
//! no subscriber of its own. It never becomes the global subscriber, so the program may still set one later.

use std::sync::LazyLock;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Dispatch;
use tracing::dispatcher::get_default;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::core::env_vars;

static ON_STDERR: LazyLock<Option<Dispatch>> = LazyLock::new(|| {
    env_vars::switch(&env_vars::process, env_vars::DEBUG).then(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .finish();
        Dispatch::new(subscriber)
    })
});

/// Where the events of what is started here have to go: to stderr, if somebody wants to see them and nobody else shows
/// them; where they go already, if they do. `None` where nobody asked for anything.
pub(crate) fn destination() -> Option<Dispatch> {
    let on_stderr = ON_STDERR.as_ref()?;
    Some(get_default(|current| {
        if current.is::<NoSubscriber>() { on_stderr.clone() } else { current.clone() }
    }))
}

/// Makes of a future one whose events are seen, for whoever else spawns it.
pub(crate) fn seen<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let dispatch = destination();
    async move {
        match dispatch {
            Some(dispatch) => future.with_subscriber(dispatch).await,
            None => future.await,
        }
    }
}

/// Spawns `future` where its events are seen.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match destination() {
        Some(dispatch) => tokio::spawn(future.with_subscriber(dispatch)),
        None => tokio::spawn(future),
    }
}

/// Makes of a closure for another thread one whose events are seen.
pub(crate) fn carried<R>(function: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let destination = destination();
    move || match destination {
        Some(dispatch) => tracing::dispatcher::with_default(&dispatch, function),
        None => function(),
    }
}

/// As [`spawn`], from where there may be no runtime any more; then nothing happens.
pub(crate) fn try_spawn(future: impl Future<Output = ()> + Send + 'static) {
    // Through the handle: a runtime that ends drops what is spawned while it holds its own context.
    if let Ok(runtime) = Handle::try_current() {
        match destination() {
            Some(dispatch) => runtime.spawn(future.with_subscriber(dispatch)),
            None => runtime.spawn(future),
        };
    }
}
