//! Execution of jobs: from the record that is written first to the record of the end.

mod adopt;
mod body;
mod hydrate;
mod idempotency;
pub(crate) mod open_calls;
pub(crate) mod recover;
pub(crate) mod rerun;
mod retention;
mod shutdown;
pub(crate) mod sigterm;
mod submit;
mod supervise;
mod supervise_body;
mod sync;
mod typed_body;

pub(crate) use adopt::{Adopted, Adoption};
pub(crate) use body::{Body, panic_message};
pub(crate) use hydrate::InlineCompletion;
pub(crate) use open_calls::OpenCallGuard;
pub(crate) use rerun::{Answer, CallsAgain, Has};
pub use submit::{Job, JobRequest, job_fn};
pub(crate) use typed_body::{Carrier, Running, Stop, Unfinished};
