//! The limit of a tool within this process. The store holds it across processes; while the store fails, calls that are not in its
//! line go by this one.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::sync::Mutex;

/// The permits of the tools that have a limit.
#[derive(Debug, Default)]
pub(in crate::core) struct ToolPermits(Mutex<HashMap<String, (u32, Arc<Semaphore>)>>);

/// The right to one run of a tool in this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct ToolPermit(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl ToolPermits {
    /// Waits for a permit of this tool, of which so many runs may be under way.
    pub(in crate::core) async fn take(&self, tool: &str, limit: u32) -> ToolPermit {
        let permits = {
            let mut tools = self.0.lock();
            let fresh = || (limit, Arc::new(Semaphore::new(limit.max(1) as usize)));
            let (of, permits) = tools.entry(tool.to_owned()).or_insert_with(fresh);
            // Two functions may be tools of one name, in servers of one process.
            if *of != limit {
                (*of, *permits) = fresh();
            }
            Arc::clone(permits)
        };
        // The semaphore is never closed.
        ToolPermit(permits.acquire_owned().await.ok())
    }
}
