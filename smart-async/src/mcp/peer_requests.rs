//! What a body asks of its own `peer` while its call is open: elicitation, sampling and the like, in the protocols up to
//! 2025-11-25.
//!
//! The SDK knows by a task-local from which request such a question comes, and a task-local does not cross the spawn of a
//! body. On stdio that does no harm. In a session over HTTP, a question that belongs to no request goes to a stream that its
//! client may never have opened, and is not answered. The one thing of the SDK that takes the task-local along is its
//! `TaskManager`; so one of those spawns the body, and does nothing else. It costs some microseconds, which only the calls
//! pay that need it.

use std::pin::Pin;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskManager, TaskOptions};

use super::capabilities::Client;
use super::clients::came_over_http;
use crate::core::runner::{Carrier, Stop};

/// How the body of this call has to be spawned, where a plain spawn would cut it off from its client.
pub(super) fn carrier(client: &Client, context: &RequestContext<RoleServer>) -> Option<Carrier> {
    (came_over_http(context) && client.takes_requests()).then_some(as_part_of_the_request)
}

fn as_part_of_the_request(work: Pin<Box<dyn Future<Output = ()> + Send>>) -> Stop {
    let carrier = TaskManager::new();
    carrier.spawn(TaskOptions::new().with_ttl_ms(None), |_| {
        Box::pin(async move {
            work.await;
            Ok(CallToolResult::default())
        })
    });
    Arc::new(move || carrier.shutdown())
}
