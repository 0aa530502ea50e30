//! The orderly end: take no new work, let jobs end for a moment, and write down what is left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::engine::Engine;
use crate::core::jobs::Error;
use crate::core::local::LiveJob;

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
    let (missed, slow) = match written {
        // A store that cannot be closed either says nothing of the jobs.
        Ok(closed) if unwritten == 0 => return Ok(closed?),
        Ok(_) => (unwritten, "could not be written"),
        // The store keeps the name of this process: other processes account for the rest once this one has ended, and run no
        // work again that has not stopped.
        Err(_) => {
            let (running, ended): (Vec<_>, _) =
                local.live.all().into_iter().partition(|job| job.is_working());
            if !running.is_empty() {
                return Err(Error::StillRunning(still_running(&running)));
            }
            (ended.len() + unwritten, "took too long to be written")
        }
    };
    let missed = match missed {
        0 => "the job store took too long to write everything down".to_owned(),
        1 => format!("the end of 1 job {slow}"),
        jobs => format!("the ends of {jobs} jobs {slow}"),
    };
    let why = engine.store_error().map(|why| format!(": {why}")).unwrap_or_default();
    Err(Error::NotDurable(format!("{missed}{why}")))
}

/// Names the jobs whose work did not stop, and says what it would have had to do.
fn still_running(jobs: &[Arc<LiveJob>]) -> String {
    const SHOWN: usize = 3;
    let name = |job: &Arc<LiveJob>| format!("{} (job {})", job.context.tool, job.id());
    let mut names = jobs.iter().take(SHOWN).map(name).collect::<Vec<_>>().join(", ");
    if jobs.len() > SHOWN {
        names.push_str(&format!(" and {} more", jobs.len() - SHOWN));
    }
    let advice = match jobs.iter().all(|job| job.context.turn.is_on_thread()) {
        true => "a blocking body must ask smart_async::is_cancelled() now and then, and return",
        false => {
            "a body must not hold its thread between two `.await`s; a blocking one must ask \
             smart_async::is_cancelled() now and then, and return"
        }
    };
    format!("{names} did not stop; {advice}")
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
