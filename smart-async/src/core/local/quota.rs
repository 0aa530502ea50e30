//! How many waits each client has open. Each costs the server memory and a look at the jobs from time to time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::core::job::JobScope;
use crate::core::sync::Mutex;

/// How many waits and streams of one client may be open at a time.
pub(in crate::core) const WAITS: usize = 1000;

/// The open waits by client. Clones are the same register.
#[derive(Debug, Clone, Default)]
pub(in crate::core) struct OpenWaits(Arc<Mutex<HashMap<Option<JobScope>, usize>>>);

/// Counts one wait until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenWait {
    waits: OpenWaits,
    client: Option<JobScope>,
}

impl OpenWaits {
    /// Counts one more; `None` where the client has as many as it may have.
    pub(in crate::core) fn open(&self, client: Option<JobScope>) -> Option<OpenWait> {
        let mut counts = self.0.lock();
        let count = counts.entry(client.clone()).or_default();
        if *count >= WAITS {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(OpenWait { waits: self.clone(), client })
    }
}

impl Drop for OpenWait {
    fn drop(&mut self) {
        let mut counts = self.waits.0.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::ClientIdentity;

    #[test]
    fn each_client_has_its_own_limit_and_a_wait_that_ends_makes_room() {
        let waits = OpenWaits::default();
        let mut open: Vec<_> = (0..WAITS).map(|_| waits.open(None).unwrap()).collect();
        assert!(waits.open(None).is_none());
        assert!(waits.open(Some(ClientIdentity::new("alice").into())).is_some());
        open.pop();
        assert!(waits.open(None).is_some());
    }
}
