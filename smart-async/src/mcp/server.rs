//! The server that stands around the author's own: it passes everything on, adds the job tools and the arguments of
//! annotated tools, and tells annotated calls which request they came with.

#![expect(
    deprecated,
    reason = "what newer protocols gave up is still passed on for the clients of older ones"
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    CancelledNotificationParam, CompleteRequestParams, CompleteResult, CustomNotification,
    CustomRequest, CustomResult, DiscoverResult, GetPromptRequestParams, GetPromptResponse,
    GetSkillRequestParams, GetSkillResult, GetTaskParams, GetTaskResult, Implementation,
    InitializeRequestParams, InitializeResult, JsonObject, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListSkillsResult, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
    ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams,
    ReadResourceResponse, RequestId, ServerCapabilities, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, ToolsCapability, UnsubscribeRequestParams,
    UpdateTaskParams,
};
use rmcp::service::{MaybeSendFuture, NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::catalogue::{Annotated, Catalogue};
use super::outcome;
use super::schema::{describes_object, with_job_arguments};
use super::tools::answer::{in_band_error, job_label};
use super::tools::{JobTool, JobToolNames};
use crate::budget;
use crate::call::{CallRequest, Caller};
use crate::call_key::CallKey;
use crate::manager::{JobManager, LiveJob};
use crate::reply::JobTicket;

/// The argument of every annotated tool that makes a job of the call at once.
pub(super) const ASYNC_MODE: &str = "async_mode";
/// The argument of every annotated tool that names the job.
pub(super) const JOB_LABEL: &str = "job_label";

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
    inner: S,
    manager: JobManager,
    names: Arc<JobToolNames>,
    /// Whether a job tool's name clashes with one of the wrapped server's; asked once.
    begun: Arc<OnceCell<Option<JobTool>>>,
    catalogue: Catalogue,
    /// The callers that wait, by request: of this connection only, so clones have lists of their own.
    open_calls: OpenCalls,
}

impl<S: ServerHandler> JobServer<S> {
    fn new(inner: S, manager: JobManager) -> Self {
        let named = inner.get_info().server_info.name;
        // What the SDK fills in where nobody says a name is its own, and the same for every server.
        let unnamed = Implementation::from_build_env().name;
        manager.serve_as(Some(&*named).filter(|named| **named != *unnamed));
        Self {
            inner,
            manager,
            names: Arc::default(),
            begun: Arc::default(),
            catalogue: Catalogue::default(),
            open_calls: OpenCalls::default(),
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

    /// The wrapped server.
    pub const fn inner(&self) -> &S {
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

    /// The tool as callers see it.
    fn shown(&self, mut tool: Tool) -> Tool {
        if self.catalogue.learn(&tool).is_some() {
            tool.input_schema = Arc::new(with_job_arguments(&tool.input_schema));
            // What is no object cannot be described together with a ticket.
            tool.output_schema = tool.output_schema.filter(|schema| describes_object(schema));
        }
        tool
    }

    async fn call_annotated(
        &self,
        annotated: Annotated,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
        caller: Caller,
    ) -> Result<CallToolResponse, ErrorData> {
        let wishes = match Wishes::take(annotated, request.arguments.as_mut()) {
            Ok(wishes) => wishes,
            Err(answer) => return Ok(answer.into()),
        };
        let key =
            CallKey::new(std::any::type_name::<S>(), &request.name, request.arguments.as_ref());
        if let Some(live) = self.manager.live().undelivered(key)
            && let Some(answer) = self.attach(&live, &caller, wishes.async_mode).await
        {
            return answer;
        }
        // The request's own token fires when the answer goes out; the body's has to outlive the ticket.
        let body_token = CancellationToken::new();
        context.ct = body_token.clone();
        let call = Arc::new(CallRequest {
            open: Some(self.manager.open_call()),
            async_mode: wishes.async_mode,
            label: wishes.label,
            key: Some(key),
            caller: caller.clone(),
            follow_up: self.names.follow_up(),
            body_token,
            ..CallRequest::unknown(Some(self.manager.clone()))
        });
        let answer = Arc::clone(&call).serve(self.inner.call_tool(request, context)).await;
        if caller.has_left()
            && let Some(live) = call.became.get().and_then(|id| self.manager.live().get(*id))
        {
            self.ticket_was_lost(&live, &caller).await;
        }
        answer
    }

    /// The caller left before the ticket reached it: the same call, made again, gets the job; or the job is stopped,
    /// as the annotation says.
    async fn ticket_was_lost(&self, live: &Arc<LiveJob>, caller: &Caller) {
        self.manager.live().remember_undelivered(live);
        let departure = caller.departure().await;
        if live.site().is_some_and(|site| !site.keeps_after(&departure)) {
            self.manager.live().forget_undelivered(live);
            self.manager.request_cancel(live);
        }
    }

    /// The same call as one whose caller went away without an answer gets that one's, and starts no second run; `None`
    /// where that one never began.
    async fn attach(
        &self,
        live: &Arc<LiveJob>,
        caller: &Caller,
        at_once: bool,
    ) -> Option<Result<CallToolResponse, ErrorData>> {
        let site = live.site()?;
        tracing::debug!(job_id = %live.id(), tool = site.tool, "the caller came back to work that runs already");
        let mut wait = if at_once { Duration::ZERO } else { budget::of(site) };
        loop {
            tokio::select! {
                biased;
                ending = live.ending() => {
                    self.manager.live().forget_undelivered(live);
                    return Some(outcome::of_ending(&ending).map(CallToolResponse::from));
                }
                () = caller.left() => {
                    self.ticket_was_lost(live, caller).await;
                    return Some(Ok(in_band_error("the caller has left", None).into()));
                }
                () = self.manager.halted() => {
                    return Some(Ok(in_band_error("the server is ending", None).into()));
                }
                () = tokio::time::sleep(wait) => {}
            }
            // An id that is not on disk is not handed out: then the wait goes on.
            if self.manager.hands_out_ids()
                && let Ok(job) = self.manager.status(live.id()).await
                && !job.status().is_terminal()
                && !caller.has_left()
            {
                self.manager.live().forget_undelivered(live);
                let happened =
                    "This call was made before and its work still runs in the background.";
                let poll_after = self.manager.poll_after(site.tool, live.context.began.elapsed());
                let follow_up = self.names.follow_up();
                let ticket = JobTicket::new(
                    live.id(),
                    job.status(),
                    happened,
                    site.tool,
                    &follow_up,
                    poll_after,
                );
                return Some(Ok(ticket.to_result().into()));
            }
            wait = Duration::from_secs(1);
        }
    }
}

/// What the caller of an annotated tool wishes beside the tool's own arguments.
#[derive(Debug, Default)]
struct Wishes {
    async_mode: bool,
    label: Option<String>,
}

impl Wishes {
    /// Takes them out of the arguments, so that the tool never sees them; a wish that makes no sense is answered in-band,
    /// before anything is started.
    fn take(
        annotated: Annotated,
        arguments: Option<&mut JsonObject>,
    ) -> Result<Self, CallToolResult> {
        let mut wishes = Self::default();
        let Some(arguments) = arguments else { return Ok(wishes) };
        if !annotated.own_async_mode {
            wishes.async_mode = match arguments.remove(ASYNC_MODE) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Bool(true)) => true,
                Some(_) => return Err(in_band_error("async_mode: give true or false", None)),
            };
        }
        if !annotated.own_job_label {
            wishes.label = match arguments.remove(JOB_LABEL) {
                None | Some(Value::Null) => None,
                Some(label) => Some(
                    job_label(JOB_LABEL, &label).map_err(|error| in_band_error(&error, None))?,
                ),
            };
        }
        Ok(wishes)
    }
}

/// The callers of one connection that wait for an answer.
#[derive(Debug, Clone, Default)]
struct OpenCalls(Arc<Mutex<HashMap<RequestId, Caller>>>);

/// Takes its caller off the list when it is dropped.
struct OpenCall<'a>(&'a OpenCalls, RequestId);

