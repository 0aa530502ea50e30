//! The keys of one annotation, as the constant that the macro generates for each annotated function.

use std::time::Duration;

use crate::core::job::{Priority, StateTarget};

/// The rule for work whose caller's connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDisconnect {
    /// The work goes on as a job.
    #[default]
    Keep,
    /// The work is stopped.
    Cancel,
}

/// The rule for work whose caller cancels the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCancel {
    /// A cancellation that names a time-out as its reason keeps the work as a job; any other stops it.
    #[default]
    Auto,
    /// The work goes on as a job.
    Keep,
    /// The work is stopped.
    Cancel,
}

/// The keys of one annotated function.
#[derive(Debug, Clone, Copy)]
pub struct CallSite {
    pub(crate) tool: &'static str,
    pub(crate) timeout_env: Option<&'static str>,
    pub(crate) default_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    /// For how long the work may report no progress.
    pub(crate) stall: Option<Duration>,
    pub(crate) always_job: bool,
    /// How many runs may be under way at a time in all processes that share the store, where there is a limit.
    pub(crate) max_concurrent: Option<u32>,
    /// How urgent the jobs of the tool are, from 1 to 10.
    pub(crate) priority: Priority,
    /// Whether calls of clients without MCP tasks are refused.
    pub(crate) task_required: bool,
    /// Whether a call that equals a running one shares its run.
    pub(crate) coalesce: bool,
    /// Whether the same call, made again while one has been open for long, is a call of its own.
    pub(crate) repeatable: bool,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) on_cancel: OnCancel,
    /// The largest number of reruns after the end of the server; 0 for none.
    pub(crate) max_reruns: u32,
    /// For how long the answer to a call with a key is kept, where callers may give keys.
    pub(crate) idempotent: Option<Duration>,
    /// Whether arguments, progress messages and outcome stay out of the store and of logs.
    pub(crate) redact: bool,
    /// Whether the result is stored.
    pub(crate) store_result: bool,
    /// The name of the state that the result goes into, and the JSON pointer of the part that does.
    pub(crate) state: Option<(&'static str, &'static str)>,
}

impl CallSite {
    /// An annotation without keys.
    pub const fn new(tool: &'static str) -> Self {
        Self {
            tool,
            timeout_env: None,
            default_timeout: None,
            deadline: None,
            stall: None,
            always_job: false,
            max_concurrent: None,
            priority: Priority::NORMAL,
            task_required: false,
            coalesce: false,
            repeatable: false,
            on_disconnect: OnDisconnect::Keep,
            on_cancel: OnCancel::Auto,
            max_reruns: 0,
            idempotent: None,
            redact: false,
            store_result: true,
            state: None,
        }
    }

    /// Sets the variable that holds this tool's budget.
    #[must_use]
    pub const fn timeout_env(mut self, name: &'static str) -> Self {
        self.timeout_env = Some(name);
        self
    }

    /// Sets the budget for the case that no variable does.
    #[must_use]
    pub const fn default_timeout(mut self, seconds: u64, nanoseconds: u32) -> Self {
        self.default_timeout = Some(Duration::new(seconds, nanoseconds));
        self
    }

    /// Sets the longest duration of the run.
    #[must_use]
    pub const fn deadline(mut self, seconds: u64, nanoseconds: u32) -> Self {
        self.deadline = Some(Duration::new(seconds, nanoseconds));
        self
    }

    /// Sets how many runs may be under way at a time.
    #[must_use]
    pub const fn max_concurrent(mut self, limit: u32) -> Self {
        self.max_concurrent = Some(limit);
        self
    }

    /// Sets how urgent the jobs are, from 1 to 10.
    #[must_use]
    pub const fn priority(mut self, priority: u8) -> Self {
        self.priority = Priority::new(priority);
        self
    }

    /// Sets for how long the work may report no progress.
    #[must_use]
    pub const fn stall(mut self, seconds: u64, nanoseconds: u32) -> Self {
        self.stall = Some(Duration::new(seconds, nanoseconds));
        self
    }

    /// Makes every call a job at once.
    #[must_use]
    pub const fn always_job(mut self) -> Self {
        self.always_job = true;
        self
    }

    /// Refuses calls of clients without MCP tasks.
    #[must_use]
    pub const fn task_required(mut self) -> Self {
        self.task_required = true;
        self
    }

    /// Lets a call that equals a running one share its run.
    #[must_use]
    pub const fn coalesce(mut self) -> Self {
        self.coalesce = true;
        self
    }

    /// Lets the same call run anew while one has been open for long.
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sets the rule for a lost connection.
    #[must_use]
    pub const fn on_disconnect(mut self, rule: OnDisconnect) -> Self {
        self.on_disconnect = rule;
        self
    }

    /// Sets the rule for a cancelled request.
    #[must_use]
    pub const fn on_cancel(mut self, rule: OnCancel) -> Self {
        self.on_cancel = rule;
        self
    }

    /// Runs the call again after the end of its server, at most `max_reruns` times.
    #[must_use]
    pub const fn rerun(mut self, max_reruns: u32) -> Self {
        self.max_reruns = max_reruns;
        self
    }

    /// Keeps the answers to calls with a key for so long.
    #[must_use]
    pub const fn idempotent(mut self, seconds: u64, nanoseconds: u32) -> Self {
        self.idempotent = Some(Duration::new(seconds, nanoseconds));
        self
    }

    /// Keeps arguments, progress messages and outcome out of the store and of logs.
    #[must_use]
    pub const fn redact(mut self) -> Self {
        self.redact = true;
        self
    }

    /// Sets whether the result is stored.
    #[must_use]
    pub const fn store_result(mut self, yes: bool) -> Self {
        self.store_result = yes;
        self
    }

    /// Returns whether the same call on its connection joins a call that has been open for long.
    pub(crate) const fn is_joined_when_long_open(&self) -> bool {
        !self.repeatable && !self.coalesce
    }

    /// Returns whether the outcome stays out of the store.
    pub(crate) const fn withholds_results(&self) -> bool {
        self.redact || !self.store_result
    }

    /// The state that receives the result of completed work.
    pub(crate) fn state_target(&self) -> Option<StateTarget> {
        self.state.map(|(field, pointer)| StateTarget::new(field, pointer))
    }

    /// Stores the result of completed work, or the part at `pointer`, in the slot `field`.
    #[must_use]
    pub const fn state(mut self, field: &'static str, pointer: &'static str) -> Self {
        self.state = Some((field, pointer));
        self
    }
}
