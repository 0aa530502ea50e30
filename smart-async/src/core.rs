//! Jobs without MCP: what a job is, where its record is kept, and what runs it.
//!
//! Nothing here names the SDK, the race of a call (`call`) or the protocol (`mcp`); a test holds that.

pub(crate) mod backoff;
pub(crate) mod blocking;
pub(crate) mod call_key;
pub(crate) mod call_site;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod debug_log;
pub(crate) mod env_vars;
mod ids;
pub mod job;
pub mod jobs;
pub(crate) mod local;
pub mod manager;
pub(crate) mod observe;
mod queue;
pub(crate) mod ready_after_yield;
pub mod runner;
pub(crate) mod shield;
pub(crate) mod spawn;
pub mod store;
pub(crate) mod sync;
pub(crate) mod text;