impl OpenCalls {
    fn enter(&self, id: RequestId, caller: &Caller) -> OpenCall<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), caller.clone());
        OpenCall(self, id)
    }

    fn get(&self, id: &RequestId) -> Option<Caller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl<S: Clone> Clone for JobServer<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            manager: self.manager.clone(),
            names: Arc::clone(&self.names),
            begun: Arc::clone(&self.begun),
            catalogue: self.catalogue.clone(),
            open_calls: OpenCalls::default(),
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
        list_resources(request: Option<PaginatedRequestParams>, context: Context)
            -> Result<ListResourcesResult, ErrorData>;
        list_resource_templates(request: Option<PaginatedRequestParams>, context: Context)
            -> Result<ListResourceTemplatesResult, ErrorData>;
        read_resource(request: ReadResourceRequestParams, context: Context) -> Result<ReadResourceResponse, ErrorData>;
        listen(context: SubscriptionContext) -> Result<(), ErrorData>;
        on_custom_request(request: CustomRequest, context: Context) -> Result<CustomResult, ErrorData>;
        on_progress(notification: ProgressNotificationParam, context: Notified) -> ();
        on_initialized(context: Notified) -> ();
        on_roots_list_changed(context: Notified) -> ();
        on_custom_notification(notification: CustomNotification, context: Notified) -> ();
        get_task(request: GetTaskParams, context: Context) -> Result<GetTaskResult, ErrorData>;
        update_task(request: UpdateTaskParams, context: Context) -> Result<(), ErrorData>;
        cancel_task(request: CancelTaskParams, context: Context) -> Result<(), ErrorData>;
        list_skills(request: Option<PaginatedRequestParams>, context: Context) -> Result<ListSkillsResult, ErrorData>;
        get_skill(request: GetSkillRequestParams, context: Context) -> Result<GetSkillResult, ErrorData>;
        read_resource_directory(request: ReadResourceDirectoryRequestParams, context: Context)
            -> Result<ReadResourceDirectoryResult, ErrorData>;
    }

    fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: Context,
    ) -> impl Future<Output = Result<(), ErrorData>> + MaybeSendFuture + '_ {
        self.inner.subscribe(request, context)
    }

    fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: Context,
    ) -> impl Future<Output = Result<(), ErrorData>> + MaybeSendFuture + '_ {
        self.inner.unsubscribe(request, context)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.inner.supported_protocol_versions()
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.inner.accepted_subscription_filter(requested)
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
        let _open = self.open_calls.enter(context.id.clone(), &caller);
        self.begin().await?;
        if let Some(tool) = self.names.find(&request.name) {
            let arguments = request.arguments.unwrap_or_default();
            return Ok(tool.call(&self.manager, &self.names.follow_up(), arguments).await.into());
        }
        match self.catalogue.look_up(&self.inner, &request.name, &context).await {
            Some(annotated) => self.call_annotated(annotated, request, context, caller).await,
            None => {
                let call = Arc::new(CallRequest::unknown(Some(self.manager.clone())));
                call.serve(self.inner.call_tool(request, context)).await
            }
        }
    }

    async fn on_cancelled(&self, notification: CancelledNotificationParam, context: Notified) {
        let caller = notification.request_id.as_ref().and_then(|id| self.open_calls.get(id));
        if let Some(caller) = caller {
            caller.cancels(notification.reason.clone());
        }
        self.inner.on_cancelled(notification, context).await;
    }
}
