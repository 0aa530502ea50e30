//! What an annotation says: the one constant that the macro writes for each annotated function.

use std::time::Duration;

/// What becomes of work whose caller's connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDisconnect {
    /// It goes on, as a job.
    #[default]
    Keep,
    /// It is stopped.
    Cancel,
}

/// What becomes of work whose caller cancels the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCancel {
    /// A cancellation that names a time-out as its reason keeps the work as a job; any other stops it.
    #[default]
    Auto,
    /// It goes on, as a job.
    Keep,
    /// It is stopped.
    Cancel,
}

/// An annotated function, as its annotation describes it.
#[derive(Debug, Clone, Copy)]
pub struct CallSite {
    pub(crate) tool: &'static str,
    pub(crate) timeout_env: Option<&'static str>,
    pub(crate) default_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) always_job: bool,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_cancel: OnCancel,
}

impl CallSite {
    /// A function without any keys.
    pub const fn new(tool: &'static str) -> Self {
        Self {
            tool,
            timeout_env: None,
            default_timeout: None,
            deadline: None,
            always_job: false,
            on_disconnect: OnDisconnect::Keep,
            on_cancel: OnCancel::Auto,
        }
    }

    /// The variable that sets this tool's budget.
    #[must_use]
    pub const fn timeout_env(mut self, name: &'static str) -> Self {
        self.timeout_env = Some(name);
        self
    }

    /// This tool's budget where no variable sets one.
    #[must_use]
    pub const fn default_timeout(mut self, seconds: u64, nanoseconds: u32) -> Self {
        self.default_timeout = Some(Duration::new(seconds, nanoseconds));
        self
    }

    /// The hard limit on the run.
    #[must_use]
    pub const fn deadline(mut self, seconds: u64, nanoseconds: u32) -> Self {
        self.deadline = Some(Duration::new(seconds, nanoseconds));
        self
    }

    /// Every call becomes a job at once.
    #[must_use]
    pub const fn always_job(mut self) -> Self {
        self.always_job = true;
        self
    }

    /// What becomes of work whose caller's connection is lost.
    #[must_use]
    pub const fn on_disconnect(mut self, rule: OnDisconnect) -> Self {
        self.on_disconnect = rule;
        self
    }

    /// What becomes of work whose caller cancels the request.
    #[must_use]
    pub const fn on_cancel(mut self, rule: OnCancel) -> Self {
        self.on_cancel = rule;
        self
    }
}
