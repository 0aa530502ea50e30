//! Long-running work for MCP servers: one attribute turns a slow tool into a job that survives the caller.

#![doc = "See the repository's README for the whole picture."]

// Lets the macro's paths, which begin with `::smart_async`, be used in this crate's own tests.
extern crate self as smart_async;

#[doc(hidden)]
pub mod __private;
mod backoff;
mod budget;
mod call;
mod call_key;
mod call_site;
mod clock;
mod context;
mod env_vars;
pub mod job;
pub mod manager;
mod mcp;
mod observe;
mod reply;
pub mod store;
mod text;

pub use context::reporter::{ProgressReporter, create_progress_callback, progress};
pub use context::{CurrentJob, cancelled, carry, carry_blocking, current_job, is_cancelled};
pub use job::{JobId, JobRecord, JobStatus};
pub use manager::{Job, JobManager, JobRequest, job_fn};
pub use mcp::{JobServer, WithJobs, job_tools};
pub use reply::{CallError, CallErrorKind, JobTicket, NotInline, Reply};
/// The SDK whose types are in this crate's signatures.
pub use rmcp;
pub use smart_async_macros::smart_async;
