//! `notifications/progress` for the caller of an open call that asked for them: four a second at most, each further than the
//! one before, and none once the call is answered.

use std::pin::pin;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::time::{MissedTickBehavior, interval};

use crate::job::Progress;

/// How often a caller is told of progress at most, and within what time.
const TICK: Duration = Duration::from_millis(250);

/// A caller that wants to be told.
pub(super) struct Listener {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    /// What it was told last.
    told: Option<f64>,
}

impl Listener {
    /// The caller of this request, if it wants to be told.
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Option<Self> {
        let token = context.meta.get_progress_token()?;
        Some(Self { peer: context.peer.clone(), token, told: None })
    }

    /// Waits for the answer of an open call, and tells the caller how far it has come meanwhile.
    async fn follow<F: Future>(
        &mut self,
        progress: impl Fn() -> Option<Progress>,
        call: F,
    ) -> F::Output {
        let mut call = pin!(call);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                _ = tick.tick() => {}
            }
            if let Some(progress) = progress() {
                // Waited for, so that it is on its way before the answer is.
                self.tell(progress).await;
            }
        }
    }

    async fn tell(&mut self, progress: Progress) {
        // Each has to be further than the one before.
        if self.told.is_some_and(|told| progress.current <= told) {
            return;
        }
        self.told = Some(progress.current);
        let mut news = ProgressNotificationParam::new(self.token.clone(), progress.current);
        news.total = progress.total;
        news.message = progress.message;
        if let Err(error) = self.peer.notify_progress(news).await {
            tracing::debug!(%error, "failed to tell a caller of progress");
        }
    }
}

/// Waits for the answer of an open call, and tells the caller how far it has come, where it wants to be told.
pub(super) async fn followed<F: Future>(
    listener: &mut Option<Listener>,
    progress: impl Fn() -> Option<Progress>,
    call: F,
) -> F::Output {
    match listener {
        Some(listener) => listener.follow(progress, call).await,
        None => call.await,
    }
}
