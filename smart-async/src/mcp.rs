//! The MCP side of the library: the server around the author's own server, the job tools, and the conversions between
//! tool results and job outcomes. Only this module and `lib.rs` name the SDK.

mod client;
mod outcome;
mod progress_notifications;
mod questions;
mod resources;
mod schema;
mod sdk_gaps;
mod server;
mod subscriptions;
mod tasks;
mod tool_call;
mod tool_error;
mod tools;

pub use questions::{Answer, Ask, ask, ask_for};
pub use sdk_gaps::task_subscriptions as transport;
pub use server::{JobServer, WithJobs};
pub use tool_error::ToolError;
pub use tools::job_tools;

pub(crate) use outcome::of_tool;
pub(crate) use schema::output_schema;
pub use schema::{idempotent_marked, marked, marker, rerun_marked, rerun_marker, widened_schema};
pub(crate) use tool_error::own_error_text;
