//! The request of a call: the manager, the caller's arguments for the job, and the report that the server reads. `JobServer` puts
//! it into a task-local; a call without one is a plain function call.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::caller::Caller;
use super::receiver::Server;
use super::reply::FollowUp;
use super::report::{CallEnd, CallReport};
use super::wait::{Wake, wait_for_run};
use crate::core::blocking::Slots;
use crate::core::call_key::CallKey;
use crate::core::call_site::CallSite;
use crate::core::context;
use crate::core::context::JobContext;
use crate::core::context::questions::AnswerRoute;
use crate::core::job::{JobRecord, JobScope, Progress};
use crate::core::local::{Attachment, Origin, SharedRun};
use crate::core::manager::JobManager;
use crate::core::runner::{Adoption, BodySpawner, CallerMarks, CallersKey};
use crate::core::spawn::try_spawn;
use crate::core::sync::Mutex;

tokio::task_local! {
    static REQUEST: Arc<CallRequest>;
}

/// The request of a call.
pub(crate) struct CallRequest {
    /// The wrapped server, where it is shared, so that its methods need not run on a clone.
    pub(crate) server: Option<Server>,
    /// The manager. Without one, a call that needs a manager uses the global one.
    pub(crate) manager: Option<JobManager>,
    /// Counts the call among those for which a shutdown waits.
    #[expect(dead_code, reason = "counted while it is there")]
    pub(crate) open: Option<TaskTrackerToken>,
    /// The caller requests a job at once.
    pub(crate) async_mode: bool,
    /// The caller can be answered with an MCP task.
    pub(crate) takes_tasks: bool,
    /// The caller can be asked the body's questions while the call is open.
    pub(crate) asks_caller: bool,
    /// Answers that came with the call, by the key of the question that the body may ask.
    pub(crate) answers: BTreeMap<String, Value>,
    /// The longest budget that the caller's host allows, where that is known.
    pub(crate) budget_limit: Option<Duration>,
    /// The caller's marks for the job.
    pub(crate) marks: CallerMarks,
    /// The client to which the job belongs.
    pub(crate) scope: Option<JobScope>,
    /// The key by which the same call finds this run.
    pub(crate) key: Option<CallKey>,
    /// The key by which the same call on the same connection finds this run, once the call has been open for long.
    pub(crate) key_on_connection: Option<CallKey>,
    /// The key of the call, where its caller gave one: of the first call of an annotated function within the request.
    pub(crate) callers_key: Mutex<Option<CallersKey>>,
    /// The tool that was called, where the same call may share its run. The first call of that tool within the request takes
    /// the name out; other functions that a handler calls have nothing to do with the request's arguments.
    pub(crate) shares: Mutex<Option<Cow<'static, str>>>,
    /// The caller that waits for the answer.
    pub(crate) caller: Caller,
    /// The names of the tools by which a caller follows a job.
    pub(crate) follow_up: Arc<FollowUp>,
    /// The token that stops the body, where the body's request carries it too.
    pub(crate) body_token: Option<CancellationToken>,
    /// The arguments, where the call may run again after the end of its server.
    pub(crate) arguments: Option<Arc<Map<String, Value>>>,
    /// Spawns the body, where a plain spawn would cut it off from its caller.
    pub(crate) carrier: Option<BodySpawner>,
    /// The job whose work this call runs again.
    pub(crate) reruns: Option<Arc<JobRecord>>,
    /// The report, where the server reads it.
    pub(crate) report: Option<CallReport>,
}

/// A call's part in a run that the same calls share.
pub(super) enum Share {
    /// The call shares its run with no other.
    No,
    /// The call starts the run, and others may join it.
    Starts(Arc<SharedRun>, Attachment),
    /// The same call runs already, and the caller waits for that run.
    Joined,
}

impl CallRequest {
    /// The request that the current task serves. A call within a body shares the body's manager and client, and nothing else.
    pub(crate) fn current() -> Arc<Self> {
        REQUEST.try_with(Arc::clone).unwrap_or_else(|_| {
            let scope = context::current_scope();
            Arc::new(Self { scope, ..Self::unknown(JobManager::of_current_work()) })
        })
    }

    /// The wrapped server of the current request, where it is shared.
    pub(crate) fn server() -> Option<Server> {
        REQUEST.try_with(|request| request.server.clone()).ok().flatten()
    }

    /// A request of which only the manager may be known.
    pub(crate) fn unknown(manager: Option<JobManager>) -> Self {
        Self {
            server: None,
            manager,
            open: None,
            async_mode: false,
            takes_tasks: false,
            asks_caller: false,
            answers: BTreeMap::new(),
            budget_limit: None,
            marks: CallerMarks::default(),
            scope: None,
            key: None,
            key_on_connection: None,
            callers_key: Mutex::new(None),
            shares: Mutex::new(None),
            caller: Caller::default(),
            follow_up: FollowUp::unwrapped(),
            body_token: None,
            arguments: None,
            carrier: None,
            reruns: None,
            report: None,
        }
    }

    /// Serves this request with `handler`.
    pub(crate) fn serve<F: Future>(
        self: Arc<Self>,
        handler: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let client = self.scope.clone();
        context::for_client(client, REQUEST.scope(self, handler))
    }

