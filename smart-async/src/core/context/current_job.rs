//! The handle by which a body sees the call or job that it runs in, and carries it into the tasks that it spawns.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::reporter::ProgressReporter;
use super::{CONTEXT, JobContext, current};
use crate::core::job::JobId;

/// The call or job that this code runs in. Cheap to clone, and usable from any thread.
#[derive(Debug, Clone)]
pub struct CurrentJob(Arc<JobContext>);

/// Returns the call or job that this code runs in; `None` outside of annotated functions and submitted jobs.
///
/// The body's own task knows it; tasks that the body spawns know it by [`carry`].
pub fn current_job() -> Option<CurrentJob> {
    current().map(CurrentJob)
}

impl CurrentJob {
    pub(crate) const fn new(context: Arc<JobContext>) -> Self {
        Self(context)
    }

    /// The id that this work has, or will have if it becomes a job.
    ///
    /// Work that ends within its budget never becomes a job; then no caller ever sees the id.
    pub fn id(&self) -> JobId {
        self.0.id()
    }

    /// The number of this run: 1, or more where the work runs again after the end of its server (`restart = "rerun"`). The
    /// [`id`](Self::id) stays the same, so a body can use it as the key of effects that an earlier run had already.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The name of the tool, or of the kind of work.
    pub fn tool(&self) -> &str {
        &self.0.tool
    }

    /// A handle to report progress with.
    pub fn progress(&self) -> ProgressReporter {
        ProgressReporter::new(Some(Arc::clone(&self.0)))
    }

    /// Returns whether this work was requested to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancellation.tells()
    }

    /// Waits until this work is requested to stop.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn cancelled(&self) {
        self.0.cancellation.told().await;
    }

    /// The token that is cancelled when this work is requested to stop, for code that takes one.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.0.cancellation.give_token()
    }

    /// Runs `future` as part of this work, in whichever task it is polled.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CONTEXT.scope(Arc::clone(&self.0), future)
    }

    /// Runs `function` as part of this work, on the calling thread.
    pub fn scope_blocking<R>(&self, function: impl FnOnce() -> R) -> R {
        CONTEXT.sync_scope(Arc::clone(&self.0), function)
    }
}

/// Carries the current work into a future that is about to be spawned:
/// `tokio::spawn(smart_async::carry(async { … }))`. Outside of any work, the future runs as it is.
pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let current = current_job();
    async move {
        match current {
            Some(current) => current.scope(future).await,
            None => future.await,
        }
    }
}

/// Carries the current work into a closure for another thread:
/// `tokio::task::spawn_blocking(smart_async::carry_blocking(|| { … }))`.
pub fn carry_blocking<R>(function: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let current = current_job();
    move || match current {
        Some(current) => current.scope_blocking(function),
        None => function(),
    }
}

/// Returns whether the work that this code runs in was requested to stop; false outside of any work.
pub fn is_cancelled() -> bool {
    CONTEXT.try_with(|context| context.cancellation.tells()).unwrap_or(false)
}

/// Waits until the work that this code runs in is requested to stop. Outside of any work, it waits for ever.
///
/// # Cancel safety
/// Dropping the future loses nothing.
pub async fn cancelled() {
    match current_job() {
        Some(current) => current.cancelled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::context::reporter::{create_progress_callback, progress};
    use crate::core::job::Progress;

    fn context() -> Arc<JobContext> {
        Arc::new(JobContext::new("test", None))
    }

    #[tokio::test]
    async fn outside_of_any_work_nothing_happens_and_nothing_breaks() {
        assert!(current_job().is_none() && !is_cancelled());
        progress().report(1, 2, "x");
        create_progress_callback()(1.0, None, None);
        assert_eq!(progress().last(), None);
        assert_eq!(carry(async { 7 }).await, 7);
        assert_eq!(carry_blocking(|| 8)(), 8);
        let waited = tokio::time::timeout(Duration::ZERO, cancelled()).await;
        assert!(waited.is_err(), "nothing cancels code outside of any work");
    }

    #[tokio::test]
    async fn a_body_sees_its_work_and_carries_it_into_its_own_tasks() {
        let context = context();
        let id = context.id();
        let seen = context.run(Box::pin(async {
            let spawned =
                tokio::spawn(carry(async { current_job().map(|job| job.id()) })).await.unwrap();
            let blocking = tokio::task::spawn_blocking(carry_blocking(|| {
                progress().report(3, 4, "from a thread");
                current_job().map(|job| job.id())
            }));
            let not_carried =
                tokio::spawn(async { current_job().map(|job| job.id()) }).await.unwrap();
            (current_job().map(|job| job.id()), spawned, blocking.await.unwrap(), not_carried)
        }));
        assert_eq!(seen.await, (Some(id), Some(id), Some(id), None));
        assert_eq!(
            context.progress.read(),
            Some(Progress::new(3.0, Some(4.0), Some("from a thread".into())))
        );
    }

    #[tokio::test]
    async fn a_callback_works_from_a_bare_thread() {
        let context = context();
        context
            .run(Box::pin(async {
                let callback = create_progress_callback();
                std::thread::spawn(move || callback(5.0, Some(10.0), Some("half"))).join().unwrap();
                assert_eq!(progress().last().and_then(|progress| progress.percentage), Some(50.0));
                progress().count(6u8, None::<u64>);
                assert_eq!(
                    progress().last().and_then(|progress| progress.message),
                    Some("half".to_owned())
                );
            }))
            .await;
    }

    #[tokio::test]
    async fn cancellation_reaches_the_body() {
        let context = context();
        let body = context.run(Box::pin(async {
            cancelled().await;
            is_cancelled()
        }));
        context.cancellation.cancel();
        assert!(body.await);
    }
}
