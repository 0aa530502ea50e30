//! Calls that start no work: one that joins the same call, and one that resumes the job which asked its caller something.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::CallToolResponse;
use rmcp::{ErrorData, ServerHandler};
use tokio::time::Instant;

use super::Requester;
use super::ticket::settle;
use crate::call::budget;
use crate::call::wait::{Wake, wait_for_run};
use crate::core::job::JobRecord;
use crate::core::jobs::{Error, WaitFor};
use crate::core::local::{Attachment, LiveJob};
use crate::core::observe;
use crate::mcp::outcome;
use crate::mcp::progress_notifications::{ProgressNotifier, with_progress};
use crate::mcp::questions::Round;
use crate::mcp::server::JobServer;
use crate::mcp::tools::response::in_band_error;

/// How long a joined call waits before it looks again whether the run has become a job: at first, and at most.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl<S: ServerHandler> JobServer<S> {
    /// Waits for the run of the same call. The answer is that of the run or, after the caller's own budget, the run's ticket.
    /// A caller without an attachment has left, and is answered in case that it reads on.
    pub(super) async fn join_running(
        &self,
        notifier: &mut Option<Box<ProgressNotifier>>,
        run: Arc<LiveJob>,
        attachment: Option<Attachment>,
        requester: Requester<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _open = self.manager.runner().open_call();
        let answer = pin!(self.wait_for_joined(&run, attachment, requester));
        with_progress(notifier, || run.context.progress.read(), answer).await
    }

    async fn wait_for_joined(
        &self,
        run: &Arc<LiveJob>,
        mut attachment: Option<Attachment>,
        requester: Requester<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        observe::debug!(job_id = %run.id(), tool = %run.context.tool, "the same call runs already");
        let (is_joined, now) = (attachment.is_some(), Instant::now());
        let waits = run.site().filter(|site| !requester.at_once && !site.always_job);
        let budget = waits.map(|site| budget::of(site, requester.budget_limit));
        let began = if is_joined { now } else { run.context.began };
        let mut until = began.checked_add(budget.unwrap_or_default());
        let mut pause = FIRST_PAUSE;
        let mut asked = false;
        let though_left = requester.caller.though_left();
        loop {
            let asks = async move {
                match asked {
                    false => run.context.questions.needs_job().await,
                    true => pending().await,
                }
            };
            let caller = if attachment.is_some() { requester.caller } else { &though_left };
            let manager = Some(&self.manager);
            let (ending, asks) = (pin!(run.ending()), pin!(asks));
            match wait_for_run(ending, caller, manager, until, asks).await {
                Wake::Ended(ending) => {
                    if let Some(attachment) = attachment {
                        attachment.deliver();
                    }
                    return outcome::of_ending(&ending).map(CallToolResponse::from);
                }
                Wake::CallerLeft => {
                    if let Some(attachment) = attachment.take() {
                        self.ticket_undelivered(attachment, caller).await;
                    }
                    if caller.is_gone() {
                        return Ok(in_band_error("the caller has left", None).into());
                    }
                    continue;
                }
                Wake::Halted => {
                    if let Some(attachment) = attachment {
                        attachment.release();
                    }
                    return Ok(in_band_error("the server is ending", None).into());
                }
                Wake::Asks => asked = true,
                Wake::TimeOver => {}
            }
            if let Some(job) = self.followable(run).await
                && !caller.has_left()
            {
                let happened = match budget.filter(|_| !is_joined) {
                    Some(budget) => exceeded(budget),
                    None => "This call was made before and its work still runs in the background."
                        .to_owned(),
                };
                let answer = self.ticket(&job, &happened, requester);
                if let Some(attachment) = attachment {
                    settle(attachment, &answer);
                }
                return Ok(answer);
            }
            until = Instant::now().checked_add(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The record of a run, where its id can be handed out: it is on disk, will not be taken back, and has not ended.
    async fn followable(&self, run: &LiveJob) -> Option<Arc<JobRecord>> {
        let runner = self.manager.runner();
        if !runner.settings().hands_out_ids || !runner.live().holds(run) {
            return None;
        }
        let job = self.manager.status(run.id()).await.ok()?;
        (!job.status().is_terminal()).then_some(job)
    }

    /// Resumes a job that asked something of an earlier call, with the answers of this one. The answer is the job's result, its
    /// next question or, after the caller's own budget, its ticket. The job may run in another process.
    pub(super) async fn resume_round(
        &self,
        notifier: &mut Option<Box<ProgressNotifier>>,
        round: &Round,
        requester: Requester<'_>,
    ) -> Result<CallToolResponse, ErrorData> {
        let runner = self.manager.runner();
        let (_open, _reading) = (runner.open_call(), self.manager.jobs().pin(&[round.id]));
        round.answer().await?;
        let run = runner.live().get(round.id);
        // The caller counts again, so that its departure may stop the work.
        let attachment = run.as_ref().and_then(|run| runner.live().join(run, None));
        let site = run.as_ref().and_then(|run| run.site());
        let budget = budget::of_any(site, requester.budget_limit);
        let caller = requester.caller;
        let jobs = [round.id];
        let job = pin!(self.manager.wait(&jobs, WaitFor::any(), budget));
        let never = pin!(pending());
        let waiting = pin!(wait_for_run(job, caller, Some(&self.manager), None, never));
        let progress = || run.as_ref()?.context.progress.read();
        let failed = |error: Error| ErrorData::internal_error(error.answer_text(), None);
        let job = match with_progress(notifier, progress, waiting).await {
            Wake::Ended(Ok(waited)) => waited.jobs.into_iter().next(),
            Wake::Ended(Err(error)) => {
                if let Some(attachment) = attachment {
                    attachment.release();
                }
                return Err(failed(error));
            }
            _ => None,
        };
        let Some(job) = job.filter(|_| !caller.has_left()) else {
            if !caller.has_left() {
                if let Some(attachment) = attachment {
                    attachment.release();
                }
                return Ok(in_band_error("the server is ending", None).into());
            }
            if let Some(attachment) = attachment {
                self.ticket_undelivered(attachment, caller).await;
            }
            return Ok(in_band_error("the caller has left", None).into());
        };
        if job.status().is_terminal() {
            if let Some(attachment) = attachment {
                attachment.deliver();
            }
            let job = self.manager.status_with_result(job.id).await.map_err(failed)?;
            return outcome::of_record(&job).map(CallToolResponse::from);
        }
        let happened = match job.open_questions().next() {
            Some(_) => "Task runs in background.".to_owned(),
            None => exceeded(budget),
        };
        let answer = self.ticket(&job, &happened, requester);
        if let Some(attachment) = attachment {
            settle(attachment, &answer);
        }
        Ok(answer)
    }
}

/// The first half of the ticket of a call that took longer than its budget.
fn exceeded(budget: Duration) -> String {
    format!("Task exceeded {} time budget; running in background.", budget::display(budget))
}