    /// The context of the body of an open call.
    pub(super) fn context(&self, site: &'static CallSite) -> Arc<JobContext> {
        let context = self.new_context(site);
        if !self.answers.is_empty() {
            context.questions.give(self.answers.clone());
        }
        if self.asks_caller {
            context.questions.set_route(AnswerRoute::Caller);
        }
        Arc::new(context)
    }

    /// The context of a body whose caller does not wait.
    pub(super) fn new_context(&self, site: &'static CallSite) -> JobContext {
        let host = self.manager.as_ref().map(|manager| manager.runner().host());
        let context =
            JobContext::new(site.tool, host).with_scope(self.scope.clone()).with_stall(site.stall);
        match &self.body_token {
            Some(token) => context.with_token(token.clone()),
            None => context,
        }
    }

    /// The first fields of the record of the job that this call becomes.
    pub(super) fn adoption(
        &self,
        site: &'static CallSite,
        shared: Option<&Arc<SharedRun>>,
    ) -> Adoption {
        let arguments = self.arguments.clone().filter(|_| site.max_reruns > 0);
        Adoption::of_call(self.origin(site), self.marks.clone(), arguments)
            .of_client(self.scope.clone())
            .of_shared_run(shared.cloned())
    }

    pub(super) const fn origin(&self, site: &'static CallSite) -> Origin {
        Origin { site, key: self.key, key_on_connection: self.key_on_connection }
    }

    /// Takes the key of the call, where its caller gave one.
    pub(super) fn take_key(&self, site: &CallSite) -> Option<(CallersKey, Duration)> {
        let kept_for = site.idempotent?;
        Some((self.callers_key.lock().take()?, kept_for))
    }

    /// Joins the same call where that runs already, and its tool coalesces calls or the call has a key; else starts a run that others may join.
    pub(super) fn share(
        &self,
        site: &'static CallSite,
        context: &Arc<JobContext>,
        has_key: bool,
    ) -> Share {
        let Some(manager) = self.manager.as_ref().filter(|_| site.coalesce || has_key) else {
            return Share::No;
        };
        let mut shares = self.shares.lock();
        if shares.take_if(|tool| *tool == site.tool).is_none() {
            return Share::No;
        }
        drop(shares);
        match manager.runner().live().share_or_join(self.origin(site), context) {
            Ok((shared, attachment)) => Share::Starts(shared, attachment),
            Err(attachment) => {
                self.report_end(CallEnd::Joined(attachment));
                Share::Joined
            }
        }
    }

    /// Returns whether the same call may join this one once it has been open for long.
    pub(super) fn is_joined_when_long_open(&self, site: &CallSite) -> bool {
        site.is_joined_when_long_open() && self.key_on_connection.is_some()
    }

    /// Lets the same call on the same connection join this one, which has been open for long.
    pub(super) fn share_open(
        &self,
        site: &'static CallSite,
        context: &Arc<JobContext>,
    ) -> Option<(Arc<SharedRun>, Attachment)> {
        let manager = self.manager.as_ref()?;
        self.shares.lock().take_if(|tool| *tool == site.tool)?;
        manager.runner().live().share_open(self.origin(site), context)
    }

    /// Reports the start of the body.
    pub(super) fn report_start(&self, context: &Arc<JobContext>) {
        if let Some(report) = &self.report {
            report.started(context);
        }
    }

    /// Reports the end of the call. Returns whether the server reads this end.
    pub(super) fn report_end(&self, end: CallEnd) -> bool {
        match &self.report {
            Some(report) => report.end(end),
            None => {
                end.pass_over();
                false
            }
        }
    }

    /// Waits for the start of the body.
    pub(crate) async fn work(&self) -> &Arc<JobContext> {
        match &self.report {
            Some(report) => report.work().await,
            None => std::future::pending().await,
        }
    }

    /// The progress of the body that the call has started.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.report.as_ref()?.started_work()?.progress.read()
    }

    /// The manager of the call, or the global one.
    pub(super) async fn manager(&self) -> JobManager {
        or_global(self.manager.clone()).await
    }

    /// The share of blocking bodies that the call's body belongs to.
    pub(super) fn slots(&self) -> &Arc<Slots> {
        match &self.manager {
            Some(manager) => manager.runner().slots(),
            None => Slots::of_process(),
        }
    }

    /// Returns whether the server takes no new work.
    pub(super) fn is_stopping(&self) -> bool {
        self.manager.as_ref().is_some_and(|manager| manager.runner().is_stopping())
    }

    /// Waits for the run of this call; see [`wait_for_run`].
    pub(super) fn wait_for<T>(
        &self,
        run: Pin<&mut impl Future<Output = T>>,
        until: Option<Instant>,
        asks: Pin<&mut impl Future<Output = ()>>,
    ) -> impl Future<Output = Wake<T>> {
        wait_for_run(run, &self.caller, self.manager.as_ref(), until, asks)
    }

    /// Spawns an act with the manager. Also called by destructors, perhaps outside of a runtime; then the act is dropped.
    pub(super) fn with_manager<F>(&self, act: impl FnOnce(JobManager) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        // The task holds the manager alone: the request counts as an open call for as long as it is held.
        let manager = self.manager.clone();
        try_spawn(async move { act(or_global(manager).await).await });
    }
}

async fn or_global(manager: Option<JobManager>) -> JobManager {
    match manager {
        Some(manager) => manager,
        None => JobManager::global().await,
    }
}
