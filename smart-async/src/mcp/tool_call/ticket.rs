//! The answer to a call whose work goes on as a job: a task, the questions that the work asks, or a ticket; and the jobs whose
//! answer does not reach the caller.

use std::sync::Arc;

use rmcp::model::CallToolResponse;
use rmcp::{ErrorData, ServerHandler};

use super::Requester;
use crate::call::Caller;
use crate::call::reply::{JobPace, JobTicket};
use crate::core::job::JobRecord;
use crate::core::local::{Attachment, Detach, Leave};
use crate::mcp::questions::{can_be_asked_all, input_required};
use crate::mcp::server::JobServer;
use crate::mcp::tasks::{TaskClient, created};

impl<S: ServerHandler> JobServer<S> {
    /// The answer of a call that became a job: `answer` has the ticket, which this client may take in another form.
    pub(super) async fn became_job(
        &self,
        record: Arc<JobRecord>,
        attachment: Option<Attachment>,
        requester: Requester<'_>,
        answer: Result<CallToolResponse, ErrorData>,
    ) -> Result<CallToolResponse, ErrorData> {
        if requester.caller.has_left() {
            if let Some(attachment) = attachment {
                self.ticket_undelivered(attachment, requester.caller).await;
            }
            return answer;
        }
        let answer = answer.map(|ticket| {
            let job = self.manager.jobs().as_of_now(record);
            self.instead_of_ticket(&job, requester).unwrap_or(ticket)
        });
        if let Some(attachment) = attachment {
            match &answer {
                Ok(answer) => settle(attachment, answer),
                Err(_) => attachment.deliver(),
            }
        }
        answer
    }

    /// The answer to a call that found work which runs already.
    pub(super) fn ticket(
        &self,
        job: &JobRecord,
        happened: &str,
        requester: Requester<'_>,
    ) -> CallToolResponse {
        if let Some(answer) = self.instead_of_ticket(job, requester) {
            return answer;
        }
        let (tool, follow_up) = (&*job.spec.tool, self.names.follow_up());
        let elapsed = self.manager.jobs().elapsed(job).unwrap_or_default();
        let ticket = match job.open_questions().next() {
            Some(asked) => JobTicket::asking(job.id, happened, tool, asked, &follow_up),
            None => {
                let pace = JobPace::of(&self.manager, tool, elapsed);
                JobTicket::new(job.id, job.status(), happened, tool, &follow_up, pace)
            }
        };
        ticket.to_result().into()
    }

    /// The form in which this client takes a job that goes on, where that is no ticket: a task, or the questions of the work.
    fn instead_of_ticket(
        &self,
        job: &JobRecord,
        requester: Requester<'_>,
    ) -> Option<CallToolResponse> {
        if requester.takes_tasks {
            let follow_up = self.names.follow_up();
            let client = TaskClient { asked: requester.rounds, follow_up: &follow_up };
            return Some(created(&self.manager, job, client).into());
        }
        // A client that cannot be asked all of it gets the ticket, which tells the model what is asked.
        requester.rounds?;
        if !can_be_asked_all(requester.rounds, job) {
            return None;
        }
        input_required(requester.digest, job).map(CallToolResponse::from)
    }

    /// The caller left before the answer reached it. Where it was the last one, the same call finds the job, or the job is
    /// stopped, as the annotation says.
    pub(super) async fn ticket_undelivered(&self, attachment: Attachment, caller: &Caller) {
        let departure = caller.departure().await;
        let job = Arc::clone(attachment.job());
        let how = job.site().map_or(Leave::Keep, |site| site.leave_after(&departure));
        if attachment.leave(how) == Detach::Stop {
            self.manager.request_stop(job.id());
        }
    }
}

/// Settles the attachment of a caller that gets this answer.
pub(super) fn settle(attachment: Attachment, answer: &CallToolResponse) {
    match answer {
        CallToolResponse::InputRequired(_) => attachment.asked(),
        _ => attachment.deliver(),
    }
}
