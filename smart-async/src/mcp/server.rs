//! `JobServer`, the server around the author's own server: how the author sets it up. `handler` answers its requests.

mod handler;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rmcp::model::{ErrorCode, Implementation, SubscriptionFilter};
use rmcp::service::{RequestContext, RunningService, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::IntoTransport;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::client::access::Access;
use super::client::capabilities::host_timeout;
use super::client::host_timeouts::{HostTimeout, HostTimeouts};
use super::client::in_flight::InFlightRequests;
use super::client::patience::Patience;
use super::client::session::{Session, came_over_http};
use super::sdk_gaps::departures::{WatchedTransport, ways_over_http};
use super::subscriptions::{self, Subscriptions};
use super::tool_call::{AnnotatedTools, ToolRerunner};
use super::tools::{JobTool, JobToolNames};
use crate::call::receiver::Server;
use crate::call::{Way, Ways};
use crate::core::manager::JobManager;
use crate::core::runner::Usage;
use crate::core::{debug_log, observe};

/// Gives every MCP server `with_jobs`.
pub trait WithJobs: ServerHandler {
    /// Wraps this server. A call of an annotated tool becomes a job of `manager` when it outlives its budget, and the job
    /// tools stand beside the server's own tools.
    fn with_jobs(self, manager: JobManager) -> JobServer<Self> {
        JobServer::new(self, manager)
    }
}

impl<S: ServerHandler> WithJobs for S {}

/// An MCP server with jobs. [`with_jobs`](WithJobs::with_jobs) makes it from a server.
///
/// Each connection needs a clone of its own: a factory for HTTP sessions returns `server.clone()`, and never shares one
/// behind an `Arc`, because in-flight calls and subscriptions belong to a connection. Clones share everything else.
pub struct JobServer<S> {
    inner: Arc<S>,
    pub(super) manager: JobManager,
    pub(super) names: Arc<JobToolNames>,
    /// The job tool whose name the wrapped server has as well, if any. Computed by the first request.
    clash: Arc<OnceCell<Option<JobTool>>>,
    pub(super) annotated_tools: AnnotatedTools,
    host_timeouts: Arc<HostTimeouts>,
    /// Calls tools of the wrapped server again after a restart. The manager holds it weakly, so that it serves as long as a
    /// clone of this server exists.
    rerunner: Arc<ToolRerunner<S>>,
    // A clone has these of its own, because they belong to one connection.
    connection: Way,
    /// The number of the connection in this process.
    pub(super) number: u64,
    in_flight: InFlightRequests,
    pub(super) patience: Patience,
    subscriptions: Subscriptions,
    pub(super) session: Session,
}

impl<S: ServerHandler> JobServer<S> {
    fn new(inner: S, manager: JobManager) -> Self {
        let name = inner.get_info().server_info.name;
        // Where the author sets no name, the SDK fills in its own, which is the same for every server.
        let sdk_name = Implementation::from_build_env().name;
        manager.runner().serve_as(Some(&*name).filter(|name| **name != *sdk_name));
        let (inner, annotated_tools) = (Arc::new(inner), AnnotatedTools::default());
        let rerunner = Arc::new(ToolRerunner::new(
            Arc::clone(&inner),
            manager.clone(),
            annotated_tools.clone(),
        ));
        manager.runner().add_rerunner(&rerunner);
        Self {
            inner,
            manager,
            names: Arc::default(),
            clash: Arc::default(),
            annotated_tools,
            host_timeouts: Arc::default(),
            rerunner,
            connection: Way::default(),
            number: next_number(),
            in_flight: InFlightRequests::default(),
            patience: Patience::default(),
            subscriptions: Subscriptions::default(),
            session: Session::default(),
        }
    }

    /// Sets a prefix for the names of the job tools, for a server that has tools of the same names: at most 53 letters, digits, `_`
    /// and `-`, with a letter or `_` first, because model APIs refuse other names, or ones of more than 64 characters. With another
    /// prefix the server answers each request with an error, which is also logged here.
    #[must_use]
    pub fn tool_prefix(mut self, prefix: impl Into<String>) -> Self {
        let names = Arc::make_mut(&mut self.names);
        names.set_prefix(prefix.into());
        if let Some(fault) = names.prefix_fault() {
            observe::error!("{fault}");
        }
        self
    }

    /// Hides a job tool, by its name without the prefix. A name of no job tool is ignored.
    #[must_use]
    pub fn hide_tool(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.names).hide(name);
        self
    }

    /// Lets callers group their jobs: annotated tools take `job_tags` and `job_session` as well, and `list_jobs` shows its filters by
    /// `tag` and `session`. Neither grants or hides anything.
    #[must_use]
    pub fn group_jobs(mut self) -> Self {
        Arc::make_mut(&mut self.names).group_jobs();
        self
    }

    /// Lets callers say how urgent their jobs are: annotated tools take `job_priority` as well, from 1 to 10, of which 10 goes first.
    /// It takes the place of the priority that the annotation sets.
    #[must_use]
    pub fn prioritize_jobs(mut self) -> Self {
        Arc::make_mut(&mut self.names).prioritize_jobs();
        self
    }

    /// Sets how long the host with this name waits for an answer, in place of the library's table. Two thirds of the limit are
    /// the longest budget of the host's calls, unless a variable sets another; the limit less five seconds is the longest wait
    /// of `wait_job`. A host is known by the name in its `clientInfo`, in any case, also with a version or the like behind it.
    /// A limit of zero is ignored.
    #[must_use]
    pub fn host_limit(mut self, name: impl Into<String>, limit: Duration) -> Self {
        let name = name.into();
        if limit.is_zero() {
            observe::warn!(host = name, "a host limit of zero is ignored; it must be positive");
        } else {
            Arc::make_mut(&mut self.host_timeouts).set(name, Some(limit));
        }
        self
    }

    /// Treats the host with this name as an unknown one.
    #[must_use]
    pub fn forget_host(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.host_timeouts).set(name.into(), None);
        self
    }

    /// How long the host of this request waits for an answer; `None` for an unknown host.
    pub(super) fn host_timeout(&self, context: &RequestContext<RoleServer>) -> Option<HostTimeout> {
        host_timeout(&self.host_timeouts, context)
    }

    /// Serves this server over a transport, as the SDK's `serve` does, and learns at once when the input of the connection ends.
    ///
    /// The host is gone then, and each open call of an annotated tool is one whose caller has left: it becomes a job, unless the
    /// tool says `on_disconnect = "cancel"`. The SDK tells this only when the calls are answered, or after five seconds. Served by the
    /// SDK's own function, or from code that is generic over the server, the server learns it then; over
    /// [`transport::stdio`](crate::transport::stdio) and [`TaskSubscriptions`](crate::transport::TaskSubscriptions), at once.
    ///
    /// # Errors
    /// Those of the SDK's `serve`: the client does not begin the protocol.
    ///
    /// # Cancel safety
    /// Dropping the future closes the transport.
    pub async fn serve<T, E, A>(
        self,
        transport: T,
    ) -> Result<RunningService<RoleServer, Self>, ServerInitializeError>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        self.serve_with_ct(transport, CancellationToken::new()).await
    }

    /// The same, until `ct` is cancelled.
    ///
    /// # Errors
    /// Those of the SDK's `serve_with_ct`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the transport.
    pub async fn serve_with_ct<T, E, A>(
        self,
        transport: T,
        ct: CancellationToken,
    ) -> Result<RunningService<RoleServer, Self>, ServerInitializeError>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let connection = self.connection.clone();
        let transport = WatchedTransport::new(transport.into_transport(), connection);
        serve_server_with_ct(self, transport, ct).await
    }

    /// The ways to the caller of this request.
    fn ways(&self, context: &RequestContext<RoleServer>) -> Ways {
        let of_stream = ways_over_http(context);
        of_stream.unwrap_or_else(|| Ways { connection: self.connection.clone(), stream: None })
    }

    /// The jobs as the client of this request may use them.
    pub(super) fn access(&self, context: &RequestContext<RoleServer>) -> Access {
        Access::new(self.manager.clone(), self.session.scope(context))
    }

    /// The wrapped server.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The wrapped server, for the bodies of its methods, which may outlive the request.
    pub(super) fn shared(&self) -> Server {
        Arc::<S>::clone(&self.inner)
    }

    /// The manager.
    pub const fn manager(&self) -> &JobManager {
        &self.manager
    }

    /// Takes note that a client uses this process. No request that a probe for a version makes comes here.
    fn used_for(&self, usage: Usage) {
        self.manager.runner().used_for(usage);
    }

    /// Prepares for a request that may be a probe's for a version, and waits for nothing. A process that serves HTTP is not started for
    /// a probe.
    async fn begin_probe(&self, context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
        if came_over_http(context) {
            self.used_for(Usage::Work);
        }
        self.prepare().await
    }

    /// Prepares for a request of a client that uses this process.
    async fn begin(&self, usage: Usage) -> Result<(), ErrorData> {
        self.used_for(usage);
        self.manager.runner().ready().await;
        self.prepare().await
    }

    /// Sets up the process, and refuses the request where the job tools have names that cannot be, or that a tool of the wrapped
    /// server has.
    async fn prepare(&self) -> Result<(), ErrorData> {
        if let Some(fault) = self.names.prefix_fault() {
            return Err(ErrorData::internal_error(fault, None));
        }
        debug_log::set_up();
        self.manager.runner().listen_for_sigterm();
        let clash = self.clash.get_or_init(async || {
            self.names.tools().find(|tool| self.inner.get_tool(&self.names.full(*tool)).is_some())
        });
        match clash.await {
            Some(tool) => Err(self.clash_error(*tool)),
            None => Ok(()),
        }
    }

    fn clash_error(&self, tool: JobTool) -> ErrorData {
        let name = self.names.full(tool);
        let message = format!(
            "this server has a tool `{name}`, and so has smart-async; rename the job tools with \
             `.with_jobs(manager).tool_prefix(\"job_\")`, or hide this one with `.hide_tool(\"{}\")`",
            tool.name()
        );
        observe::error!("{message}");
        ErrorData::internal_error(message, None)
    }

    /// Returns whether the task that `error` does not know may be one of the wrapped server.
    fn may_be_inner_task(&self, error: &ErrorData) -> bool {
        error.code == ErrorCode::INVALID_PARAMS
            && self.inner.get_info().capabilities.supports_tasks()
    }

    /// The part of a filter that the wrapped server accepts, computed as the SDK does for a server that is not wrapped; `None`
    /// where the wrapped server has no such subscriptions.
    fn accepted_by_inner(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let requested = subscriptions::without_jobs(requested);
        let accepted = self.inner.accepted_subscription_filter(&requested)?;
        let advertised = requested.supported_by(&self.inner.get_info().capabilities);
        Some(requested.intersection(&accepted).intersection(&advertised))
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Clones share the wrapped server.
impl<S> Clone for JobServer<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            manager: self.manager.clone(),
            names: Arc::clone(&self.names),
            clash: Arc::clone(&self.clash),
            annotated_tools: self.annotated_tools.clone(),
            host_timeouts: Arc::clone(&self.host_timeouts),
            rerunner: Arc::clone(&self.rerunner),
            connection: Way::default(),
            number: next_number(),
            in_flight: InFlightRequests::default(),
            patience: Patience::default(),
            subscriptions: Subscriptions::default(),
            session: Session::default(),
        }
    }
}

impl<S> fmt::Debug for JobServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobServer").field("manager", &self.manager).finish_non_exhaustive()
    }
}
