//! The requests to a `JobServer`. It forwards each to the wrapped server, adds the job tools, jobs' resources and tasks, and puts
//! an annotated call together with the request that it came with.

#![expect(
    deprecated,
    reason = "methods of older protocols are still forwarded, for the clients that speak those"
)]

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
    CompleteRequestParams, CompleteResult, ConstString, CustomNotification, CustomRequest,
    CustomResult, DiscoverRequestMethod, DiscoverResult, GetPromptRequestParams, GetPromptResponse,
    GetSkillRequestParams, GetSkillResult, GetTaskParams, GetTaskResult, InitializeRequestParams,
    InitializeResult, InitializeResultMethod, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListSkillsResult, ListToolsResult, PaginatedRequestParams,
    PingRequestMethod, ProgressNotificationParam, ProtocolVersion,
    ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, TASKS_EXTENSION_ID, Tool, ToolsCapability,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{MaybeSendFuture, NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::JobServer;
use crate::call::{CallRequest, Caller, names_a_time_out};
use crate::core::context::for_client;
use crate::core::runner::Usage;
use crate::mcp::client::capabilities::Client;
use crate::mcp::resources;
use crate::mcp::sdk_gaps::list_defaults::or_empty;
use crate::mcp::sdk_gaps::malformed_requests::refuse_malformed;
use crate::mcp::sdk_gaps::task_subscriptions::{INPUT_ENDED, LISTEN};
use crate::mcp::sdk_gaps::undecodable::refusal_of;
use crate::mcp::subscriptions;
use crate::mcp::tasks::{self, TaskClient};
use crate::mcp::tools::Waiter;

/// Adds the capabilities that this server has and the wrapped server may not have.
fn declare(capabilities: &mut ServerCapabilities) {
    capabilities.tools.get_or_insert_with(ToolsCapability::default);
    resources::declare(capabilities);
    capabilities
        .extensions
        .get_or_insert_default()
        .entry(TASKS_EXTENSION_ID.to_owned())
        .or_default();
}

/// Returns whether a request that the SDK could not decode is one for the version or for a sign of life.
fn is_probe(method: &str) -> bool {
    [InitializeResultMethod::VALUE, DiscoverRequestMethod::VALUE, PingRequestMethod::VALUE]
        .contains(&method)
}

/// Forwards requests that only the wrapped server answers, each with the use of this process that it shows. The jobs that the
/// wrapped server submits meanwhile belong to the client.
macro_rules! forward_requests {
    ($($method:ident($($argument:ident: $kind:ty),*; $context:ident) -> $answer:ty, $usage:expr;)*) => {$(
        fn $method(
            &self,
            $($argument: $kind,)*
            $context: Context
        ) -> impl Future<Output = Result<$answer, ErrorData>> + MaybeSendFuture + '_ {
            let usage: Option<Usage> = $usage;
            usage.into_iter().for_each(|usage| self.used_for(usage));
            let client = self.session.scope(&$context).mark();
            for_client(client, self.inner.$method($($argument,)* $context))
        }
    )*};
}

