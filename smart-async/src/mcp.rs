//! Everything that speaks MCP: the server that wraps the author's own, the job tools, and the conversions between
//! results of tools and outcomes of jobs. Nothing outside this module names the SDK.

mod access;
mod annotated;
mod call_again;
mod callers;
mod capabilities;
mod catalogue;
mod clients;
mod outcome;
mod peer_requests;
mod progress;
mod questions;
mod reply;
mod resources;
mod schema;
mod server;
mod subscriptions;
mod tasks;
mod tools;
mod wishes;

pub use questions::{Answer, Ask, ask, ask_for};
pub use server::{JobServer, WithJobs};
pub use tools::job_tools;

pub(crate) use outcome::of_tool;
pub use schema::{marked, marker, output_schema, rerun_marked, rerun_marker, widened_schema};
pub(crate) use subscriptions::LISTEN;
