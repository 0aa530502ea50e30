//! The server that stands around the author's own: it passes everything on, adds the job tools and the arguments of
//! annotated tools, and tells annotated calls which request they came with.

#![expect(
    deprecated,
    reason = "what newer protocols gave up is still passed on for the clients of older ones"
)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
    CompleteRequestParams, CompleteResult, CustomNotification, CustomRequest, CustomResult,
    DiscoverResult, ErrorCode, GetPromptRequestParams, GetPromptResponse, GetSkillRequestParams,
    GetSkillResult, GetTaskParams, GetTaskResult, Implementation, InitializeRequestParams,
    InitializeResult, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListSkillsResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
    ProtocolVersion, ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, TASKS_EXTENSION_ID, Tool,
    ToolsCapability, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{MaybeSendFuture, NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::OnceCell;

use super::call_again::CallAgain;
use super::callers::Callers;
use super::catalogue::Catalogue;
use super::resources::{self, Cursor};
use super::schema::describes_object;
use super::subscriptions::{self, Subscriptions};
use super::tasks;
use super::tools::{JobTool, JobToolNames};
use super::wishes::with_job_arguments;
use crate::call::{CallRequest, Caller};
use crate::hosts::{Hosts, Patience};
use crate::manager::JobManager;

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
pub struct JobServer<S> {
    inner: Arc<S>,
    pub(super) manager: JobManager,
    pub(super) names: Arc<JobToolNames>,
    /// Whether a job tool's name clashes with one of the wrapped server's; asked once.
    begun: Arc<OnceCell<Option<JobTool>>>,
    catalogue: Catalogue,
    /// How long hosts bear a call.
    hosts: Arc<Hosts>,
    /// The wrapped server once more, as the one that makes calls again; it does so for as long as this is held.
    call_again: Arc<CallAgain<S>>,
    /// The callers that wait, by request: of this connection only, so clones have lists of their own.
    callers: Callers,
    /// Of this connection only, as well.
    subscriptions: Subscriptions,
}

impl<S: ServerHandler> JobServer<S> {
    fn new(inner: S, manager: JobManager) -> Self {
        let named = inner.get_info().server_info.name;
        // What the SDK fills in where nobody says a name is its own, and the same for every server.
        let unnamed = Implementation::from_build_env().name;
        manager.serve_as(Some(&*named).filter(|named| **named != *unnamed));
        let (inner, catalogue) = (Arc::new(inner), Catalogue::default());
        let call_again = Arc::new(CallAgain::new(Arc::clone(&inner), catalogue.clone()));
        manager.can_call_again(&call_again);
        Self {
            inner,
            manager,
            names: Arc::default(),
            begun: Arc::default(),
            catalogue,
            hosts: Arc::default(),
            call_again,
            callers: Callers::default(),
            subscriptions: Subscriptions::default(),
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
            tracing::warn!(
                host = name,
                "a host's limit of zero is passed over; give a positive one"
            );
        } else {
            Arc::make_mut(&mut self.hosts).say(name, Some(limit));
        }
        self
    }

    /// Treats the host of this name as one of which nothing is known.
    #[must_use]
    pub fn forget_host(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.hosts).say(name.into(), None);
        self
    }

    /// How long the host that made this request bears to wait, where that is known.
    pub(super) fn patience(&self, context: &RequestContext<RoleServer>) -> Option<Patience> {
        self.hosts.patience(&context.client_info()?.name)
    }

    /// The wrapped server.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The manager.
    pub const fn manager(&self) -> &JobManager {
        &self.manager
    }

    /// What has to be done before anything is served; done once.
    async fn begin(&self) -> Result<(), ErrorData> {
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
        tracing::error!("{message}");
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
        if self.catalogue.learn(&tool).is_some() {
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
            catalogue: self.catalogue.clone(),
            hosts: Arc::clone(&self.hosts),
            call_again: Arc::clone(&self.call_again),
            callers: Callers::default(),
            subscriptions: Subscriptions::default(),
        }
    }
}

impl<S> fmt::Debug for JobServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobServer").field("manager", &self.manager).finish_non_exhaustive()
    }
}

