//! Transports over which clients can subscribe to their tasks (`notifications/tasks`).
//!
//! A client of the Tasks extension polls `tasks/get`, or names its tasks in a `subscriptions/listen` and is told. The SDK
//! does not know the second: as it decodes such a request it drops the `taskIds`. So the request has to be seen before
//! it is decoded. Over stdio, serve [`stdio()`] in place of the SDK's own:
//!
//! ```no_run
//! # use rmcp::ServerHandler;
//! # use smart_async::rmcp;
//! # struct Reactor;
//! # impl ServerHandler for Reactor {}
//! use rmcp::ServiceExt;
//! use smart_async::transport::stdio; // in place of `rmcp::transport::stdio`
//! use smart_async::{JobManager, WithJobs};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let jobs = JobManager::open().await?;
//! Reactor.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Any other stream of lines: [`TaskSubscriptions`] around its reading half. Streamable HTTP: `HttpTaskSubscriptions`
//! around the SDK's service, with the feature `http`.
//!
//! Over any other transport everything else works, and such a request is acknowledged without its `taskIds`, which tells
//! the client to go on polling.

#[cfg(feature = "http")]
mod http;
mod lines;
mod rename;

use tokio::io::{Stdin, Stdout};

#[cfg(feature = "http")]
pub use self::http::{HttpBody, HttpTaskSubscriptions};
pub use self::lines::TaskSubscriptions;
pub(in crate::mcp) use self::rename::LISTEN;

/// Standard input and output, as `rmcp::transport::stdio` has them, for a [`JobServer`](crate::JobServer) whose clients can
/// subscribe to their tasks.
pub fn stdio() -> (TaskSubscriptions<Stdin>, Stdout) {
    (TaskSubscriptions::new(tokio::io::stdin()), tokio::io::stdout())
}
