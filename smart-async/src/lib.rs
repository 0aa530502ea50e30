//! Long-running work for MCP servers: one attribute turns a slow tool into a job that survives the caller.
//!
//! MCP hosts give up on a tool call, many of them after a minute, and the work is lost. A tool annotated with
//! [`#[smart_async]`](macro@smart_async) answers as ever while it is quick. When its budget is over (20 seconds unless
//! set), the same work goes on as a *job*: it is on disk, the caller gets a ticket with the job's id, and follows it with
//! tools that are there already.
//!
//! ```no_run
//! use rmcp::{ServerHandler, tool, tool_handler, tool_router};
//! use smart_async::rmcp;
//! use smart_async::{JobManager, WithJobs, smart_async};
//!
//! #[derive(Clone)]
//! struct Reactor;
//!
//! #[tool_router]
//! impl Reactor {
//!     /// Simulate the reactor.
//!     #[smart_async(default = 20)]
//!     #[tool]
//!     async fn simulate(&self) -> String {
//!         let progress = smart_async::progress();
//!         for day in 1..=365 {
//!             // … the work …
//!             progress.report(day, 365, "simulated");
//!         }
//!         "done".to_owned()
//!     }
//! }
//!
//! #[tool_handler]
//! impl ServerHandler for Reactor {}
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let jobs = JobManager::open().await?; // ~/.job_mcp
//! let server = Reactor.with_jobs(jobs.clone()); // serve this in place of `Reactor`
//! # drop(server);
//! jobs.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - For authors of tools: [`macro@smart_async`], [`progress()`], [`ask_for()`], [`ToolError`], [`cancelled()`], [`current_job()`],
//!   [`carry()`].
//! - For servers: [`WithJobs::with_jobs`], or [`job_tools()`] to merge by hand.
//! - For clients that want to be told of their tasks: [`mod@transport`].
//! - For servers over HTTP with more than one client: [`ClientIdentity`].
//! - For work that is no tool: [`JobManager::submit`] with a [`Job`]; everything in [`manager`] works without MCP.
//! - For other places to keep jobs in: [`store::JobStore`].
//!
//! Jobs are on disk before their ids are handed out, and a terminal state never changes. Their *records* survive the end
//! of the server; the work itself does not: what still runs then is `failed`, `interrupted`, or is called again from its
//! arguments where the tool says `restart = "rerun"`.
//!
//! Features, none of them on unless asked for: `http`, for servers over Streamable HTTP (subscriptions to tasks, and sessions whose
//! end is known at once: `transport::HttpTaskSubscriptions`, `transport::HttpSessions`), and `conformance`, the rules of every store as tests
//! for one of your own (`store::conformance`).

// Lets the macro's paths, which begin with `::smart_async`, be used in this crate's own tests.
extern crate self as smart_async;

#[doc(hidden)]
pub mod __private;
mod call;
mod core;
mod mcp;

pub use call::errors::{CallError, CallErrorKind};
pub use call::reply::{JobTicket, NotInline, Reply};
pub use core::context::ask::AskError;
pub use core::context::reporter::{ProgressReporter, create_progress_callback, progress};
pub use core::context::{CurrentJob, cancelled, carry, carry_blocking, current_job, is_cancelled};
pub use core::job::{ClientIdentity, JobId, JobRecord, JobStatus};
pub use core::manager::{Job, JobManager, JobRequest, job_fn};
pub use core::{job, jobs, manager, runner, store};
pub use mcp::{Answer, Ask, JobServer, ToolError, WithJobs, ask, ask_for, job_tools, transport};
/// The SDK whose types are in this crate's signatures.
pub use rmcp;
pub use smart_async_macros::smart_async;
