//! What is known of the request that a call came with: which manager, which wishes, and who waits for the answer. `JobServer` puts it into a task-local; without one, there is nothing to know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use crate::call::host_timeouts::Patience;
use crate::call::receiver::Server;
use crate::call::reply::FollowUp;
use crate::core::call_key::CallKey;
use crate::core::call_site::CallSite;
use crate::core::context;
use crate::core::context::JobContext;
use crate::core::context::questions::Way;
use crate::core::job::{JobId, JobRecord, JobScope, Progress};
use crate::core::local::{Lead, LiveJob, Origin};
use crate::core::manager::JobManager;
use crate::core::runner::{Adoption, Carrier, InlineCompletion, OpenCallGuard};
use crate::core::spawn::try_spawn;

tokio::task_local! {
    static REQUEST: Arc<CallRequest>;
}

/// The request of a call.
pub(crate) struct CallRequest {
    /// The server that is called, where it is shared; so its methods need not be called on a clone.
    pub(crate) server: Option<Server>,
    /// The manager; without one, the global one is used where one is needed.
    pub(crate) manager: Option<JobManager>,
    /// Counts the call among those that the server's end waits for.
    #[expect(dead_code, reason = "counted while it is there")]
    pub(crate) open: Option<OpenCallGuard>,
    /// The caller wants a job at once.
    pub(crate) async_mode: bool,
    /// The caller can be answered with a task of MCP.
    pub(crate) takes_tasks: bool,
    /// The caller is asked what the body asks, for as long as the call is open.
    pub(crate) asks_caller: bool,
    /// Answers that came with the call, to what its body may ask.
    pub(crate) answers: BTreeMap<String, Value>,
    /// What the caller is known to bear.
    pub(crate) patience: Option<Patience>,
    /// What the caller calls the job.
    pub(crate) label: Option<String>,
    /// Whose the job is that the call becomes.
    pub(crate) scope: Option<JobScope>,
    /// What the same call would have in common with this one.
    pub(crate) key: Option<CallKey>,
    /// The tool that was called, where the same call may share its run.
    pub(crate) shares: Option<Cow<'static, str>>,
    /// The lead of the call, where others may share its run.
    pub(crate) leads: OnceLock<Arc<Lead>>,
    /// The same call that runs already, and that this one waits for.
    pub(crate) joins: OnceLock<Arc<LiveJob>>,
    /// Who waits for the answer.
    pub(crate) caller: Caller,
    /// How to follow a job.
    pub(crate) follow_up: Arc<FollowUp>,
    /// What tells the body to stop, where its request carries it too.
    pub(crate) body_token: Option<CancellationToken>,
    /// The job that the call became, once it did.
    pub(crate) became: OnceLock<JobId>,
    /// The work that the call began, for a caller that follows it; filled only where one does.
    pub(crate) followed: Option<SetOnce<Arc<JobContext>>>,
    /// The arguments, where the call may run again after the end of its server.
    pub(crate) arguments: Option<Map<String, Value>>,
    /// How the body has to be spawned, where a plain spawn would cut it off from its caller.
    pub(crate) carrier: Option<Carrier>,
    /// The job whose work runs again by this call.
    pub(crate) reruns: Option<Arc<JobRecord>>,
    /// The end of the call, where it ended within its budget and its result goes into a state.
    pub(crate) completed: OnceLock<InlineCompletion>,
}

/// Arguments may be secrets: they do not go into logs.
impl fmt::Debug for CallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRequest").field("became", &self.became).finish_non_exhaustive()
    }
}

impl CallRequest {
    /// The request that the current task serves.
    /// A call made within a body has its manager in common with it, and whose it is, and nothing else.
    pub(crate) fn current() -> Arc<Self> {
        REQUEST.try_with(Arc::clone).unwrap_or_else(|_| {
            let scope = context::current_scope();
            Arc::new(Self { scope, ..Self::unknown(JobManager::of_current_work()) })
        })
    }

    /// The server that the current request calls, where it is shared.
    pub(crate) fn server() -> Option<Server> {
        REQUEST.try_with(|request| request.server.clone()).ok().flatten()
    }

