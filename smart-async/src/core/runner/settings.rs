//! The settings of a runner.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::core::blocking::DEFAULT_SLOTS;
use crate::core::env_vars::{self, Lookup};
use crate::core::job::ClaimLimits;
use crate::core::queue::load::{LoadGate, LoadLimits, LoadSource, SystemLoad};

/// For how long, and how many, ended jobs are kept. Live jobs are never removed.
///
/// A job that ended less than a minute ago is never swept away: code of another process may be about to read it. The age of a job
/// counts from the first sweep that finds it ended, by a clock that no change of the time moves: the time in which no server of
/// its name ran does not count, since no reader could have asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Ended jobs are removed once they could be read for this long. 24 hours unless set.
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
    /// The program's own; see [`Settings::retention`].
    pub(in crate::core) own_retention: Retention,
    /// For how long a body may go on after it was told to stop, before it is aborted.
    pub(crate) cancel_grace: Duration,
    /// For how long a shutdown lets jobs end by themselves.
    pub(in crate::core) drain_grace: Duration,
    /// How many blocking bodies run at a time.
    pub(in crate::core) blocking_bodies: usize,
    /// How many explicit jobs run at a time; the program's own, see [`Settings::limits`].
    pub(in crate::core) max_jobs: usize,
    /// How many of these of one session.
    pub(in crate::core) max_jobs_per_session: usize,
    /// The load from which on heavy work is held back; the program's own, see [`Settings::load_limits`].
    pub(in crate::core) own_load_limits: LoadLimits,
    /// Where the load is read; the system unless set.
    pub(in crate::core) load_source: Option<LoadProbe>,
    /// The job folder, where the manager has opened one.
    pub(in crate::core) folder: Option<PathBuf>,
    pub(in crate::core) end_on_sigterm: bool,
    /// Whether ids may leave the process: not where a restart would break the promise that they make.
    pub(crate) hands_out_ids: bool,
    /// Why jobs are kept in memory in place of the folder, where they are.
    pub(in crate::core) fallback: Option<Fallback>,
}

/// A source of the load that the program sets.
#[derive(Clone)]
pub(in crate::core) struct LoadProbe(pub(in crate::core) Arc<dyn LoadSource>);

impl fmt::Debug for LoadProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoadProbe")
    }
}

/// Why jobs are kept in memory in place of the folder.
#[derive(Debug, Clone)]
pub(in crate::core) struct Fallback {
    /// The reason in full, for the operator.
    pub(in crate::core) reason: String,
    /// The reason as a client reads it.
    pub(in crate::core) client_text: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: None,
            own_retention: Retention::default(),
            cancel_grace: Duration::from_secs(5),
            drain_grace: Duration::from_secs(2),
            blocking_bodies: DEFAULT_SLOTS,
            max_jobs: 10,
            max_jobs_per_session: 5,
            own_load_limits: LoadLimits::default(),
            load_source: None,
            folder: None,
            end_on_sigterm: true,
            hands_out_ids: true,
            fallback: None,
        }
    }
}

impl Settings {
    /// For how long, and how many, ended jobs are kept: as the operator's variables say, else as the program does.
    pub(crate) fn retention(&self) -> Retention {
        self.retention_with(&env_vars::process)
    }

    /// How many explicit jobs run at a time: as the operator's variables say, else as the program does.
    pub(in crate::core) fn limits(&self) -> ClaimLimits {
        let count = |name, own| env_vars::count(&env_vars::process, name).unwrap_or(own);
        ClaimLimits::new(
            count(env_vars::MAX_JOBS, self.max_jobs),
            count(env_vars::MAX_JOBS_PER_SESSION, self.max_jobs_per_session),
        )
    }

    /// Decides whether heavy work may begin.
    pub(in crate::core) fn load_gate(&self) -> LoadGate {
        let source = match &self.load_source {
            Some(LoadProbe(source)) => Arc::clone(source),
            None => Arc::new(SystemLoad::new(self.folder.clone())),
        };
        LoadGate::new(self.load_limits(&env_vars::process), source)
    }

    /// The load from which on heavy work is held back: as the operator's variables say, else as the program does.
    fn load_limits(&self, lookup: Lookup<'_>) -> LoadLimits {
        let mut limits = self.own_load_limits;
        let percent = |name, own: f64| {
            let percent = env_vars::percent(lookup, name);
            percent.map_or(own, |percent| percent / 100.0)
        };
        limits.memory = percent(env_vars::MAX_MEMORY_PERCENT, limits.memory);
        limits.cpu = percent(env_vars::MAX_CPU_PERCENT, limits.cpu);
        limits.free_disk = percent(env_vars::MIN_DISK_PERCENT, limits.free_disk);
        limits.free_disk_bytes =
            env_vars::bytes(lookup, env_vars::MIN_DISK_BYTES).unwrap_or(limits.free_disk_bytes);
        limits
    }

    fn retention_with(&self, lookup: Lookup<'_>) -> Retention {
        let Retention { max_age, max_jobs, max_bytes } = self.own_retention;
        Retention {
            max_age: env_vars::hours(lookup, env_vars::RETENTION_HOURS).unwrap_or(max_age),
            max_jobs: env_vars::count(lookup, env_vars::RETENTION_JOBS).unwrap_or(max_jobs),
            max_bytes: env_vars::bytes(lookup, env_vars::RETENTION_BYTES).unwrap_or(max_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_variables_win_one_by_one_and_nonsense_is_passed_over() {
        let settings = Settings::default();
        let with = |variables: &'static [(&str, &str)]| {
            settings.retention_with(&move |name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(with(&[]), Retention::default());
        let hour = Duration::from_secs(3600);
        assert_eq!(with(&[("JOB_RETENTION_HOURS", "1.5")]).max_age, hour * 3 / 2);
        assert_eq!(with(&[("JOB_RETENTION_HOURS", "7d")]).max_age, hour * 24 * 7);
        assert_eq!(with(&[("JOB_RETENTION_JOBS", "20")]).max_jobs, 20);
        assert_eq!(with(&[("JOB_RETENTION_BYTES", "64 MiB")]).max_bytes, 64 << 20);
        let nonsense = [
            ("JOB_RETENTION_HOURS", "0"),
            ("JOB_RETENTION_JOBS", "-1"),
            ("JOB_RETENTION_BYTES", "much"),
        ];
        assert_eq!(
            settings.retention_with(&|name| {
                nonsense.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            }),
            Retention::default()
        );
    }
}
