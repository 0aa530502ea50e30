//! Test helpers: clients connected to servers in memory, servers whose bodies wait for the test, and stores and disks that
//! fail on request.

mod client;
pub mod crash;
#[cfg(unix)]
pub mod disk;
mod faulty_store;
mod fixture;
mod gate;
mod gated_tools;
mod library;
mod seeded_rng;
mod simulated_process;
mod snapshot;
mod wire;

pub use client::Client;
pub use faulty_store::FaultyStore;
pub use fixture::Fixture;
pub use gate::Gate;
pub use gated_tools::GatedTools;
pub use library::{BOOK, Library};
pub use seeded_rng::SeededRng;
pub use simulated_process::SimulatedProcess;
pub use wire::{SUBSCRIPTION, TASKS, Wire};
