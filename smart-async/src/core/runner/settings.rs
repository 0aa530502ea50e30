//! The settings of a runner.

use std::time::Duration;

/// For how long, and how many, ended jobs are kept. Live jobs are never removed.
///
/// A job that ended less than a minute ago is never swept away: code of another process may be about to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Ended jobs are removed when they ended longer ago than this. 24 hours unless set.
    pub max_age: Duration,
    /// The number of ended jobs that are kept, the newest. 1,000 unless set.
    pub max_jobs: usize,
    /// The newest ended jobs are kept whose records and results take this many bytes together. 256 MiB unless set.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(Duration::from_secs(24 * 60 * 60), 1000)
    }
}

impl Retention {
    /// Keeps ended jobs for this long, and this many of them.
    pub const fn new(max_age: Duration, max_jobs: usize) -> Self {
        Self { max_age, max_jobs, max_bytes: 256 * 1024 * 1024 }
    }

    /// Keeps this many bytes of them.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The name of the server whose jobs the runner runs, where the program sets one.
    pub(in crate::core) server: Option<String>,
    pub(crate) retention: Retention,
    /// For how long a body may go on after it was told to stop, before it is aborted.
    pub(crate) cancel_grace: Duration,
    /// For how long a shutdown lets jobs end by themselves.
    pub(in crate::core) drain_grace: Duration,
    pub(in crate::core) end_on_sigterm: bool,
    /// Whether ids may leave the process: not where a restart would break the promise that they make.
    pub(crate) hands_out_ids: bool,
    /// Why jobs are kept in memory in place of the folder, where they are.
    pub(in crate::core) fallback_reason: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: None,
            retention: Retention::default(),
            cancel_grace: Duration::from_secs(5),
            drain_grace: Duration::from_secs(2),
            end_on_sigterm: true,
            hands_out_ids: true,
            fallback_reason: None,
        }
    }
}
