//! Why a call has neither a result nor a job, and what the caller reads then.

use std::fmt;

/// Why an annotated call has neither a result nor a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallError {
    /// The kind of failure.
    pub kind: CallErrorKind,
    /// The tool that was called.
    pub tool: String,
    /// The text for a person or a model.
    pub message: String,
}

impl CallError {
    pub(crate) fn new(kind: CallErrorKind, tool: &str, message: impl Into<String>) -> Self {
        Self { kind, tool: tool.to_owned(), message: message.into() }
    }

    pub(super) fn stopping(tool: &str) -> Self {
        let message = format!(
            "{tool}: the server is ending, and the work was stopped or not begun; call it again later"
        );
        Self::new(CallErrorKind::Stopping, tool, message)
    }

    pub(super) fn told_to_stop(tool: &str) -> Self {
        let message = format!(
            "{tool}: the server is ending; the work was told to stop, and ends with the server at the latest; it may be \
             done in part"
        );
        Self::new(CallErrorKind::Stopping, tool, message)
    }

    /// Only code between the tool and the server sees this error: the server answers with the run that the call joined.
    pub(super) fn joined(tool: &str) -> Self {
        let message =
            format!("{tool}: the same call runs already, and its answer is that of this one");
        Self::new(CallErrorKind::Joined, tool, message)
    }

    /// Only code between the tool and the server sees this error: the server answers with what the key stands for.
    pub(super) fn key_taken(tool: &str) -> Self {
        let message = format!("{tool}: another call has this idempotency key, and nothing was run");
        Self::new(CallErrorKind::KeyTaken, tool, message)
    }

    pub(super) fn key_not_kept(tool: &str, reason: &str) -> Self {
        let message = format!(
            "{tool}: the idempotency key could not be kept, so nothing was run: {reason}; call again with the same key later"
        );
        Self::new(CallErrorKind::NotDurable, tool, message)
    }

    pub(super) fn task_required(tool: &str) -> Self {
        let message = format!(
            "{tool}: only a client that takes MCP tasks may call this tool, and the work was not started; declare the \
             extension io.modelcontextprotocol/tasks, of protocol 2026-07-28, on the request"
        );
        Self::new(CallErrorKind::TaskRequired, tool, message)
    }

    pub(super) fn cancelled_again(tool: &str, is_on_thread: bool) -> Self {
        let work = if is_on_thread { "was told to stop" } else { "was stopped" };
        let message = format!(
            "{tool}: this client made the same call again and cancelled that, so the work {work}; it may be done in part"
        );
        Self::new(CallErrorKind::Cancelled, tool, message)
    }

    pub(super) fn caller_left(tool: &str) -> Self {
        Self::new(CallErrorKind::Cancelled, tool, format!("{tool}: the caller has left"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CallError {}

/// The kinds of [`CallError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The body panicked.
    Panic,
    /// The body ran longer than its `deadline`.
    Deadline,
    /// The body reported no progress for as long as its `stall` allows.
    Stalled,
    /// The caller cancelled the request, and the body was stopped.
    Cancelled,
    /// The caller requested a job, and jobs cannot be stored at the moment. The work was not started.
    NotDurable,
    /// The server is ending.
    Stopping,
    /// Only clients that take tasks may call the tool (`task_required`). The work was not started.
    TaskRequired,
    /// The same call runs already, and its answer becomes that of this one (`coalesce`). No client sees this.
    Joined,
    /// Another call has the key of this one, and its answer becomes that of this one. No client sees this.
    KeyTaken,
}

impl CallErrorKind {
    /// The kind as the wire spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Deadline => "deadline",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
            Self::NotDurable => "not_durable",
            Self::Stopping => "stopping",
            Self::TaskRequired => "task_required",
            Self::Joined => "joined",
            Self::KeyTaken => "key_taken",
        }
    }
}
