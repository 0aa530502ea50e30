//! The work-arounds for rmcp 3.11. Each file says which part of the SDK it works around, and which change of the SDK makes
//! the file unnecessary.

pub(super) mod departures;
pub(super) mod list_defaults;
pub(super) mod malformed_requests;
pub(super) mod request_scope;
pub mod task_subscriptions;
pub(super) mod undecodable;
