//! A signal in both directions, so that tests need no sleeps.

use std::sync::Arc;

use tokio::sync::watch;

/// A point at which a body waits for the test, and the test for the body. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    arrivals: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    #[expect(clippy::new_without_default, reason = "each gate is another")]
    pub fn new() -> Self {
        Self {
            arrivals: Arc::new(watch::Sender::new(0)),
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Opens the gate for all bodies, for good.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Counts an arrival.
    pub fn arrive(&self) {
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// The number of arrivals.
    pub fn count(&self) -> usize {
        *self.arrivals.borrow()
    }

    /// Waits until there have been `count` arrivals.
    pub async fn arrived(&self, count: usize) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|arrived| *arrived >= count).await.expect("the gate should stand");
    }

    /// Waits until the gate is open.
    pub async fn opened(&self) {
        self.open.subscribe().wait_for(|open| *open).await.expect("the gate should stand");
    }
}
