//! Keeps the requests that a body sends through its own `peer` (elicitation, sampling and the like, in the protocols up to
//! 2025-11-25) associated with the call that the body serves.
//!
//! **Gap.** rmcp 3.11 associates such a request with its call by the task-local `ORIGINATING_REQUEST` (`service.rs`), which
//! does not cross the spawn of a body. Over stdio this does no harm. In a session over HTTP, a request without an
//! association goes to a stream that the client may never have opened, and gets no answer.
//!
//! **Work-around.** `TaskManager::spawn` (`task_manager.rs`) is the one public function of the SDK that takes the task-local
//! along. A `TaskManager` of its own spawns the body, and does nothing else. This costs some microseconds, which only the
//! calls pay that need it.
//!
//! **Ends when** the SDK lets a server name the originating request, or run a future in its scope.

use std::pin::Pin;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskManager, TaskOptions};

use crate::core::runner::{BodySpawner, StopBody};
use crate::mcp::client::capabilities::Client;
use crate::mcp::client::session::came_over_http;

/// The function that has to spawn the body of this call; `None` where a plain spawn serves as well.
pub(in crate::mcp) fn spawner(
    client: &Client,
    context: &RequestContext<RoleServer>,
) -> Option<BodySpawner> {
    (came_over_http(context) && client.takes_requests()).then_some(spawn_in_request_scope)
}

fn spawn_in_request_scope(work: Pin<Box<dyn Future<Output = ()> + Send>>) -> StopBody {
    let spawner = TaskManager::new();
    spawner.spawn(TaskOptions::new().with_ttl_ms(None), |_| {
        Box::pin(async move {
            work.await;
            Ok(CallToolResult::default())
        })
    });
    Arc::new(move || spawner.shutdown())
}
