//! What the crash harness (`tests/crash.rs`) and the process that it kills (`bin/crash_worker.rs`) say to each other, and
//! the dice of both.

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

/// Dice that fall the same way for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice for a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Yes, once in `times` on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "dice are no iterator: they never end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
