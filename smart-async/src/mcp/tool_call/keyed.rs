//! Calls with an idempotency key: the key as the store knows it, and the answer where another call has it.

use std::future::pending;
use std::pin::pin;

use rmcp::model::{CallToolResponse, CallToolResult};
use rmcp::{ErrorData, ServerHandler};
use tokio::time::Instant;

use super::Requester;
use super::join::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::call::budget;
use crate::call::key::CallDigest;
use crate::call::report::TakenKey;
use crate::call::wait::{Wake, wait_for_run};
use crate::core::job::IdempotencyKey;
use crate::core::jobs::Error;
use crate::core::runner::CallersKey;
use crate::mcp::client::scope::Scope;
use crate::mcp::outcome;
use crate::mcp::progress_notifications::ProgressNotifier;
use crate::mcp::server::JobServer;
use crate::mcp::tools::response::in_band_error;

const OTHER_ARGUMENTS: &str = "idempotency_key: this key belongs to an earlier call with other arguments, so nothing was run; call again \
                               with those arguments to get its answer, or with another key to run this one";

const GONE: &str = "idempotency_key: the call that had this key has just ended without an answer that is kept, and nothing was run; \
                    call again with the same key";

impl<S: ServerHandler> JobServer<S> {
    /// The key of a call as the store knows it. A key belongs to one tool of one client: models name keys after the thing that they
    /// work on, and use them with several tools.
    ///
    /// # Errors
    /// The answer to the call, where its caller cannot be told from another one.
    pub(super) fn callers_key(
        &self,
        word: &str,
        scope: &Scope,
        tool: &str,
        digest: &CallDigest,
    ) -> Result<CallersKey, CallToolResult> {
        if *scope == Scope::Stateless {
            let message = "idempotency_key: callers cannot be told apart here, since the request has neither a session nor an \
                           identity, so nothing was run; call again without it, and know that a second call runs again";
            return Err(in_band_error(message, None));
        }
        let server = self.manager.runner().server();
        let hash = IdempotencyKey::hash(server, scope.mark().as_ref(), tool, word);
        Ok(CallersKey { hash, arguments: digest.to_string() })
    }

    /// The answer to a call whose key another one has: that one's answer, or the job that it became. It may run in another process.
    pub(super) async fn answer_of_key(
        &self,
        notifier: &mut Option<Box<ProgressNotifier>>,
        taken: &TakenKey,
        requester: Requester<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let runner = self.manager.runner();
        let (_open, _reading) = (runner.open_call(), self.manager.jobs().pin(&[taken.holder]));
        let waits = !requester.at_once && !taken.site.always_job;
        let budget = waits.then(|| budget::of(taken.site, requester.budget_limit));
        let until = Instant::now().checked_add(budget.unwrap_or_default());
        let failed = |error: Error| Ok(in_band_error(&error.answer_text(), None).into());
        let mut pause = FIRST_PAUSE;
        loop {
            let job = match self.manager.jobs().keyed(taken.holder).await {
                Ok(Some(job)) => job,
                Ok(None) => return Ok(in_band_error(GONE, None).into()),
                Err(error) => return failed(error.into()),
            };
            let key = job.spec.idempotency.as_ref();
            if key.is_some_and(|key| key.arguments != taken.key.arguments) {
                return Ok(in_band_error(OTHER_ARGUMENTS, None).into());
            }
            if job.status().is_terminal() {
                return match self.manager.jobs().keyed_with_result(job.id).await {
                    Ok(job) => outcome::of_record(&job).map(CallToolResponse::from),
                    Err(error) => failed(error),
                };
            }
            let live = runner.live();
            if !job.call_open
                && let Some(run) = live.get(job.id)
                && let Some(attachment) = live.join(&run, None)
            {
                return self.join_running(notifier, run, Some(attachment), requester).await;
            }
            let is_over = until.is_some_and(|until| until <= Instant::now());
            if !job.call_open && (is_over || job.open_questions().next().is_some()) {
                let happened =
                    "This call was made before and its work still runs in the background.";
                return Ok(self.ticket(&job, happened, requester));
            }
            let next = Instant::now().checked_add(pause);
            let next = next.min(until.filter(|_| !is_over).or(next));
            pause = (pause * 2).min(LONGEST_PAUSE);
            let (never, asks) = (pin!(pending::<()>()), pin!(pending()));
            match wait_for_run(never, requester.caller, Some(&self.manager), next, asks).await {
                Wake::CallerLeft => return Ok(in_band_error("the caller has left", None).into()),
                Wake::Halted => return Ok(in_band_error("the server is ending", None).into()),
                _ => {}
            }
        }
    }
}
