//! The one wait for a run: a new call waits for its body, a joined call for the run that it shares, and a resumed round for its
//! job.

use std::pin::Pin;

use tokio::time::Instant;

use super::caller::Caller;
use crate::core::clock::past;
use crate::core::manager::JobManager;

/// Why a wait for a run ended.
pub(crate) enum Wake<T> {
    /// The run returned this.
    Ended(T),
    /// The time of the wait is over.
    TimeOver,
    /// The body asks a question that only a job can bring to those who answer.
    Asks,
    CallerLeft,
    /// The server is ending.
    Halted,
}

/// Waits for `run`: until `until` at most, for as long as the caller is there and the server goes on, and until `asks`.
/// Where several of these have happened by the time the task has its turn, the departure of the caller counts first: a result
/// that is answered to a caller that is gone is lost, and as the result of a job it is kept. Then the end of the run counts.
/// Both futures are pinned by the caller, because an async fn holds its arguments twice.
pub(crate) async fn wait_for_run<T>(
    run: Pin<&mut impl Future<Output = T>>,
    caller: &Caller,
    manager: Option<&JobManager>,
    until: Option<Instant>,
    asks: Pin<&mut impl Future<Output = ()>>,
) -> Wake<T> {
    tokio::select! {
        biased;
        () = caller.left() => Wake::CallerLeft,
        ended = run => Wake::Ended(ended),
        () = halted(manager) => Wake::Halted,
        () = past(until) => Wake::TimeOver,
        () = asks => Wake::Asks,
    }
}

async fn halted(manager: Option<&JobManager>) {
    match manager {
        Some(manager) => manager.runner().halted().await,
        None => std::future::pending().await,
    }
}
