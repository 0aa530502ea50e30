//! What work needs to run again after the end of its server.

use std::fmt;

use serde_json::{Map, Value};

/// What a call needs to run again after the end of the process that ran it. The record keeps it while the job lives, where
/// the tool says that it may run again.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Rerun {
    /// The arguments of the call.
    pub arguments: Map<String, Value>,
    /// How often the work may run again, the first run not counted.
    pub max_reruns: u32,
    /// How often a process that had taken the job on ended before the work began.
    pub false_starts: u32,
}

impl Rerun {
    /// The call with these arguments may run again so often.
    pub const fn new(arguments: Map<String, Value>, max_reruns: u32) -> Self {
        Self { arguments, max_reruns, false_starts: 0 }
    }
}

/// Arguments may be secrets: they do not go into logs.
impl fmt::Debug for Rerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rerun").field("max_reruns", &self.max_reruns).finish_non_exhaustive()
    }
}
