//! Admission by load: heavy work that waits in the queue does not begin while the machine has no room for it.

mod system;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub(in crate::core) use self::system::SystemLoad;

/// How long a look at the load may take. One that takes longer says nothing.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// The load of the machine, or of the container that the process runs in. Each part may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Load {
    /// The share of the memory that is in use, from 0 to 1.
    pub memory: Option<f64>,
    /// The share of the processors that is in use, or of the time in which work waits for one, from 0 to 1, over 10 seconds or more.
    pub cpu: Option<f64>,
    /// The free bytes, and all bytes, of the disk that has the job folder.
    pub disk: Option<(u64, u64)>,
}

/// A look at the load. It is taken on a thread of its own, about once a second while heavy work waits.
pub trait LoadSource: Send + Sync + 'static {
    /// The load now.
    fn load(&self) -> Load;
}

impl<F: Fn() -> Load + Send + Sync + 'static> LoadSource for F {
    fn load(&self) -> Load {
        self()
    }
}

/// The load from which on heavy work is held back.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LoadLimits {
    /// The largest share of the memory in use; 0.85 unless set.
    pub memory: f64,
    /// The largest share of the processors in use; 0.9 unless set.
    pub cpu: f64,
    /// The smallest free share of the disk; 0.05 unless set.
    pub free_disk: f64,
    /// The smallest number of free bytes on the disk; 500 MB unless set.
    pub free_disk_bytes: u64,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { memory: 0.85, cpu: 0.9, free_disk: 0.05, free_disk_bytes: 500_000_000 }
    }
}

impl LoadLimits {
    /// The reason why heavy work does not begin under this load, in words; `None` where it may.
    fn reason(&self, load: &Load) -> Option<String> {
        let percent = |share: f64| (share * 100.0).round();
        let used = |what: &str, share: Option<f64>, limit: f64| {
            let share = share.filter(|share| *share > limit)?;
            Some(format!("{what} {} % used (limit {} %)", percent(share), percent(limit)))
        };
        let disk = || {
            let (free, all) = load.disk?;
            let share = free as f64 / all.max(1) as f64;
            (share < self.free_disk || free < self.free_disk_bytes).then(|| {
                format!(
                    "disk {} MB free (at least {} % and {} MB)",
                    free / 1_000_000,
                    percent(self.free_disk),
                    self.free_disk_bytes / 1_000_000
                )
            })
        };
        used("memory", load.memory, self.memory)
            .or_else(|| used("processors", load.cpu, self.cpu))
            .or_else(disk)
    }
}

/// Decides whether heavy work may begin in this process.
#[derive(Clone)]
pub(in crate::core) struct LoadGate {
    limits: LoadLimits,
    source: Arc<dyn LoadSource>,
    running: Arc<AtomicUsize>,
}

impl fmt::Debug for LoadGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadGate").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Heavy work of this process, counted until it is over.
pub(crate) struct HeavyRun(Arc<AtomicUsize>);

impl LoadGate {
    pub(in crate::core) fn new(limits: LoadLimits, source: Arc<dyn LoadSource>) -> Self {
        Self { limits, source, running: Arc::default() }
    }

    /// The load now, where it can be known.
    pub(in crate::core) async fn load(&self) -> Load {
        let source = Arc::clone(&self.source);
        let look = timeout(LONGEST_LOOK, spawn_blocking(move || source.load()));
        look.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// The reason why heavy work does not begin now, in words; `None` where it may.
    pub(super) async fn holds(&self) -> Option<String> {
        self.limits.reason(&self.load().await)
    }

    /// Returns whether heavy work of this process is under way.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    /// Counts one more.
    pub(super) fn begin(&self) -> HeavyRun {
        self.running.fetch_add(1, Ordering::SeqCst);
        HeavyRun(Arc::clone(&self.running))
    }
}

impl Drop for HeavyRun {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_beyond_its_limit_is_a_reason_and_what_is_unknown_is_none() {
        let limits = LoadLimits::default();
        let reason = |load: Load| limits.reason(&load);
        assert_eq!(reason(Load::default()), None);
        let easy = Load {
            memory: Some(0.85),
            cpu: Some(0.9),
            disk: Some((5_000_000_000, 100_000_000_000)),
        };
        assert_eq!(reason(easy), None);
        let said = |load| reason(load).unwrap();
        assert_eq!(said(Load { memory: Some(0.91), ..easy }), "memory 91 % used (limit 85 %)");
        assert_eq!(said(Load { cpu: Some(0.97), ..easy }), "processors 97 % used (limit 90 %)");
        let words = "disk 4999 MB free (at least 5 % and 500 MB)";
        assert_eq!(said(Load { disk: Some((4_999_999_999, 100_000_000_000)), ..easy }), words);
        let words = "disk 400 MB free (at least 5 % and 500 MB)";
        assert_eq!(said(Load { disk: Some((400_000_000, 1_000_000_000)), ..easy }), words);
    }

    #[test]
    fn the_system_says_what_it_knows() {
        let system = SystemLoad::new(Some(std::env::temp_dir()));
        let load = system.load();
        let memory = load.memory.expect("the memory is known");
        assert!((0.0..=1.0).contains(&memory), "{memory}");
        assert!(load.cpu.is_none_or(|cpu| (0.0..=1.0).contains(&cpu)), "{load:?}");
        #[cfg(unix)]
        assert!(load.disk.is_some_and(|(free, all)| free <= all && all > 0), "{load:?}");
    }
}
