//! The queue: jobs that wait for a slot, in one line for all processes that share a store. The rules are those of a claim
//! ([`ClaimQuery`](crate::core::job::ClaimQuery)); the services here ask for the jobs of this process.

mod dispatcher;
pub(crate) mod load;
mod tool_permits;

pub(in crate::core) use self::dispatcher::{Dispatcher, Heaviness};
pub(in crate::core) use self::tool_permits::{ToolPermit, ToolPermits};