    /// A request of which nothing is known but, perhaps, whose jobs it makes.
    pub(crate) fn unknown(manager: Option<JobManager>) -> Self {
        Self {
            server: None,
            manager,
            open: None,
            async_mode: false,
            takes_tasks: false,
            asks_caller: false,
            answers: BTreeMap::new(),
            patience: None,
            label: None,
            scope: None,
            key: None,
            shares: None,
            leads: OnceLock::new(),
            joins: OnceLock::new(),
            caller: Caller::default(),
            follow_up: FollowUp::usual(),
            body_token: None,
            became: OnceLock::new(),
            followed: None,
            arguments: None,
            carrier: None,
            reruns: None,
            completed: OnceLock::new(),
        }
    }

    /// The context that the body of this call runs in.
    pub(super) fn context(&self, site: &'static CallSite) -> Arc<JobContext> {
        let context = self.new_context(site);
        if !self.answers.is_empty() {
            context.desk.give(self.answers.clone());
        }
        if self.asks_caller {
            context.desk.reach(Way::Caller);
        }
        Arc::new(context)
    }

    /// The same without what concerns the caller of an open call.
    pub(super) fn new_context(&self, site: &'static CallSite) -> JobContext {
        let host = self.manager.as_ref().map(JobManager::host);
        let context = JobContext::new(site.tool, host).with_scope(self.scope.clone());
        match &self.body_token {
            Some(token) => context.with_token(token.clone()),
            None => context,
        }
    }

    /// Lets the caller see the work that the call has begun.
    pub(crate) fn began(&self, context: &Arc<JobContext>) {
        if let Some(followed) = &self.followed {
            let _ = followed.set(Arc::clone(context));
        }
    }

    /// Waits for the work that the call begins, where it is followed.
    pub(crate) async fn work(&self) -> &Arc<JobContext> {
        match &self.followed {
            Some(followed) => followed.wait().await,
            None => std::future::pending().await,
        }
    }

    /// How far the work has come that the call began.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.followed.as_ref()?.get()?.progress.read()
    }

    /// Serves this request with `handler`.
    pub(crate) fn serve<F: Future>(
        self: Arc<Self>,
        handler: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let client = self.scope.clone();
        context::for_client(client, REQUEST.scope(self, handler))
    }

    /// What the record of the job begins with that this call becomes.
    pub(crate) fn adoption(&self, site: &'static CallSite) -> Adoption {
        let arguments = self.arguments.clone().filter(|_| site.max_reruns > 0);
        let adoption = Adoption::of_call(self.origin(site), self.label.clone(), arguments);
        adoption
            .of_client(self.scope.clone())
            .led_by(self.leads.get().filter(|lead| lead.live().is_of(site)).cloned())
    }

    pub(crate) const fn origin(&self, site: &'static CallSite) -> Origin {
        Origin { site, key: self.key }
    }

    /// Whether the same call runs already, so that this one joins it; if not, this one leads where its tool says so. What a
    /// handler calls beside the tool that it was called for has nothing to do with the request's arguments.
    pub(crate) fn joins_another(&self, site: &'static CallSite, context: &Arc<JobContext>) -> bool {
        let is_asked_for = self.shares.as_ref().is_some_and(|tool| tool == site.tool);
        let Some(manager) = self.manager.as_ref().filter(|_| site.coalesce && is_asked_for) else {
            return false;
        };
        if self.leads.get().is_some() || self.joins.get().is_some() {
            return false;
        }
        match manager.lead(self.origin(site), context) {
            Ok(lead) => {
                let _ = self.leads.set(lead);
                false
            }
            Err(live) => self.joins.set(live).is_ok(),
        }
    }

    pub(crate) async fn manager(&self) -> JobManager {
        or_global(self.manager.clone()).await
    }

    /// Whether the server takes no new work.
    pub(crate) fn is_stopping(&self) -> bool {
        self.manager.as_ref().is_some_and(JobManager::is_stopping)
    }

    /// Waits until open calls have to end because the server does.
    pub(crate) async fn halted(&self) {
        match &self.manager {
            Some(manager) => manager.halted().await,
            None => std::future::pending().await,
        }
    }

    /// Does something with the manager in the background; also called where a future is dropped, perhaps outside of a
    /// runtime, where nothing can be done any more.
    pub(crate) fn with_manager<F>(&self, act: impl FnOnce(JobManager) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        // Not the whole request: the call is no longer open.
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
