//! One answer for many that ask at once: those that wait while an earlier request is under way share the answer of the next one, since it
//! begins after all of them have asked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::sync::Mutex;

#[derive(Debug, Default)]
pub(super) struct SharedAnswer<T> {
    turn: tokio::sync::Mutex<()>,
    /// How many requests have begun.
    begun: AtomicU64,
    /// The number of the last request that was answered, and its answer.
    last: Mutex<(u64, T)>,
}

impl<T: Clone> SharedAnswer<T> {
    /// The answer of a request that begins after this call, be it this `request` or another caller's.
    ///
    /// # Cancel safety
    /// Dropping the future drops its own request; the next in turn makes one.
    pub(super) async fn of(&self, request: impl Future<Output = T>) -> T {
        let asked = self.begun.load(Ordering::SeqCst);
        let _turn = self.turn.lock().await;
        {
            let last = self.last.lock();
            if last.0 > asked {
                return last.1.clone();
            }
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = request.await;
        *self.last.lock() = (number, answer.clone());
        answer
    }
}
