//! Test helpers: clients connected to servers in memory, servers whose bodies wait for the test, and stores and disks that
//! fail on request.

mod client;
mod clock;
pub mod crash;
#[cfg(unix)]
pub mod disk;
mod faulty_store;
mod figures;
mod fixture;
mod gate;
mod gated_tools;
mod library;
mod panicking_subscriber;
mod seeded_rng;
mod server_process;
mod simulated_process;
mod snapshot;
pub mod source;
mod wire;

pub use client::Client;
pub use clock::{JumpingClock, runtime_clock, stepping_clock};
pub use faulty_store::FaultyStore;
pub use figures::figure;
pub use fixture::Fixture;
pub use gate::Gate;
pub use gated_tools::GatedTools;
pub use library::{BOOK, Library};
pub use panicking_subscriber::PanickingSubscriber;
pub use seeded_rng::SeededRng;
pub use server_process::{Era, ServerProcess};
pub use simulated_process::SimulatedProcess;
pub use wire::{SUBSCRIPTION, TASKS, Wire};

/// Sends the log of this process to the captured output of its tests; without it, warnings go to stderr past libtest's capture.
///
/// Tests of failing disks make thousands of warnings. Only the first call in a process has an effect.
pub fn capture_log() {
    let log =
        tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    let _ = log.with_ansi(false).with_test_writer().try_init();
}
