//! Everything about its jobs that only this process knows: which of them run here, who attends each of them, who reads them,
//! and the parts of their results that the store may not have.

pub(crate) mod active;
mod attachments;
mod coalesce;
pub(crate) mod pins;
pub(crate) mod redaction;
pub(crate) mod run_times;

pub(crate) use active::{LiveJob, LiveJobs, Origin};
pub(crate) use attachments::{Attachment, Detach};
pub(crate) use coalesce::SharedRun;
