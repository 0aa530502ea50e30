//! The parts of the tour: the server that it starts and calls, and the screen that it tells its story on.
//!
//! The story itself is in `bin/tour.rs`.

pub mod screen;
pub mod session;
