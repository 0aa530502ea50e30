//! A call of an annotated tool, from its arguments to its answer: as a new call, as one that joins a run which is there already
//! (`join`), or as one that resumes a job with answers (`join` as well). `ticket` makes the answer of a call that became a job.

mod arguments;
mod join;
mod keyed;
mod known_tools;
mod misspelt;
mod reply;
mod rerun;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, ElicitationCapability};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use self::arguments::JobArguments;
pub(super) use self::known_tools::{AnnotatedTool, AnnotatedTools};
pub(super) use self::rerun::ToolRerunner;
use super::client::capabilities::Client;
use super::outcome;
use super::progress_notifications::{ProgressNotifier, with_progress};
use super::questions::{ElicitationPeer, Round, with_elicitation};
use super::sdk_gaps::request_scope::spawner;
use super::server::JobServer;
use super::tools::response::in_band_error;
use crate::call::key::CallDigest;
use crate::call::report::{CallEnd, CallReport};
use crate::call::{CallRequest, Caller};
use crate::core::job::check_depth;
use crate::core::observe;
use crate::core::runner::InlineCompletion;
use crate::core::sync::Mutex;

/// The caller of an annotated tool, and how it can be answered.
#[derive(Clone, Copy)]
struct Requester<'a> {
    caller: &'a Caller,
    /// Whether the caller requests a job at once.
    at_once: bool,
    /// Whether the caller can be answered with a task.
    takes_tasks: bool,
    /// The kinds of questions that the client takes in the answer to its call, if it takes any.
    rounds: Option<&'a ElicitationCapability>,
    /// The tool and its arguments, by which a retry with answers is known.
    digest: &'a CallDigest,
    /// The longest budget that the client's host allows, where that is known.
    budget_limit: Option<Duration>,
}

impl<S: ServerHandler> JobServer<S> {
    /// Answers a call of an annotated tool. The branches that few calls take are boxed, and so is the tool itself: the SDK moves
    /// the future of every request about, in the size of the largest one. The rest needs no box: it is hardly larger than the
    /// largest request of the SDK's own.
    #[expect(clippy::manual_async_fn, reason = "an async fn holds its arguments twice")]
    pub(super) fn call_annotated(
        &self,
        annotated: AnnotatedTool,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
        caller: Caller,
    ) -> impl Future<Output = Result<CallToolResponse, ErrorData>> + Send {
        async move {
            // A call that is looked at too late has no part in anything. The reason of its caller may be lost: the notification
            // found no such call when it came first. So the call must not stop a run that it would join.
            if caller.is_gone() {
                return Ok(in_band_error("the caller has left", None).into());
            }
            let arguments = match JobArguments::take(
                annotated,
                self.names.caller_may(),
                request.arguments.as_mut(),
                |name| self.annotated_tools.has_argument(&request.name, name),
            ) {
                Ok(arguments) => arguments,
                Err(answer) => return Ok(answer.into()),
            };
            let client = Client::of(&context);
            let digest = CallDigest::new(&request.name, request.arguments.as_ref());
            let mut notifier = ProgressNotifier::of(&context);
            let requester = Requester {
                caller: &caller,
                at_once: arguments.async_mode,
                takes_tasks: client.takes_tasks(),
                rounds: client.can_be_asked_in_rounds(),
                digest: &digest,
                budget_limit: self.patience.budget(self.host_timeout(&context)),
            };
            if request.request_state.is_some()
                && let Some(round) =
                    Box::pin(Round::of(&mut request, self.access(&context), &digest)).await?
            {
                return Box::pin(self.resume_round(&mut notifier, &round, requester)).await;
            }
            let scope = self.session.scope(&context);
            let mut beside = beside_arguments(&request);
            let callers_key = match &arguments.key {
                Some(word) => match self.callers_key(word, &scope, &request.name, &digest) {
                    Ok(key) => {
                        beside.insert("idempotency key".to_owned(), key.hash.as_str().into());
                        Some(key)
                    }
                    Err(answer) => return Ok(answer.into()),
                },
                None => None,
            };
            let key = scope.call_key(&digest, std::any::type_name::<S>(), &beside);
            // A caller that requests a job at once does not wait for an open call.
            let key_on_connection = key
                .filter(|_| !arguments.async_mode)
                .map(|key| key.on_connection(self.number, &arguments.marks));
            let live = self.manager.runner().live();
            if let Some(run) = live.called([key, key_on_connection])
                && run.site().is_some_and(|site| requester.takes_tasks || !site.task_required)
                && let Some(attachment) = live.join(&run, key_on_connection)
            {
                let joined = self.join_running(&mut notifier, run, Some(attachment), requester);
                return Box::pin(joined).await;
            }
            // The request's own token is cancelled when the answer goes out; the body's has to outlive the ticket.
            let body_token = CancellationToken::new();
            context.ct = body_token.clone();
            // A retry that carries answers or a request state must not be coalesced as a new call; two retries with the same
            // answers do share a key.
            let is_new = request.input_responses.is_none() && request.request_state.is_none();
            let asked =
                client.can_be_asked().map(|can| Box::new(ElicitationPeer::of(can, &context)));
            let call = Arc::new(CallRequest {
                server: Some(self.shared()),
                open: Some(self.manager.runner().open_call()),
                async_mode: arguments.async_mode,
                takes_tasks: requester.takes_tasks,
                answers: request.input_responses.clone().unwrap_or_default(),
                asks_caller: asked.is_some(),
                budget_limit: requester.budget_limit,
                marks: arguments.marks,
                scope: scope.mark(),
                key,
                key_on_connection,
                callers_key: Mutex::new(callers_key),
                shares: Mutex::new(is_new.then(|| request.name.clone())),
                carrier: spawner(&client, &context),
                arguments: annotated
                    .rerun
                    .then(|| Arc::new(request.arguments.clone().unwrap_or_default())),
                caller: caller.clone(),
                follow_up: self.names.follow_up(),
                body_token: Some(body_token),
                report: Some(CallReport::default()),
                ..CallRequest::unknown(Some(self.manager.clone()))
            });
            let mut tool =
                Box::pin(Arc::clone(&call).serve(self.inner().call_tool(request, context)));
            let progress = || call.progress();
            let answer = match asked {
                None => with_progress(&mut notifier, progress, tool.as_mut()).await,
                Some(asked) => {
                    let mut asking = Box::pin(with_elicitation(&asked, &call, tool.as_mut()));
                    with_progress(&mut notifier, progress, asking.as_mut()).await
                }
            };
            match call.report.as_ref().and_then(CallReport::take_end) {
                None => answer,
                Some(end) => Box::pin(self.settle_end(end, answer, &mut notifier, requester)).await,
            }
        }
    }

