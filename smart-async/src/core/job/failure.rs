//! Why a job, or a call that never became one, ended without a result.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// Why a job failed, apart from the fact that it did.
///
/// A kind that only a later version knows is kept as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The work itself returned an error.
    Error,
    /// The work panicked.
    Panic,
    /// The work ran longer than its `deadline`.
    Deadline,
    /// The work reported no progress for as long as its `stall` allows.
    Stalled,
    /// The process that ran the work ended before the work did.
    Interrupted,
    /// The work ended, with a result that is larger than the store keeps.
    ResultTooLarge,
    /// A kind that this version does not know.
    Other(Cow<'static, str>),
}

impl FailureKind {
    /// The kind as the wire and the file spell it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Deadline => "deadline",
            Self::Stalled => "stalled",
            Self::Interrupted => "interrupted",
            Self::ResultTooLarge => "result_too_large",
            Self::Other(kind) => kind,
        }
    }
}

impl From<&str> for FailureKind {
    fn from(kind: &str) -> Self {
        match kind {
            "error" => Self::Error,
            "panic" => Self::Panic,
            "deadline" => Self::Deadline,
            "stalled" => Self::Stalled,
            "interrupted" => Self::Interrupted,
            "result_too_large" => Self::ResultTooLarge,
            other => Self::Other(Cow::Owned(other.to_owned())),
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a job ended without a result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobFailure {
    /// The message, for people.
    pub message: String,
    /// The kind of failure.
    pub kind: FailureKind,
    /// The JSON-RPC error code, where the tool answered with one. It makes the end a protocol error to a client.
    pub rpc_code: Option<i64>,
    /// The exit code of the program that the job ran, where it ran one and the program exited by itself.
    pub exit_code: Option<i32>,
    /// Further data that the error carried.
    pub details: Option<Value>,
    /// The tool's whole answer (a `CallToolResult`), where `message` alone cannot bring it back.
    pub tool_result: Option<Box<Value>>,
}

impl JobFailure {
    /// A failure of the given kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            kind,
            rpc_code: None,
            exit_code: None,
            details: None,
            tool_result: None,
        }
    }

    /// The work itself failed.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Error, message)
    }

    /// Adds further data that the error carried.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
