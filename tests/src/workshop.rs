//! A server whose work waits for signals, so that tests need no sleeps.

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
use tokio::sync::watch;

/// Two signals: that somebody has come to the gate, and that it is open. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    arrivals: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    #[expect(clippy::new_without_default, reason = "each gate is another")]
    pub fn new() -> Self {
        Self {
            arrivals: Arc::new(watch::Sender::new(0)),
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Opens the gate for everybody.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Says that somebody is there.
    pub fn arrive(&self) {
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// How many have come.
    pub fn count(&self) -> usize {
        *self.arrivals.borrow()
    }

    /// Waits until somebody has arrived for the `count`th time.
    pub async fn arrived(&self, count: usize) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|arrived| *arrived >= count).await.expect("the gate should stand");
    }

    /// Waits until the gate is open.
    pub async fn opened(&self) {
        self.open.subscribe().wait_for(|open| *open).await.expect("the gate should stand");
    }
}

/// The server. Clones are the same workshop.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Where work waits, after it has said that it has begun.
    pub gate: Gate,
    /// How many pieces of work were begun.
    pub begun: Arc<AtomicUsize>,
    /// How many pieces of work were dropped or ended.
    pub over: Gate,
}

/// What a piece of work made.
#[derive(Debug, Serialize, JsonSchema)]
struct Piece {
    made: String,
}

/// What to make.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Order {
    #[serde(default)]
    what: String,
}

/// Says, however the work ends, that it is over.
struct Over(Gate);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.arrive();
    }
}

impl Workshop {
    /// A workshop whose gate is closed.
    #[expect(clippy::new_without_default, reason = "each workshop is another")]
    pub fn new() -> Self {
        Self { gate: Gate::new(), begun: Arc::default(), over: Gate::new() }
    }

    fn begin(&self) -> Over {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.arrive();
        Over(self.over.clone())
    }

    /// How many pieces of work were begun.
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
impl Workshop {
    /// Make a piece, once the gate is open. Reports progress before and after.
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
    async fn make_later(&self, Parameters(order): Parameters<Order>) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        order.what
    }

    /// As `make`, once for all who ask for the same.
    #[smart_async(default = 5, coalesce)]
    #[tool]
    async fn make_shared(&self, Parameters(order): Parameters<Order>) -> Json<Piece> {
        let _over = self.begin();
        smart_async::progress().report(1, 2, "waiting at the gate");
        self.gate.opened().await;
        Json(Piece { made: order.what })
    }

    /// As `make_later`, once for all who ask for the same.
    #[smart_async(always_job, coalesce)]
    #[tool]
    async fn make_shared_later(&self, Parameters(order): Parameters<Order>) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        order.what
    }

    /// Fails as `fail` does, for all who ask.
    #[smart_async(default = 5, coalesce)]
    #[tool]
    async fn fail_shared(&self) -> Result<CallToolResult, ErrorData> {
        let _over = self.begin();
        self.gate.opened().await;
        Err(ErrorData::invalid_params("the wood is rotten", None))
    }

    /// Panics once the gate is open, for all who ask.
    #[smart_async(default = 5, coalesce)]
    #[tool]
    async fn panic_shared(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        panic!("the saw is broken");
    }

    /// Stops when its caller is gone, unless others wait.
    #[smart_async(default = 60, on_disconnect = "cancel", coalesce)]
    #[tool]
    async fn accompany_all(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "not alone".to_owned()
    }

    /// Runs for at most three seconds, for all who ask.
    #[smart_async(deadline = 3, coalesce)]
    #[tool]
    async fn hurry_shared(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "in time".to_owned()
    }

    /// Is for clients that know tasks.
    #[smart_async(default = 5, task_required)]
    #[tool]
    pub async fn make_for_tasks(&self, Parameters(order): Parameters<Order>) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        order.what
    }

    /// Listens to its token.
    #[smart_async(default = 5)]
    #[tool]
    async fn listen(&self) -> String {
        let _over = self.begin();
        smart_async::cancelled().await;
        "heard it".to_owned()
    }

    /// Holds its thread until the gate is open, whatever anybody says.
    #[smart_async(blocking, default = 5)]
    #[tool]
    fn hold(&self) -> String {
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

    /// Fails with an error of its own, once the gate is open.
    #[smart_async(default = 5)]
    #[tool]
    async fn fail_politely(&self) -> Result<String, String> {
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

    /// Times out by itself, which is no matter of budgets.
    #[smart_async(default = 5)]
    #[tool]
    async fn lose_patience(&self) -> Result<String, String> {
        let _over = self.begin();
        let waited =
            tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
        waited.map(|()| String::new()).map_err(|elapsed| elapsed.to_string())
    }

    /// Makes what cannot be written as JSON.
    #[smart_async(default = 5)]
    #[tool]
    async fn make_unwritable(&self) -> Json<Unwritable> {
        let _over = self.begin();
        self.gate.opened().await;
        Json(Unwritable { never: 1 })
    }

    /// Holds the token of its request, and ends at once where that fires.
    #[smart_async(default = 5)]
    #[tool]
    async fn hold_token(&self, context: RequestContext<RoleServer>) -> String {
        let _over = self.begin();
        tokio::select! {
            () = context.ct.cancelled() => "cancelled".to_owned(),
            () = self.gate.opened() => "lived on".to_owned(),
        }
    }

    /// Runs for at most ten seconds.
    #[smart_async(default = 5, deadline = 10)]
    #[tool]
    async fn hurry(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "in time".to_owned()
    }

    /// Runs for at most three seconds, which is less than any budget.
    #[smart_async(deadline = 3)]
    #[tool]
    async fn hurry_inline(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "in time".to_owned()
    }

    /// Goes on whatever its caller says.
    #[smart_async(default = 60, on_cancel = "keep")]
    #[tool]
    async fn insist(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "as I said".to_owned()
    }

    /// Stops whatever reason its caller gives.
    #[smart_async(default = 60, on_cancel = "cancel")]
    #[tool]
    async fn obey(&self) -> String {
        let _over = self.begin();
        self.gate.opened().await;
        "yes".to_owned()
    }

    /// Makes what is nested more deeply than readers of JSON bear.
    #[smart_async(default = 5)]
    #[tool]
    async fn nest(&self) -> CallToolResult {
        let _over = self.begin();
        self.gate.opened().await;
        let deep = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
        CallToolResult::structured(serde_json::json!({"deep": deep}))
    }

    /// Stops when its caller is gone.
    #[smart_async(default = 60, on_disconnect = "cancel")]
    #[tool]
    async fn accompany(&self) -> String {
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
    async fn plain(&self) -> String {
        "plain".to_owned()
    }
}

/// Arguments of the names that annotated tools get.
#[derive(Debug, Deserialize, JsonSchema)]
struct Own {
    async_mode: String,
    job_label: u32,
}

#[tool_handler(name = "workshop")]
impl ServerHandler for Workshop {}
