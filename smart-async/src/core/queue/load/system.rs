//! The load as the operating system tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sysinfo::System;

use super::{Load, LoadSource};
use crate::core::sync::Mutex;

/// Over how long the use of the processors is averaged, where the system does not average it.
const WINDOW: Duration = Duration::from_secs(10);

/// Where Linux tells for which share of the last 10 seconds work has waited for a processor.
const CPU_PRESSURE: &str = "/proc/pressure/cpu";

pub(in crate::core) struct SystemLoad {
    /// The job folder, where there is one.
    folder: Option<PathBuf>,
    system: Mutex<Readings>,
}

struct Readings {
    /// `None` where the system tells nothing.
    system: Option<System>,
    /// When the use of the processors was read last.
    at: Option<Instant>,
    /// Their use between the last two readings.
    cpu: Option<f64>,
}

impl SystemLoad {
    pub(in crate::core) fn new(folder: Option<PathBuf>) -> Self {
        let readings = Readings { system: System::new().ok(), at: None, cpu: None };
        Self { folder, system: Mutex::new(readings) }
    }
}

impl LoadSource for SystemLoad {
    fn load(&self) -> Load {
        let mut readings = self.system.lock();
        Load {
            memory: readings.system.as_mut().and_then(memory),
            cpu: cpu_pressure().or_else(|| readings.cpu()),
            disk: self.folder.as_deref().and_then(disk),
        }
    }
}

impl Readings {
    /// The use of the processors between two looks that are ten seconds apart at least. It is unknown before the second one.
    fn cpu(&mut self) -> Option<f64> {
        let is_first = self.at.is_none();
        if let Some(system) = &mut self.system
            && self.at.is_none_or(|at| at.elapsed() >= WINDOW)
        {
            system.refresh_cpu_usage();
            self.at = Some(Instant::now());
            self.cpu = (!is_first).then(|| f64::from(system.global_cpu_usage()) / 100.0);
        }
        self.cpu
    }
}

/// The used share of the memory: of the machine, or of the container where that has less left.
fn memory(system: &mut System) -> Option<f64> {
    system.refresh_memory();
    let share = |used: u64, all: u64| (all > 0).then(|| (used as f64 / all as f64).clamp(0.0, 1.0));
    let all = system.total_memory();
    let machine = share(all.saturating_sub(system.available_memory()), all);
    // Without the page cache, which gives way.
    let container =
        system.cgroup_limits().and_then(|limits| share(limits.rss, limits.total_memory));
    [machine, container].into_iter().flatten().max_by(f64::total_cmp)
}

fn cpu_pressure() -> Option<f64> {
    let pressure = fs::read_to_string(CPU_PRESSURE).ok()?;
    let average = pressure.split_whitespace().find_map(|part| part.strip_prefix("avg10="))?;
    Some(average.parse::<f64>().ok()? / 100.0)
}

#[cfg(unix)]
fn disk(folder: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

/// The space of a disk is unknown on this system.
#[cfg(not(unix))]
fn disk(_: &Path) -> Option<(u64, u64)> {
    None
}
