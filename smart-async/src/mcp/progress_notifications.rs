//! `notifications/progress` for the caller of an open call that sent a progress token: at most four a second, each further
//! than the one before, and none after the answer.

use std::pin::{Pin, pin};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::core::job::Progress;
use crate::core::observe;
use crate::core::ready_after_yield::ready_after_yield;

/// The shortest time between two notifications of one call.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the answer waits for a notification that is being sent. A connection that accepts nothing must not hold the
/// answer back for longer.
const LAST_NOTIFICATION: Duration = Duration::from_secs(1);

/// Sends the progress of one call to its caller.
pub(super) struct ProgressNotifier {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    /// The progress in the last notification.
    last: Option<f64>,
}

impl ProgressNotifier {
    /// `None` where the caller sent no progress token. Boxed, because every call holds it.
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Option<Box<Self>> {
        let token = context.meta.get_progress_token()?;
        Some(Box::new(Self { peer: context.peer.clone(), token, last: None }))
    }

    async fn notify_until<F: Future>(
        &mut self,
        progress: impl Fn() -> Option<Progress>,
        mut call: Pin<&mut F>,
    ) -> F::Output {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                _ = tick.tick() => {}
            }
            let Some(next) = progress().and_then(|progress| self.next(progress)) else { continue };
            // The call is polled during the send: a connection that accepts nothing, or is closing, must not keep the call
            // from its budget, nor from the departure of its caller.
            let mut sending = pin!(self.peer.notify_progress(next));
            let sent = tokio::select! {
                biased;
                answer = &mut call => {
                    // The notification has to leave before the answer.
                    let _ = timeout(LAST_NOTIFICATION, sending).await;
                    return answer;
                }
                sent = &mut sending => sent,
            };
            if let Err(error) = sent {
                observe::debug!(%error, "failed to notify a caller of progress");
            }
        }
    }

    /// The next notification; `None` where the progress is not further than in the last one.
    fn next(&mut self, progress: Progress) -> Option<ProgressNotificationParam> {
        if self.last.is_some_and(|last| progress.current <= last) {
            return None;
        }
        self.last = Some(progress.current);
        let mut next = ProgressNotificationParam::new(self.token.clone(), progress.current);
        next.total = progress.total;
        next.message = progress.message;
        Some(next)
    }
}

/// Waits for the answer of an open call, and notifies its caller of the progress meanwhile, where there is a notifier.
/// The caller pins the call, because an async fn holds its arguments twice.
pub(super) async fn with_progress<F: Future>(
    notifier: &mut Option<Box<ProgressNotifier>>,
    progress: impl Fn() -> Option<Progress>,
    mut call: Pin<&mut F>,
) -> F::Output {
    let Some(notifier) = notifier else { return call.await };
    match ready_after_yield(call.as_mut()).await {
        Some(answer) => answer,
        // Boxed, so that a call of microseconds does not pay for the size of this future.
        None => Box::pin(notifier.notify_until(progress, call)).await,
    }
}
