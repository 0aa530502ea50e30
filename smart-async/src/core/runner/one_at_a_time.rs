//! Lets one task at a time look for work, and one more wait for its turn: that one sees everything that there is when its turn
//! comes, so further ones need not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};

#[derive(Debug, Default)]
pub(super) struct OneAtATime {
    turn: Arc<Mutex<()>>,
    is_awaited: Arc<AtomicBool>,
}

/// The place of the task that waits for its turn. Dropped, as with a runtime that ends, it lets another task wait.
#[derive(Debug)]
pub(super) struct Place {
    turn: Arc<Mutex<()>>,
    is_awaited: Arc<AtomicBool>,
}

impl OneAtATime {
    /// Waits for a turn, however many others wait.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// A place; `None` where another task waits for its turn already.
    pub(super) fn place(&self) -> Option<Place> {
        let is_taken = self.is_awaited.swap(true, Ordering::SeqCst);
        let (turn, is_awaited) = (Arc::clone(&self.turn), Arc::clone(&self.is_awaited));
        (!is_taken).then(|| Place { turn, is_awaited })
    }
}

impl Place {
    /// Waits for the turn, which lasts until the guard is dropped.
    pub(super) async fn turn(self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_awaited.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_waits_at_most_and_a_place_that_is_given_up_is_free() {
        let looks = OneAtATime::default();
        let first = looks.place().unwrap().turn().await;
        let second = looks.place().unwrap();
        assert!(looks.place().is_none());
        drop(second);
        let third = looks.place().unwrap();
        drop(first);
        let _turn = third.turn().await;
        assert!(looks.place().is_some(), "its turn has begun");
    }
}