/// Declares what this server serves beyond the wrapped one.
fn declare(capabilities: &mut ServerCapabilities) {
    capabilities.tools.get_or_insert_with(ToolsCapability::default);
    resources::declare(capabilities);
    capabilities
        .extensions
        .get_or_insert_default()
        .entry(TASKS_EXTENSION_ID.to_owned())
        .or_default();
}

/// A server that has none of what it was asked for has an empty list of it.
fn or_nothing<T: Default>(answer: Result<T, ErrorData>) -> Result<T, ErrorData> {
    match answer {
        Err(error) if error.code == ErrorCode::METHOD_NOT_FOUND => Ok(T::default()),
        answer => answer,
    }
}

/// Methods that are the wrapped server's alone.
macro_rules! pass_on {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {$(
        fn $method(
            &self,
            $($argument: $kind),*
        ) -> impl Future<Output = $answer> + MaybeSendFuture + '_ {
            self.inner.$method($($argument),*)
        }
    )*};
}

type Context = RequestContext<RoleServer>;
type Notified = NotificationContext<RoleServer>;

// A method that a later SDK adds would be answered by its default here, instead of by the wrapped server.
#[deny(clippy::missing_trait_methods)]
impl<S: ServerHandler> ServerHandler for JobServer<S> {
    pass_on! {
        ping(context: Context) -> Result<(), ErrorData>;
        complete(request: CompleteRequestParams, context: Context) -> Result<CompleteResult, ErrorData>;
        set_level(request: SetLevelRequestParams, context: Context) -> Result<(), ErrorData>;
        get_prompt(request: GetPromptRequestParams, context: Context) -> Result<GetPromptResponse, ErrorData>;
        list_prompts(request: Option<PaginatedRequestParams>, context: Context) -> Result<ListPromptsResult, ErrorData>;
        on_progress(notification: ProgressNotificationParam, context: Notified) -> ();
        on_initialized(context: Notified) -> ();
        on_roots_list_changed(context: Notified) -> ();
        on_custom_notification(notification: CustomNotification, context: Notified) -> ();
        list_skills(request: Option<PaginatedRequestParams>, context: Context) -> Result<ListSkillsResult, ErrorData>;
        get_skill(request: GetSkillRequestParams, context: Context) -> Result<GetSkillResult, ErrorData>;
        read_resource_directory(request: ReadResourceDirectoryRequestParams, context: Context)
            -> Result<ReadResourceDirectoryResult, ErrorData>;
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.inner.supported_protocol_versions()
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // A job that is not there is accepted like any other: whether it is cannot be asked here.
        let jobs = subscriptions::jobs_in(requested);
        let mut accepted = self.accepted_by_inner(requested).unwrap_or_default();
        if !jobs.is_empty() {
            accepted.resource_subscriptions.get_or_insert_default().extend(jobs);
        }
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let ours = subscriptions::tell(self.manager.clone(), context.sink().clone());
        let theirs = async {
            match self.accepted_by_inner(context.requested()) {
                Some(_) => self.inner.listen(context).await,
                None => {
                    context.cancelled().await;
                    Ok(())
                }
            }
        };
        tokio::select! {
            never = ours => match never {},
            ended = theirs => ended,
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.begin().await?;
        let cursor = request.as_ref().and_then(|request| request.cursor.as_deref());
        if let Some(after) = cursor.and_then(Cursor::parse) {
            return resources::page(&self.manager, Some(after)).await;
        }
        let mut list = or_nothing(self.inner.list_resources(request, context).await)?;
        if list.next_cursor.is_none() {
            resources::append_jobs(&self.manager, &mut list).await?;
        }
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.begin().await?;
        let mut list = or_nothing(self.inner.list_resource_templates(request, context).await)?;
        if list.next_cursor.is_none() {
            resources::append_templates(&mut list);
        }
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if !resources::is_of_job(&request.uri) {
            return self.inner.read_resource(request, context).await;
        }
        self.begin().await?;
        let follow_up = self.names.follow_up();
        Ok(resources::read(&self.manager, &follow_up, &request.uri).await?.into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        if !resources::is_of_job(&request.uri) {
            return self.inner.subscribe(request, context).await;
        }
        self.begin().await?;
        let found = resources::find(&self.manager, &request.uri).await?;
        self.subscriptions.subscribe(&self.manager, &context.peer, request.uri, found);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        if !resources::is_of_job(&request.uri) {
            return self.inner.unsubscribe(request, context).await;
        }
        self.subscriptions.unsubscribe(request.uri);
        Ok(())
    }

    fn get_info(&self) -> ServerConfig {
        let mut info = self.inner.get_info();
        declare(&mut info.capabilities);
        info
    }

    fn negotiate_initialize(
        &self,
        request: &InitializeRequestParams,
    ) -> Result<InitializeResult, ErrorData> {
        let mut result = self.inner.negotiate_initialize(request)?;
        declare(&mut result.capabilities);
        Ok(result)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: Context,
    ) -> Result<InitializeResult, ErrorData> {
        self.begin().await?;
        let mut result = self.inner.initialize(request, context).await?;
        declare(&mut result.capabilities);
        Ok(result)
    }

    async fn discover(&self, context: Context) -> Result<DiscoverResult, ErrorData> {
        self.begin().await?;
        let mut result = self.inner.discover(context).await?;
        declare(&mut result.capabilities);
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        self.begin().await?;
        let mut list = self.inner.list_tools(request, context).await?;
        if let Some(tool) = list.tools.iter().find_map(|tool| self.names.find(&tool.name)) {
            return Err(self.clash(tool));
        }
        list.tools = list.tools.into_iter().map(|tool| self.shown(tool)).collect();
        if list.next_cursor.is_none() {
            list.tools.extend(self.names.tools().map(|tool| self.names.define(tool)));
        }
        Ok(list)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        match self.names.find(name) {
            Some(tool) => Some(self.names.define(tool)),
            None => self.inner.get_tool(name).map(|tool| self.shown(tool)),
        }
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        // On the list before anything else: a cancellation may come while the server is still getting ready.
        let caller = Caller::new(context.ct.clone());
        let _waiting = self.callers.enter(context.id.clone(), &caller);
        self.begin().await?;
        if let Some(tool) = self.names.find(&request.name) {
            let arguments = request.arguments.unwrap_or_default();
            let (patience, follow_up) = (self.patience(&context), self.names.follow_up());
            return Ok(tool.call(&self.manager, &follow_up, patience, arguments).await.into());
        }
        match self.catalogue.look_up(&*self.inner, &request.name, &context).await {
            Some(annotated) => self.call_annotated(annotated, request, context, caller).await,
            None => {
                let call = Arc::new(CallRequest::unknown(Some(self.manager.clone())));
                call.serve(self.inner.call_tool(request, context)).await
            }
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        self.begin().await?;
        match tasks::get(&self.manager, &request.task_id).await {
            Err(error) if self.may_be_inner_task(&error) => {
                self.inner.get_task(request, context).await
            }
            answer => answer,
        }
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        self.begin().await?;
        match tasks::update(&self.manager, &request.task_id).await {
            Err(error) if self.may_be_inner_task(&error) => {
                self.inner.update_task(request, context).await
            }
            answer => answer,
        }
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        self.begin().await?;
        match tasks::cancel(&self.manager, &request.task_id).await {
            Err(error) if self.may_be_inner_task(&error) => {
                self.inner.cancel_task(request, context).await
            }
            answer => answer,
        }
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Context,
    ) -> Result<CustomResult, ErrorData> {
        if request.method == subscriptions::LISTEN {
            self.begin().await?;
            return subscriptions::listen_to_tasks(self, request, context).await;
        }
        // What the SDK could not read as the request that it names arrives here.
        match tasks::refuse_malformed(&request, &context) {
            Some(error) => Err(error),
            None => self.inner.on_custom_request(request, context).await,
        }
    }

    async fn on_cancelled(&self, notification: CancelledNotificationParam, context: Notified) {
        let caller = notification.request_id.as_ref().and_then(|id| self.callers.get(id));
        if let Some(caller) = caller {
            caller.cancels(notification.reason.clone());
        }
        self.inner.on_cancelled(notification, context).await;
    }
}