/// Forwards notifications that only the wrapped server handles.
macro_rules! forward_notifications {
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

// Large futures are boxed, because the SDK moves the future of each request in the size of the largest one.
// The lint finds a method that a later SDK adds: its default would answer here in place of the wrapped server.
#[deny(clippy::missing_trait_methods)]
impl<S: ServerHandler> ServerHandler for JobServer<S> {
    forward_requests! {
        ping(; context) -> (), None;
        complete(request: CompleteRequestParams; context) -> CompleteResult, Some(Usage::Work);
        set_level(request: SetLevelRequestParams; context) -> (), Some(Usage::SetUp);
        get_prompt(request: GetPromptRequestParams; context) -> GetPromptResponse, Some(Usage::Work);
        list_prompts(request: Option<PaginatedRequestParams>; context) -> ListPromptsResult, Some(Usage::SetUp);
        list_skills(request: Option<PaginatedRequestParams>; context) -> ListSkillsResult, Some(Usage::SetUp);
        get_skill(request: GetSkillRequestParams; context) -> GetSkillResult, Some(Usage::Work);
        read_resource_directory(request: ReadResourceDirectoryRequestParams; context) -> ReadResourceDirectoryResult, Some(Usage::Work);
    }

    forward_notifications! {
        on_progress(notification: ProgressNotificationParam, context: Notified) -> ();
        on_initialized(context: Notified) -> ();
        on_roots_list_changed(context: Notified) -> ();
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.inner.supported_protocol_versions()
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // This method is not async and cannot look a job up, so that it accepts unknown jobs as well.
        let jobs = subscriptions::jobs_in(requested);
        let mut accepted = self.accepted_by_inner(requested).unwrap_or_default();
        if !jobs.is_empty() {
            accepted.resource_subscriptions.get_or_insert_default().extend(jobs);
        }
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let access = self.access(context.request_context());
        let jobs = subscriptions::jobs_in(context.requested()).len();
        self.used_for(if jobs == 0 { Usage::SetUp } else { Usage::Work });
        subscriptions::check_number(jobs)?;
        let _open = access
            .open_wait()
            .map_err(|error| ErrorData::invalid_params(error.answer_text(), None))?;
        let jobs = Box::pin(subscriptions::notify(access, context.sink().clone()));
        let inner = Box::pin(async {
            match self.accepted_by_inner(context.requested()) {
                Some(_) => self.inner.listen(context).await,
                None => {
                    context.cancelled().await;
                    Ok(())
                }
            }
        });
        tokio::select! {
            never = jobs => match never {},
            ended = inner => ended,
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.begin(Usage::SetUp).await?;
        let access = self.access(&context);
        let cursor = request.as_ref().and_then(|request| request.cursor.as_deref());
        let after = cursor.map(resources::parse_cursor).transpose()?.flatten();
        if after.is_some() {
            return Box::pin(resources::page(&access, after)).await;
        }
        let mut list = or_empty(self.inner.list_resources(request, context).await)?;
        if list.next_cursor.is_none() {
            Box::pin(resources::append_jobs(&access, &mut list)).await?;
        }
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.begin(Usage::SetUp).await?;
        let mut list = or_empty(self.inner.list_resource_templates(request, context).await)?;
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
            self.used_for(Usage::Work);
            let client = self.session.scope(&context).mark();
            return for_client(client, self.inner.read_resource(request, context)).await;
        }
        self.begin(Usage::Work).await?;
        let follow_up = self.names.follow_up();
        let access = self.access(&context);
        Ok(Box::pin(resources::read(&access, &follow_up, &request.uri)).await?.into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        if !resources::is_of_job(&request.uri) {
            self.used_for(Usage::Work);
            return self.inner.subscribe(request, context).await;
        }
        self.begin(Usage::Work).await?;
        let access = self.access(&context);
        let found = Box::pin(resources::find(&access, &request.uri)).await?;
        self.subscriptions.subscribe(&self.manager, &context.peer, request.uri, found)
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
        self.begin_probe(&context).await?;
        self.session.open();
        let mut result = self.inner.initialize(request, context).await?;
        declare(&mut result.capabilities);
        Ok(result)
    }

    async fn discover(&self, context: Context) -> Result<DiscoverResult, ErrorData> {
        self.begin_probe(&context).await?;
        let mut result = self.inner.discover(context).await?;
        declare(&mut result.capabilities);
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        self.begin(Usage::SetUp).await?;
        let mut list = or_empty(self.inner.list_tools(request, context).await)?;
        if let Some(tool) = list.tools.iter().find_map(|tool| self.names.find(&tool.name)) {
            return Err(self.clash_error(tool));
        }
        let may = self.names.caller_may();
        list.tools =
            list.tools.into_iter().map(|tool| self.annotated_tools.shown(tool, may)).collect();
        if list.next_cursor.is_none() {
            list.tools.extend(self.names.tools().map(|tool| self.names.define(tool)));
        }
        Ok(list)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        match self.names.find(name) {
            Some(tool) => Some(self.names.define(tool)),
            None => {
                let may = self.names.caller_may();
                self.inner.get_tool(name).map(|tool| self.annotated_tools.shown(tool, may))
            }
        }
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        // Listed before anything else, because the client may cancel the call while the manager is still getting ready.
        let caller = Caller::new(context.ct.clone(), self.ways(&context));
        let _in_flight = self.in_flight.enter(context.id.clone(), &caller);
        self.begin(Usage::Work).await?;
        if let Some(tool) = self.names.find(&request.name) {
            let arguments = request.arguments.unwrap_or_default();
            let follow_up = self.names.follow_up();
            let access = self.access(&context);
            let waiter = tool.waits().then(|| {
                let timeout = self.patience.for_waits(self.host_timeout(&context));
                Waiter::new(caller, timeout, &context)
            });
            let groups = self.names.caller_may().group;
            let answer = Box::pin(tool.call(&access, &follow_up, waiter, groups, arguments)).await;
            return Ok(answer.into());
        }
        match self.annotated_tools.look_up(&*self.inner, &request.name, &context).await {
            Some(annotated) => self.call_annotated(annotated, request, context, caller).await,
            None => {
                let scope = self.session.scope(&context).mark();
                let unknown = CallRequest::unknown(Some(self.manager.clone()));
                let server = Some(self.shared());
                let call = Arc::new(CallRequest { scope, server, ..unknown });
                Box::pin(call.serve(self.inner.call_tool(request, context))).await
            }
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        self.begin(Usage::Work).await?;
        let access = self.access(&context);
        let (client, follow_up) = (Client::of(&context), self.names.follow_up());
        let client = TaskClient { asked: client.can_be_asked_in_rounds(), follow_up: &follow_up };
        match Box::pin(tasks::get(&access, &request.task_id, client)).await {
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
        self.begin(Usage::Work).await?;
        let access = self.access(&context);
        let updating = tasks::update(&access, &request.task_id, &request.input_responses);
        match Box::pin(updating).await {
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
        self.begin(Usage::Work).await?;
        let access = self.access(&context);
        match Box::pin(tasks::cancel(&access, &request.task_id)).await {
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
        if request.method == LISTEN {
            self.begin(Usage::Work).await?;
            let access = self.access(&context);
            let info = self.get_info().server_info;
            let follow_up = self.names.follow_up();
            let listening =
                subscriptions::listen_to_tasks(&access, &follow_up, info, request, context);
            return Box::pin(listening).await;
        }
        if let Some(error) = refusal_of(&request) {
            return Err(error);
        }
        if !is_probe(&request.method) {
            self.used_for(Usage::Work);
        }
        match refuse_malformed(&request, &context) {
            Some(error) => Err(error),
            None => {
                let client = self.session.scope(&context).mark();
                for_client(client, self.inner.on_custom_request(request, context)).await
            }
        }
    }

    async fn on_custom_notification(&self, notification: CustomNotification, context: Notified) {
        if notification.method == INPUT_ENDED {
            return self.connection.lose();
        }
        self.inner.on_custom_notification(notification, context).await;
    }

    async fn on_cancelled(&self, notification: CancelledNotificationParam, context: Notified) {
        let caller = notification.request_id.as_ref().and_then(|id| self.in_flight.get(id));
        if let Some((caller, began)) = caller {
            if notification.reason.as_deref().is_some_and(names_a_time_out) {
                self.patience.gave_up(began.elapsed());
            }
            caller.cancels(notification.reason.clone());
        }
        self.inner.on_cancelled(notification, context).await;
    }
}
