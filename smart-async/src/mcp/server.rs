//! The server that stands around the author's own, as its author sets it up: how it is wrapped, named and begun. What it
//! answers is in `handler`.

mod handler;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{ErrorCode, Implementation, SubscriptionFilter, Tool};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::OnceCell;

use super::client::access::Access;
use super::client::capabilities::host_timeout;
use super::client::host_timeouts::{HostTimeout, HostTimeouts};
use super::client::in_flight::InFlightRequests;
use super::client::session::Session;
use super::schema::describes_object;
use super::subscriptions::{self, Subscriptions};
use super::tool_call::{AnnotatedTools, ToolRerunner, with_job_arguments};
use super::tools::{JobTool, JobToolNames};
use crate::call::receiver::Server;
use crate::core::manager::JobManager;
use crate::core::observe;

/// Gives every MCP server `with_jobs`.
pub trait WithJobs: ServerHandler {
    /// Wraps this server: its annotated tools become jobs of `manager` when they outlive their budget, and the tools to
    /// follow jobs with are added to its own.
    fn with_jobs(self, manager: JobManager) -> JobServer<Self> {
        JobServer::new(self, manager)
    }
}

impl<S: ServerHandler> WithJobs for S {}

/// An MCP server with jobs: what [`with_jobs`](WithJobs::with_jobs) makes of a server. It is one itself.
///
/// Each connection needs a clone of its own: a factory for HTTP sessions returns `server.clone()`, and never shares one
/// behind an `Arc`, since who waits and who is subscribed is known by connection. Clones share everything else.
pub struct JobServer<S> {
    inner: Arc<S>,
    pub(super) manager: JobManager,
    pub(super) names: Arc<JobToolNames>,
    /// Whether a job tool's name clashes with one of the wrapped server's; asked once.
    begun: Arc<OnceCell<Option<JobTool>>>,
    annotated_tools: AnnotatedTools,
    host_timeouts: Arc<HostTimeouts>,
    /// Calls the tools of the wrapped server again. The manager uses it for as long as this is held.
    rerunner: Arc<ToolRerunner<S>>,
    /// The callers that wait, by request: of this connection only, so clones have lists of their own.
    in_flight: InFlightRequests,
    /// Of this connection only, as well.
    subscriptions: Subscriptions,
    /// And so is this.
    pub(super) session: Session,
}

impl<S: ServerHandler> JobServer<S> {
    fn new(inner: S, manager: JobManager) -> Self {
        let named = inner.get_info().server_info.name;
        // What the SDK fills in where nobody says a name is its own, and the same for every server.
        let unnamed = Implementation::from_build_env().name;
        manager.serve_as(Some(&*named).filter(|named| **named != *unnamed));
        let (inner, annotated_tools) = (Arc::new(inner), AnnotatedTools::default());
        let rerunner = Arc::new(ToolRerunner::new(Arc::clone(&inner), annotated_tools.clone()));
        manager.can_call_again(&rerunner);
        Self {
            inner,
            manager,
            names: Arc::default(),
            begun: Arc::default(),
            annotated_tools,
            host_timeouts: Arc::default(),
            rerunner,
            in_flight: InFlightRequests::default(),
            subscriptions: Subscriptions::default(),
            session: Session::default(),
        }
    }

    /// Begins the names of the job tools with this, for servers that have tools of the same names.
    #[must_use]
    pub fn tool_prefix(mut self, prefix: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.names).set_prefix(prefix.into());
        self
    }

    /// Leaves out a job tool, by its name without the prefix. Names of no job tool are passed over.
    #[must_use]
    pub fn hide_tool(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.names).hide(name);
        self
    }

    /// How long the host of this name bears a call that is not answered, in place of what is known of it: two thirds of that
    /// is the longest budget of a call that it makes, unless a variable sets one, and five seconds less the longest wait of
    /// `wait_job`. A host is known by the name in its `clientInfo`, in any case, also where a version or the like follows.
    /// A limit of zero is passed over.
    #[must_use]
    pub fn host_limit(mut self, name: impl Into<String>, limit: Duration) -> Self {
        let name = name.into();
        if limit.is_zero() {
            observe::warn!(
                host = name,
                "a host's limit of zero is passed over; give a positive one"
            );
        } else {
            Arc::make_mut(&mut self.host_timeouts).set(name, Some(limit));
        }
        self
    }

    /// Treats the host of this name as one of which nothing is known.
    #[must_use]
    pub fn forget_host(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.host_timeouts).set(name.into(), None);
        self
    }

    /// The time-out of the host that made this request, where that is known.
    pub(super) fn host_timeout(&self, context: &RequestContext<RoleServer>) -> Option<HostTimeout> {
        host_timeout(&self.host_timeouts, context)
    }

    /// The jobs, as far as they are there for whoever makes this request.
    pub(super) fn access(&self, context: &RequestContext<RoleServer>) -> Access {
        Access::new(self.manager.clone(), self.session.scope(context))
    }

    /// The wrapped server.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The wrapped server, as its methods may keep it.
    pub(super) fn shared(&self) -> Server {
        Arc::<S>::clone(&self.inner)
    }

    /// The manager.
    pub const fn manager(&self) -> &JobManager {
        &self.manager
    }

    /// What has to be done before anything is served; done once.
    async fn begin(&self) -> Result<(), ErrorData> {
        observe::set_up();
        self.manager.ready().await;
        self.manager.listen_for_the_end();
        let clash = self.begun.get_or_init(async || {
            self.names.tools().find(|tool| self.inner.get_tool(&self.names.full(*tool)).is_some())
        });
        match clash.await {
            Some(tool) => Err(self.clash(*tool)),
            None => Ok(()),
        }
    }

    fn clash(&self, tool: JobTool) -> ErrorData {
        let name = self.names.full(tool);
        let message = format!(
            "this server has a tool `{name}`, and so has smart-async; name the job tools otherwise with \
             `.with_jobs(manager).tool_prefix(\"job_\")`, or leave this one out with `.hide_tool(\"{}\")`",
            tool.name()
        );
        observe::error!("{message}");
        ErrorData::internal_error(message, None)
    }

    /// Whether a task that is none of ours may be one of the wrapped server's.
    fn may_be_inner_task(&self, error: &ErrorData) -> bool {
        error.code == ErrorCode::INVALID_PARAMS
            && self.inner.get_info().capabilities.supports_tasks()
    }

    /// What the wrapped server would tell a subscriber of, as the SDK would make it out without us; `None` where it knows
    /// no such subscriptions.
    fn accepted_by_inner(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let requested = subscriptions::without_jobs(requested);
        let accepted = self.inner.accepted_subscription_filter(&requested)?;
        let advertised = requested.supported_by(&self.inner.get_info().capabilities);
        Some(requested.intersection(&accepted).intersection(&advertised))
    }

    /// The tool as callers see it.
    fn shown(&self, mut tool: Tool) -> Tool {
        if self.annotated_tools.learn(&tool).is_some() {
            tool.input_schema = Arc::new(with_job_arguments(&tool.input_schema));
            // What is no object cannot be described together with a ticket.
            tool.output_schema = tool.output_schema.filter(|schema| describes_object(schema));
        }
        tool
    }
}

/// Clones share the wrapped server.
impl<S> Clone for JobServer<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            manager: self.manager.clone(),
            names: Arc::clone(&self.names),
            begun: Arc::clone(&self.begun),
            annotated_tools: self.annotated_tools.clone(),
            host_timeouts: Arc::clone(&self.host_timeouts),
            rerunner: Arc::clone(&self.rerunner),
            in_flight: InFlightRequests::default(),
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
