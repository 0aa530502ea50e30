//! A server whose tools wait at a gate, so that tests decide when a body ends. Each tool is named after the key that it shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Json, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_async::smart_async;

use crate::Gate;

/// The server. Clones are the same server.
#[derive(Debug, Clone)]
pub struct GatedTools {
    /// Where bodies arrive when they begin, and wait.
    pub gate: Gate,
    /// The number of bodies that have begun.
    pub begun: Arc<AtomicUsize>,
    /// Where bodies arrive when they return or are dropped.
    pub over: Gate,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Piece {
    made: String,
}

/// The arguments of `make` and its variants.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Order {
    #[serde(default)]
    what: String,
}

/// Arrives at the gate when it is dropped.
struct Over(Gate);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.arrive();
    }
}

impl GatedTools {
    /// A server whose gate is closed.
    #[expect(clippy::new_without_default, reason = "each server is another")]
    pub fn new() -> Self {
        Self { gate: Gate::new(), begun: Arc::default(), over: Gate::new() }
    }

    fn begin(&self) -> Over {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.arrive();
        Over(self.over.clone())
    }

    /// The work of most tools: waits until the gate is open.
    async fn make_plain(&self, order: Order) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        order.what
    }

    /// The number of bodies that have begun.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

#[derive(Serialize, JsonSchema)]
struct Unwritable {
    #[serde(serialize_with = "refuse")]
    never: u32,
}

fn refuse<S: serde::Serializer>(_: &u32, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("this cannot be written"))
}

#[tool_router]
impl GatedTools {
    /// Makes something once the gate is open. Reports progress before and after.
    #[smart_async(default = 5)]
    #[tool]
    async fn make(&self, Parameters(order): Parameters<Order>) -> Json<Piece> {
        let _over = self.begin();
        smart_async::progress().report(1, 2, "waiting at the gate");
        self.gate.opened().await;
        smart_async::progress().report(2, 2, "through the gate");
        Json(Piece { made: order.what })
    }

    /// As `make`, but plain text, and always a job.
    #[smart_async(always_job)]
    #[tool]
    async fn make_always_job(&self, Parameters(order): Parameters<Order>) -> String {
        self.make_plain(order).await
    }

    /// As `make`, once for all callers with the same arguments.
    #[smart_async(default = 5, coalesce)]
    #[tool]
    async fn make_coalesce(&self, Parameters(order): Parameters<Order>) -> Json<Piece> {
        smart_async::progress().report(1, 2, "waiting at the gate");
        Json(Piece { made: self.make_plain(order).await })
    }

    /// As `make_always_job`, once for all callers with the same arguments.
    #[smart_async(always_job, coalesce)]
    #[tool]
    async fn make_always_job_coalesce(&self, Parameters(order): Parameters<Order>) -> String {
        self.make_plain(order).await
    }

    /// Fails as `fail` does, for all callers.
    #[smart_async(default = 5, coalesce)]
    #[tool]
    async fn fail_coalesce(&self) -> Result<CallToolResult, ErrorData> {
        let _over = self.begin();
        self.gate.opened().await;
        Err(ErrorData::invalid_params("the wood is rotten", None))
    }

    /// Panics once the gate is open, for all callers.
    #[smart_async(default = 5, coalesce)]
    #[tool]
    async fn panic_coalesce(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        panic!("the saw is broken");
    }

    /// Stops when its last caller is gone.
    #[smart_async(default = 60, on_disconnect = "cancel", coalesce)]
    #[tool]
    async fn on_disconnect_cancel_coalesce(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "not alone".to_owned()
    }

    /// Runs for at most three seconds, for all callers.
    #[smart_async(deadline = 3, coalesce)]
    #[tool]
    async fn deadline_3s_coalesce(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "in time".to_owned()
    }

    /// Answers clients that know tasks only.
    #[smart_async(default = 5, task_required)]
    #[tool]
    pub async fn make_task_required(&self, Parameters(order): Parameters<Order>) -> String {
        self.make_plain(order).await
    }

    /// Returns when its job is cancelled.
    #[smart_async(default = 5)]
    #[tool]
    async fn until_cancelled(&self) -> String {
        let _over = self.begin();
        smart_async::cancelled().await;
        "heard it".to_owned()
    }

    /// Blocks its thread until the gate is open, and ignores cancellation.
    #[smart_async(blocking, default = 5)]
    #[tool]
    fn blocking(&self) -> String {
        let _over = self.begin();
        let opened = self.gate.opened();
        tokio::runtime::Handle::current().block_on(opened);
        "let go".to_owned()
    }

