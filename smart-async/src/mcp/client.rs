//! The client of a request: what it can do, which jobs are its own, and which of its requests wait for an answer.

pub(super) mod access;
pub(super) mod capabilities;
pub(super) mod host_timeouts;
pub(super) mod in_flight;
pub(super) mod patience;
pub(super) mod scope;
pub(super) mod session;
