//! The parts of the tour: the server that it starts and calls, and its output.
//!
//! The steps of the tour are in `bin/tour.rs`.

pub mod screen;
pub mod session;