    /// Fails once the gate is open.
    #[smart_async(default = 5)]
    #[tool]
    async fn fail(&self) -> Result<CallToolResult, ErrorData> {
        let _over = self.begin();
        self.gate.opened().await;
        Err(ErrorData::invalid_params("the wood is rotten", None))
    }

    /// Fails with an error type of its own, once the gate is open.
    #[smart_async(default = 5)]
    #[tool]
    async fn fail_with_text(&self) -> Result<String, String> {
        let _over = self.begin();
        self.gate.opened().await;
        Err("the glue is dry".to_owned())
    }

    /// Panics once the gate is open.
    #[smart_async(default = 5)]
    #[tool]
    async fn panic(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        panic!("the saw is broken");
    }

    /// Fails by a time-out of its own after a second.
    #[smart_async(default = 5)]
    #[tool]
    async fn own_timeout(&self) -> Result<String, String> {
        let _over = self.begin();
        let waited =
            tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
        waited.map(|()| String::new()).map_err(|elapsed| elapsed.to_string())
    }

    /// Returns a value that cannot be written as JSON.
    #[smart_async(default = 5)]
    #[tool]
    async fn unserializable(&self) -> Json<Unwritable> {
        let _over = self.begin();
        self.gate.opened().await;
        Json(Unwritable { never: 1 })
    }

    /// Watches the cancellation token of its request.
    #[smart_async(default = 5)]
    #[tool]
    async fn request_token(&self, context: RequestContext<RoleServer>) -> String {
        let _over = self.begin();
        tokio::select! {
            () = context.ct.cancelled() => "cancelled".to_owned(),
            () = self.gate.opened() => "lived on".to_owned(),
        }
    }

    /// Runs for at most ten seconds.
    #[smart_async(default = 5, deadline = 10)]
    #[tool]
    async fn deadline_10s(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "in time".to_owned()
    }

    /// Runs for at most three seconds, which is less than any budget.
    #[smart_async(deadline = 3)]
    #[tool]
    async fn deadline_3s(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "in time".to_owned()
    }

    /// Goes on when its caller cancels.
    #[smart_async(default = 60, on_cancel = "keep")]
    #[tool]
    async fn on_cancel_keep(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "as I said".to_owned()
    }

    /// Stops when its caller cancels, for any reason.
    #[smart_async(default = 60, on_cancel = "cancel")]
    #[tool]
    async fn on_cancel_cancel(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "yes".to_owned()
    }

    /// Returns a value that is nested more deeply than JSON readers accept.
    #[smart_async(default = 5)]
    #[tool]
    async fn deeply_nested(&self) -> CallToolResult {
        let _over = self.begin();
        self.gate.opened().await;
        let deep = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
        CallToolResult::structured(serde_json::json!({"deep": deep}))
    }

    /// As `make`, with time enough for a call to be open for long.
    #[smart_async(default = 20)]
    #[tool]
    async fn make_slowly(&self, Parameters(order): Parameters<Order>) -> Json<Piece> {
        smart_async::progress().report(1, 2, "waiting at the gate");
        Json(Piece { made: self.make_plain(order).await })
    }

    /// As `make_slowly`, a run of its own for each call.
    #[smart_async(default = 20, repeatable)]
    #[tool]
    async fn make_slowly_repeatable(&self, Parameters(order): Parameters<Order>) -> Json<Piece> {
        Json(Piece { made: self.make_plain(order).await })
    }

    /// Stops when its caller is gone.
    #[smart_async(default = 60, on_disconnect = "cancel")]
    #[tool]
    async fn on_disconnect_cancel(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "not alone".to_owned()
    }

    /// Has arguments of its own of the names that annotated tools get.
    #[smart_async(default = 5)]
    #[tool]
    async fn own_arguments(&self, Parameters(own): Parameters<Own>) -> String {
        format!("{} {}", own.async_mode, own.job_label)
    }

    /// Is not annotated.
    #[tool]
    async fn not_annotated(&self) -> String {
        "plain".to_owned()
    }
}

/// Arguments of the names that annotated tools get.
#[derive(Debug, Deserialize, JsonSchema)]
struct Own {
    async_mode: String,
    job_label: u32,
}

#[tool_handler(name = "gated_tools")]
impl ServerHandler for GatedTools {}
