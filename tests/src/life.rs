//! The lives of processes, within one.

use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

/// A process, as far as its jobs are concerned: what runs in it is dropped where it stands when it dies.
#[derive(Debug)]
pub struct Life(Runtime);

impl Life {
    /// A process that has just been started.
    #[expect(clippy::new_without_default, reason = "each life is another")]
    pub fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        Self(builder.worker_threads(1).enable_all().build().expect("a runtime should start"))
    }

    /// Does something in the process.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.0.spawn(work).await.expect("the work should not panic")
    }

    /// Ends without a word.
    pub async fn dies(self) {
        let died = spawn_blocking(move || drop(self.0)).await;
        died.expect("a runtime should end");
    }
}
