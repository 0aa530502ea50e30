//! `notifications/progress` for the caller of an open call that asked for them: four a second at most, each further than the
//! one before, and none once the call is answered.

use std::pin::{Pin, pin};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::core::job::Progress;
use crate::core::ready_after_yield::ready_after_yield;

/// How often a caller is told of progress at most, and within what time.
const TICK: Duration = Duration::from_millis(250);

/// For how long an answer waits for the news before it: a connection that takes nothing any more must not hold it up.
const LAST_NEWS: Duration = Duration::from_secs(1);

/// A caller that wants to be told.
pub(super) struct ProgressNotifier {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    /// What it was told last.
    told: Option<f64>,
}

impl ProgressNotifier {
    /// The caller of this request, if it wants to be told. Boxed, as it waits in the future of every call.
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Option<Box<Self>> {
        let token = context.meta.get_progress_token()?;
        Some(Box::new(Self { peer: context.peer.clone(), token, told: None }))
    }

    /// Waits for the answer of an open call, and tells the caller how far it has come meanwhile.
    async fn follow<F: Future>(
        &mut self,
        progress: impl Fn() -> Option<Progress>,
        call: F,
    ) -> F::Output {
        let mut call = pin!(call);
        match ready_after_yield(call.as_mut()).await {
            Some(answer) => answer,
            // In a place of its own: work of microseconds need not carry its size along.
            None => Box::pin(self.tell_until(progress, call)).await,
        }
    }

    async fn tell_until<F: Future>(
        &mut self,
        progress: impl Fn() -> Option<Progress>,
        mut call: Pin<&mut F>,
    ) -> F::Output {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                _ = tick.tick() => {}
            }
            let Some(news) = progress().and_then(|progress| self.news(progress)) else { continue };
            // The call goes on meanwhile: a connection that takes nothing, or is closing, keeps nobody from seeing that its
            // caller has left, or that its budget is over.
            let mut telling = pin!(self.peer.notify_progress(news));
            let told = tokio::select! {
                biased;
                answer = &mut call => {
                    // It has to be on its way before the answer is.
                    let _ = timeout(LAST_NEWS, telling).await;
                    return answer;
                }
                told = &mut telling => told,
            };
            if let Err(error) = told {
                tracing::debug!(%error, "failed to tell a caller of progress");
            }
        }
    }

    /// What is to be told, where it is further than what was told last.
    fn news(&mut self, progress: Progress) -> Option<ProgressNotificationParam> {
        if self.told.is_some_and(|told| progress.current <= told) {
            return None;
        }
        self.told = Some(progress.current);
        let mut news = ProgressNotificationParam::new(self.token.clone(), progress.current);
        news.total = progress.total;
        news.message = progress.message;
        Some(news)
    }
}

/// Waits for the answer of an open call, and tells the caller how far it has come, where it wants to be told.
pub(super) async fn with_progress<F: Future>(
    listener: &mut Option<Box<ProgressNotifier>>,
    progress: impl Fn() -> Option<Progress>,
    call: F,
) -> F::Output {
    match listener {
        Some(listener) => listener.follow(progress, call).await,
        None => call.await,
    }
}
