//! What the tests have in common: a client connected to a server in memory, a server whose work waits for signals, and
//! a store that fails when it is told to.

mod client;
pub mod crash;
#[cfg(unix)]
pub mod disk;
mod library;
mod life;
mod moody_store;
mod snapshot;
mod wire;
mod workshop;

pub use client::Client;
pub use library::{BOOK, Library};
pub use life::Life;
pub use moody_store::MoodyStore;
pub use wire::{SUBSCRIPTION, TASKS, Wire};
pub use workshop::{Gate, Workshop};
