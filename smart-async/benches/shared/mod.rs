//! What the benches have in common: figures that a script reads, medians, rounds that take turns, and stores that hold jobs.
//!
//! A figure is a line `figure <name> <value> <unit>`. `.ci/bench` gathers them; which of them stand in docs/figures.md,
//! beside which target, is written there.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each bench is a program of its own and uses a part of this"
)]

pub(crate) mod counting;
pub(crate) mod disks;
pub(crate) mod server;
pub(crate) mod stored;

use std::time::{Duration, Instant};

/// Whether this is a measurement, and not only a look at whether it runs (`cargo test --benches`, or `QUICK=1`).
pub(crate) fn is_in_earnest() -> bool {
    std::env::args().any(|argument| argument == "--bench") && std::env::var_os("QUICK").is_none()
}

/// Whether this part was asked for: all of them, unless the command line names some.
pub(crate) fn is_asked_for(part: &str) -> bool {
    let mut named =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

/// How often to do something: a few times only where it is not in earnest.
pub(crate) fn times(in_earnest: usize) -> usize {
    if is_in_earnest() { in_earnest } else { in_earnest.div_ceil(100).max(2) }
}

/// Says a figure.
pub(crate) fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.4} {unit}");
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values[((values.len() as f64 * percent / 100.0) as usize).min(last)]
}

/// How long something took, in microseconds.
pub(crate) fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

/// How long something took, in milliseconds.
pub(crate) fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// The plain thing and ours, measured in turn, so that whatever else the machine does falls on both.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    pub(crate) plain: Vec<f64>,
    pub(crate) ours: Vec<f64>,
}

impl Pair {
    pub(crate) fn push(&mut self, plain: f64, ours: f64) {
        self.plain.push(plain);
        self.ours.push(ours);
    }

    /// Ours to plain: the median of the rounds' ratios.
    pub(crate) fn ratio(&self) -> f64 {
        let ratios = self.plain.iter().zip(&self.ours).map(|(plain, ours)| ours / plain);
        median(&ratios.collect::<Vec<_>>())
    }

    /// Ours to plain, where each round's own noise is too large to compare rounds one by one: the medians' ratio.
    pub(crate) fn ratio_of_medians(&self) -> f64 {
        median(&self.ours) / median(&self.plain)
    }

    /// Says both medians and their ratio.
    pub(crate) fn tell(&self, name: &str, unit: &str) {
        figure(&format!("{name}.plain"), median(&self.plain), unit);
        figure(&format!("{name}.ours"), median(&self.ours), unit);
        figure(&format!("{name}.ratio"), self.ratio(), "x");
    }
}

/// A runtime with so many worker threads.
pub(crate) fn runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

/// Runs a future on a worker thread, as handlers are run; `block_on` alone would run it beside the workers.
pub(crate) fn on_worker<T: Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    runtime.block_on(runtime.spawn(work)).unwrap()
}
