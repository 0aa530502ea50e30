//! Processes that run jobs, within the test's own process.

use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

/// A runtime that stands for a process: killing it drops everything that runs on it at its next `await`.
#[derive(Debug)]
pub struct SimulatedProcess(Runtime);

impl SimulatedProcess {
    /// A process that has just started.
    #[expect(clippy::new_without_default, reason = "each process is another")]
    pub fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        Self(builder.worker_threads(1).enable_all().build().expect("a runtime should start"))
    }

    /// Runs `work` in the process.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.0.spawn(work).await.expect("the work should not panic")
    }

    /// Ends the process without a shutdown.
    pub async fn kill(self) {
        let killed = spawn_blocking(move || drop(self.0)).await;
        killed.expect("a runtime should end");
    }
}