    /// The answer of a call whose end the server has to do something about: `answer` is that of the author's server.
    async fn settle_end(
        &self,
        end: CallEnd,
        answer: Result<CallToolResponse, ErrorData>,
        notifier: &mut Option<Box<ProgressNotifier>>,
        requester: Requester<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        match end {
            CallEnd::Answered { shared, completion, keyed } => {
                if let Some(keyed) = keyed {
                    match &answer {
                        Ok(CallToolResponse::InputRequired(_)) => keyed.let_go().await,
                        answer => keyed.keep(outcome::of_answer(answer)).await,
                    }
                }
                if let Some(shared) = shared {
                    shared.answered(&outcome::of_answer(&answer));
                }
                if let Some(completion) = completion {
                    self.hydrate_inline(&completion, &answer).await;
                }
                answer
            }
            CallEnd::Job { record, attachment } => {
                self.became_job(record, attachment, requester, answer).await
            }
            CallEnd::KeyTaken(taken) => {
                let answer = self.answer_of_key(notifier, &taken, requester).await;
                if let Some(shared) = taken.shared {
                    shared.answered(&outcome::of_answer(&answer));
                }
                answer
            }
            CallEnd::Joined(attachment) => {
                let run = Arc::clone(attachment.job());
                self.join_running(notifier, run, Some(attachment), requester).await
            }
            CallEnd::Kept(run) => self.join_running(&mut None, run, None, requester).await,
        }
    }

    /// Puts the inline answer of a call into the state that its tool names. An answer that is an error or a question is not put
    /// anywhere.
    async fn hydrate_inline(
        &self,
        completion: &InlineCompletion,
        answer: &Result<CallToolResponse, ErrorData>,
    ) {
        if let Ok(CallToolResponse::Complete(result)) = answer
            && result.is_error != Some(true)
        {
            match check_depth(outcome::of_result(result)) {
                Ok(output) => self.manager.runner().hydrate_inline(completion, &output).await,
                Err(failure) => {
                    observe::error!(%failure, "the answer of a call goes into no state");
                }
            }
        }
    }
}

/// The other parts of a call by which it differs from one with the same arguments: answers, and its tool's own request state.
fn beside_arguments(request: &CallToolRequestParams) -> Map<String, Value> {
    let mut beside = Map::new();
    if let Some(answers) = &request.input_responses {
        beside
            .extend(answers.iter().map(|(key, answer)| (format!("answer {key}"), answer.clone())));
    }
    if let Some(state) = &request.request_state {
        beside.insert("state".to_owned(), state.as_str().into());
    }
    beside
}
