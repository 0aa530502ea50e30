//! The lines that the processes which are killed (`bin/crash_worker.rs`) send to the crash harness (`tests/crash`).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use smart_async::job::JobId;

/// A line of a worker. A line that is cut off says nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The store is open, and this is its owner's name.
    Open(Value),
    /// The store is about to be asked for a change that makes this record. Its progress counts the job's changes.
    Try(Value),
    /// The store has acknowledged the change to the job that had this number.
    Done(JobId, u64),
    /// The store is about to be asked to remove these jobs.
    TryRemove(Vec<JobId>),
    /// The store has acknowledged that they are removed.
    Removed(Vec<JobId>),
    /// The store is about to be asked to note that this job, of another process, is to be cancelled.
    TryCancel(JobId),
    /// The store has acknowledged that.
    Cancelled(JobId),
    /// The owner of this job lives no more, says the store.
    Abandoned(JobId),
    /// The answer to a line of input: whatever was done before has been told.
    Mark(u64),
}
