//! The report of a call: by it, `call` tells the server (`mcp::tool_call`) how a call went that the server serves. Between the two stands
//! only the author's own server, which sees the tool's answer and nothing of this.

use std::sync::Arc;

use tokio::sync::SetOnce;

use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::job::{JobId, JobRecord};
use crate::core::local::{Attachment, LiveJob, SharedRun};
use crate::core::runner::{CallersKey, InlineCompletion, KeyedCall};
use crate::core::sync::Mutex;

/// The report of one call.
#[derive(Default)]
pub(crate) struct CallReport {
    /// The context of the body, from the start of the body on.
    work: SetOnce<Arc<JobContext>>,
    end: Mutex<Option<CallEnd>>,
}

/// The key of a call that another one has.
pub(crate) struct TakenKey {
    pub(crate) site: &'static CallSite,
    pub(crate) key: CallersKey,
    /// The job that has the key.
    pub(crate) holder: JobId,
    /// The run, where other callers wait for the answer of this call.
    pub(crate) shared: Option<Arc<SharedRun>>,
}

/// How a call ended for its request.
pub(crate) enum CallEnd {
    /// The call was answered, and is no job.
    Answered {
        /// The run, where other callers wait for the same answer.
        shared: Option<Arc<SharedRun>>,
        /// The completion, where its result goes into a state.
        completion: Option<InlineCompletion>,
        /// The call, where its answer is kept for its key.
        keyed: Option<KeyedCall>,
    },
    /// Another call or job has the key of this call, whose work was not started.
    KeyTaken(Box<TakenKey>),
    /// The call became a job.
    Job {
        /// The record as the store has it.
        record: Arc<JobRecord>,
        /// The caller, who has no answer yet; `None` where the job is being stopped already.
        attachment: Option<Attachment>,
    },
    /// The same call runs already, and the caller waits for that run.
    Joined(Attachment),
    /// The caller left, and its call is kept as a job. The answer may reach the caller all the same.
    Kept(Arc<LiveJob>),
}

impl CallReport {
    /// Takes note of the start of the body.
    pub(super) fn started(&self, work: &Arc<JobContext>) {
        let _ = self.work.set(Arc::clone(work));
    }

    /// Takes note of the end of the call. A request may call annotated functions more than once: the first job or joined run
    /// counts, and an inline answer only where there is neither.
    ///
    /// Returns whether this end counts.
    pub(super) fn end(&self, end: CallEnd) -> bool {
        let mut known = self.end.lock();
        let counts = matches!(*known, None | Some(CallEnd::Answered { .. }));
        let passed_over = if counts { known.replace(end) } else { Some(end) };
        drop(known);
        if let Some(end) = passed_over {
            end.pass_over();
        }
        counts
    }

    /// Waits for the start of the body.
    pub(super) async fn work(&self) -> &Arc<JobContext> {
        self.work.wait().await
    }

    /// The context of the body, once the body has started.
    pub(super) fn started_work(&self) -> Option<&Arc<JobContext>> {
        self.work.get()
    }

    /// The end of the call. Taken once, after the author's server has answered.
    pub(crate) fn take_end(&self) -> Option<CallEnd> {
        self.end.lock().take()
    }
}

impl CallEnd {
    /// Settles an end that no server reads. The ticket that the annotated function returns is the caller's answer then.
    pub(super) fn pass_over(self) {
        if let Self::Job { attachment: Some(attachment), .. } = self {
            attachment.deliver();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::job::{JobSpec, Timestamp};

    fn job() -> (JobId, CallEnd) {
        let id = JobId::new();
        let record = JobRecord::new(id, JobSpec::new("saw", "workshop", Timestamp::UNIX_EPOCH));
        (id, CallEnd::Job { record: Arc::new(record), attachment: None })
    }

    #[test]
    fn the_first_job_counts_and_an_inline_answer_only_where_there_is_none() {
        let answered = || CallEnd::Answered { shared: None, completion: None, keyed: None };
        let report = CallReport::default();
        assert!(report.end(answered()));
        let (first, end) = job();
        assert!(report.end(end));
        assert!(!report.end(job().1) && !report.end(answered()));
        let Some(CallEnd::Job { record, .. }) = report.take_end() else { panic!("no job") };
        assert_eq!(record.id, first);
    }
}
