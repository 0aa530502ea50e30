//! The orderly end: take no new work, let jobs end for a moment, and write down what is left.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::engine::Engine;
use crate::core::jobs::Error;

/// For how long the store may take to write down what is left.
const LAST_WRITES: Duration = Duration::from_secs(5);

pub(super) async fn shutdown(engine: &Engine) -> Result<(), Error> {
    let local = &engine.local;
    engine.stopping.cancel();
    let drained = timeout(engine.settings.drain_grace, async {
        local.ready().await;
        all_work_done(engine).await;
    });
    let _ = drained.await;
    // From here on each supervisor writes down that its job was interrupted, and all of them do at once.
    engine.halted.cancel();
    let written = timeout(LAST_WRITES, async {
        all_work_done(engine).await;
        local.store.close().await
    });
    let written = written.await;
    let unwritten = engine.unwritten.load(Ordering::Relaxed);
    let missed = match written {
        // A store that cannot be closed either says nothing of the jobs.
        Ok(closed) if unwritten == 0 => return Ok(closed?),
        Ok(_) if unwritten == 1 => "the end of 1 job could not be written".to_owned(),
        Ok(_) => format!("the ends of {unwritten} jobs could not be written"),
        // The store keeps the name of this process: other processes account for the rest once this one has ended, and run no
        // work again that has not stopped.
        Err(_) => match local.live.count() + unwritten {
            0 => "the job store took too long to write everything down".to_owned(),
            1 => "1 job did not stop, or took too long to be written down".to_owned(),
            jobs => format!("{jobs} jobs did not stop, or took too long to be written down"),
        },
    };
    let why = engine.store_error().map(|why| format!(": {why}")).unwrap_or_default();
    Err(Error::NotDurable(format!("{missed}{why}")))
}

/// The longest time that a shutdown takes.
pub(super) fn longest_shutdown(engine: &Engine) -> Duration {
    engine.settings.drain_grace + LAST_WRITES
}

/// Waits until no job runs, no call is open, and no write is under way.
async fn all_work_done(engine: &Engine) {
    engine.local.in_flight.close();
    engine.local.in_flight.wait().await;
}
