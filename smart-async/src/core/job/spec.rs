//! The request that made a job: everything about it that is known when it is made and never changes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{IdempotencyKey, JobScope, StateTarget, Timestamp};

/// The kind of work behind a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobKind {
    /// A call of an annotated tool.
    #[default]
    Tool,
    /// A program in a process of its own, which can outlive the server that started it.
    Program,
    /// Work that the server's own code submitted.
    Task,
    /// A kind of a later version. This version shows such a job and runs nothing for it.
    #[serde(other)]
    Unknown,
}

/// How urgent a job is, from 1 to 10; 10 goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The priority of a job whose caller named none: 5.
    pub const NORMAL: Self = Self(5);

    /// The priority, cut to the range from 1 to 10.
    pub const fn new(priority: u8) -> Self {
        match priority {
            0 => Self(1),
            1..=10 => Self(priority),
            _ => Self(10),
        }
    }

    /// The priority as a number from 1 to 10.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl From<u8> for Priority {
    fn from(priority: u8) -> Self {
        Self::new(priority)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.get()
    }
}

/// How often a job is tried again after a failure that its tool calls transient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How many attempts may follow the first one.
    pub max_retries: u32,
    /// How long the first pause is; each later one is twice as long.
    pub delay: Duration,
}

impl RetryPolicy {
    /// At most `max_retries` further attempts, the first of them after `delay`.
    pub const fn new(max_retries: u32, delay: Duration) -> Self {
        Self { max_retries, delay }
    }
}

/// The request that made a job. It never changes, with one exception: the arguments are dropped when the job ends.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct JobSpec {
    /// The kind of work.
    pub kind: JobKind,
    /// The tool's name, or the name of the kind of work.
    pub tool: String,
    /// The server that the job belongs to; other servers over the same store leave it alone.
    pub server: String,
    /// The name that people see; the tool's name unless the caller chose another.
    pub label: String,
    /// Marks of the caller's own, by which jobs can be found.
    pub tags: BTreeMap<String, String>,
    /// The caller's own grouping. It grants and hides nothing.
    pub session: Option<String>,
    /// The client that the job belongs to, where it was made over HTTP. No answer to a client contains it.
    pub scope: Option<JobScope>,
    /// How urgent the job is.
    pub priority: Priority,
    /// How many runs of this tool of its server may be under way at a time in all processes that share the store; any number,
    /// where there is none.
    pub max_concurrent: Option<u32>,
    /// Whether the job was asked for as one (`async_mode`, a submitted task, a program): such jobs count towards the limits on all
    /// jobs and on those of a session. A call that outlived its budget does not.
    pub explicit: bool,
    /// The hard limit on each run, from its start; the clock stands still while a question is open.
    pub deadline: Option<Duration>,
    /// How often the job is tried again after a transient failure; never, where there is none.
    /// Stored only, so far: no server retries a job by it.
    pub retry: Option<RetryPolicy>,
    /// How often the work may run again after the end of the server that ran it; never, where there is none.
    pub max_reruns: Option<u32>,
    /// The arguments of the call, where another run may need them. They are dropped when the job ends.
    pub arguments: Option<Map<String, Value>>,
    /// The key under which its caller finds the answer again, where the call has one.
    pub idempotency: Option<IdempotencyKey>,
    /// The state that receives the result when the job completes.
    pub state_target: Option<StateTarget>,
    /// When the job was made.
    pub created_at: Timestamp,
}

impl JobSpec {
    /// A call of `tool` on `server`, without anything that is optional.
    pub fn new(tool: impl Into<String>, server: impl Into<String>, created_at: Timestamp) -> Self {
        let tool = tool.into();
        Self {
            kind: JobKind::Tool,
            label: tool.clone(),
            tool,
            server: server.into(),
            tags: BTreeMap::new(),
            session: None,
            scope: None,
            priority: Priority::NORMAL,
            max_concurrent: None,
            explicit: false,
            deadline: None,
            retry: None,
            max_reruns: None,
            arguments: None,
            idempotency: None,
            state_target: None,
            created_at,
        }
    }
}

/// Arguments, labels and tags may be secrets: they do not go into logs.
impl fmt::Debug for JobSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobSpec")
            .field("kind", &self.kind)
            .field("tool", &self.tool)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
