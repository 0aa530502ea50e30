//! Transports over which clients can subscribe to their tasks (`notifications/tasks`).
//!
//! A client of the Tasks extension polls `tasks/get`, or names its tasks as `taskIds` in a `subscriptions/listen` and gets a
//! notification of each change. The SDK drops the `taskIds` while it decodes such a request, so that the transport has to read
//! the request first. Over stdio, serve [`stdio()`] in place of the SDK's function:
//!
//! ```no_run
//! # use rmcp::ServerHandler;
//! # use smart_async::rmcp;
//! # struct Reactor;
//! # impl ServerHandler for Reactor {}
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
//! For any other stream of lines, put [`TaskSubscriptions`] around its reading half. For Streamable HTTP, put
//! `HttpTaskSubscriptions` (feature `http`) around the SDK's service, and give that `HttpSessions`.
//!
//! Over any other transport, the server acknowledges such a request without its `taskIds`, and the client goes on polling.
//! Everything else works there too.

// Gap: `SubscriptionFilter` of rmcp 3.11 (`model.rs`) has no `taskIds`, and its subscription sink refuses `notifications/tasks`
// (`service/server.rs`, "not yet routable"). Work-around: `rename` gives the request another method, which the SDK decodes as a
// custom request, undiminished; `mcp::subscriptions::tasks` serves it. Ends when the filter of the SDK has `taskIds`.

#[cfg(feature = "http")]
mod http;
mod lines;
mod rename;
#[cfg(feature = "http")]
mod undecodable_body;

use tokio::io::{Stdin, Stdout};

#[cfg(feature = "http")]
pub use self::http::{HttpBody, HttpTaskSubscriptions};
pub use self::lines::TaskSubscriptions;
pub(in crate::mcp) use self::rename::{INPUT_ENDED, LISTEN};
#[cfg(feature = "http")]
pub use self::undecodable_body::HttpAnswer;
#[cfg(feature = "http")]
pub use super::departures::HttpSessions;

/// Standard input and output, as `rmcp::transport::stdio` returns them, for a [`JobServer`](crate::JobServer) whose clients
/// can subscribe to their tasks.
pub fn stdio() -> (TaskSubscriptions<Stdin>, Stdout) {
    (TaskSubscriptions::new(tokio::io::stdin()), tokio::io::stdout())
}
