//! The departure of a caller whose call is open: the work is kept as a job, or stopped.

use std::sync::Arc;

use super::OpenCall;
use crate::call::caller::Departure;
use crate::call::report::CallEnd;
use crate::core::context::questions::AnswerRoute;
use crate::core::job::JobEvent;
use crate::core::local::{Detach, Leave, LiveJob};
use crate::core::observe;
use crate::core::runner::Body;

impl<R: Send + 'static> OpenCall<R> {
    /// Keeps the work as a job after its caller left, or stops it, as the annotation says. The same call finds the run from this
    /// moment on, before the reason of the departure is known.
    pub(super) async fn caller_left(&mut self) {
        if let Some(manager) = &self.request.manager {
            let live = match &self.attachment {
                Some(attachment) => Arc::clone(attachment.job()),
                None => self.new_live_job(),
            };
            manager.runner().register_undelivered(&live);
            if self.attachment.is_none() {
                self.attachment = manager.runner().live().attach(&live);
            }
        }
        if let Some(body) = &mut self.body {
            body.step_aside();
        }
        let departure = self.request.caller.departure().await;
        if let Some(live) = self.settle(&departure)
            && !self.request.caller.is_gone()
        {
            self.request.report_end(CallEnd::Kept(live));
        }
    }

    fn new_live_job(&self) -> Arc<LiveJob> {
        LiveJob::new(Arc::clone(&self.context), Some(self.request.origin(self.site)))
    }

    /// Keeps the work as a job, and returns that; or stops it.
    fn settle(&mut self, departure: &Departure) -> Option<Arc<LiveJob>> {
        let how = self.site.leave_after(departure);
        let (live, keep) = match self.attachment.take() {
            Some(attachment) => {
                let live = Arc::clone(attachment.job());
                (Some(live), attachment.leave(how) != Detach::Stop)
            }
            None => (None, how == Leave::Keep),
        };
        observe::debug!(?departure, keep, "the caller left before the answer");
        if keep {
            return self.keep_as_job(live);
        }
        self.stop_body(live);
        self.end_key(JobEvent::Cancel);
        None
    }

    /// Makes the work a job in the background. Where its record cannot be written, the manager keeps the result in memory for
    /// the caller's return.
    fn keep_as_job(&mut self, live: Option<Arc<LiveJob>>) -> Option<Arc<LiveJob>> {
        let body = self.body.take()?;
        if let Some(keyed) = self.keyed.take() {
            keyed.becomes_job();
        }
        let body = Body::new(body, self.conclude);
        let live = live.unwrap_or_else(|| self.new_live_job());
        let kept = Arc::clone(&live);
        let adopting = self.adopting.take();
        let adoption = self.request.adoption(self.site, self.shared.as_ref());
        self.context.questions.set_route(AnswerRoute::Job);
        self.request.with_manager(async move |manager| {
            let runner = manager.runner();
            if !runner.settings().hands_out_ids {
                live.context.questions.set_route(AnswerRoute::Unavailable);
            }
            runner.register_undelivered(&live);
            runner.keep(adoption, live, body, adopting);
        });
        Some(kept)
    }

    /// Stops the body, and ends the run for callers that found it, if any did.
    pub(super) fn stop_body(&mut self, live: Option<Arc<LiveJob>>) {
        let Some(body) = self.body.take() else { return };
        let (context, body) = (Arc::clone(&self.context), Body::new(body, self.conclude));
        self.request.with_manager(async move |manager| {
            if let Some(live) = live {
                manager.runner().forget(&live);
            }
            body.wind_down(&context, manager.runner().settings().cancel_grace).await;
        });
    }
}

/// The author's server dropped the future of the call, which is as good as a lost connection.
impl<R: Send + 'static> Drop for OpenCall<R> {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.settle(&Departure::Disconnected);
        }
    }
}
