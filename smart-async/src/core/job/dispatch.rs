//! A job's place in a queue. The store writes and closes it in the transaction that changes the job, so that no crash
//! leaves a job without its place or a place without its job.

use serde::{Deserialize, Serialize};

use super::{Priority, Timestamp};

/// A place in a queue, for a job that waits to be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dispatch {
    /// The queue's name.
    pub queue: String,
    /// How urgent the job is in it.
    #[serde(default)]
    pub priority: Priority,
    /// The earliest time at which the job may be claimed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::json::time::option")]
    pub not_before: Option<Timestamp>,
}

impl Dispatch {
    /// A place in the queue of this name, at once.
    pub fn new(queue: impl Into<String>, priority: Priority) -> Self {
        Self { queue: queue.into(), priority, not_before: None }
    }

    /// The same place, not to be claimed before this time.
    #[must_use]
    pub const fn not_before(mut self, time: Timestamp) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Returns whether the job may be claimed at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|time| time <= now)
    }
}
