//! Reads of jobs and requests about them.

mod answer;
mod cancel;
mod error;
mod state;
mod status;
mod wait;
mod watch;

pub use answer::AnswerError;
pub use cancel::Cancelled;
pub use error::Error;
pub use state::{State, StateError};
pub(crate) use status::why_gone;
pub use wait::{WaitFor, Waited};
pub(crate) use watch::Following;
