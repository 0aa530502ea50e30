//! What an annotation says: the one constant that the macro writes for each annotated function.

use std::time::Duration;

use crate::core::job;

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

/// A named slot that what the work completed with is put into; what a [`job::StateTarget`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateTarget {
    /// A name of `[a-z0-9_-]`, checked by the macro.
    pub(crate) field: &'static str,
    /// Which part of the result, as a JSON pointer (RFC 6901); empty for all of it.
    pub(crate) pointer: &'static str,
}

impl From<StateTarget> for job::StateTarget {
    fn from(target: StateTarget) -> Self {
        Self::new(target.field, target.pointer)
    }
}

/// An annotated function, as its annotation describes it.
#[derive(Debug, Clone, Copy)]
pub struct CallSite {
    pub(crate) tool: &'static str,
    pub(crate) timeout_env: Option<&'static str>,
    pub(crate) default_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) always_job: bool,
    /// Whether only clients that can take tasks may call.
    pub(crate) task_required: bool,
    /// Whether the same call, made while one runs, gets that one's work.
    pub(crate) coalesce: bool,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_cancel: OnCancel,
    /// How often the call may run again after the end of its server; 0 where it never does.
    pub(crate) max_reruns: u32,
    /// Whether what the call was given, says and ends with is kept out of the store and of logs.
    pub(crate) redact: bool,
    /// Whether the result is kept in the store.
    pub(crate) store_result: bool,
    pub(crate) state: Option<StateTarget>,
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
            task_required: false,
            coalesce: false,
            on_disconnect: OnDisconnect::Keep,
            on_cancel: OnCancel::Auto,
            max_reruns: 0,
            redact: false,
            store_result: true,
            state: None,
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

    /// Only clients that can take tasks may call.
    #[must_use]
    pub const fn task_required(mut self) -> Self {
        self.task_required = true;
        self
    }

    /// The same call, made while one runs, gets that one's work.
    #[must_use]
    pub const fn coalesce(mut self) -> Self {
        self.coalesce = true;
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

    /// After the end of its server the call runs again, so many times at most.
    #[must_use]
    pub const fn rerun(mut self, max_reruns: u32) -> Self {
        self.max_reruns = max_reruns;
        self
    }

    /// What the call was given, says and ends with is kept out of the store and of logs.
    #[must_use]
    pub const fn redact(mut self) -> Self {
        self.redact = true;
        self
    }

    /// The result is kept out of the store.
    #[must_use]
    pub const fn store_result(mut self, yes: bool) -> Self {
        self.store_result = yes;
        self
    }

    /// Whether what the work ends with is kept out of the store.
    pub(crate) const fn keeps_results_back(&self) -> bool {
        self.redact || !self.store_result
    }

    /// What the work completes with, or a part of it, goes into the slot of that name.
    #[must_use]
    pub const fn state(mut self, field: &'static str, pointer: &'static str) -> Self {
        self.state = Some(StateTarget { field, pointer });
        self
    }
}
