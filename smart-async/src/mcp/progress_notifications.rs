//! `notifications/progress` for the caller of an open call that sent a progress token: at most four a second, each with
//! news, and none after the answer. For the caller of `wait_job`: one every ten seconds, also without news.

use std::future::ready;
use std::pin::{Pin, pin};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::core::job::Progress;
use crate::core::observe;
use crate::core::ready_after_yield::ready_after_yield;

/// How a caller is notified.
#[derive(Clone, Copy)]
struct Rhythm {
    /// The time between two looks, and the shortest between two notifications.
    every: Duration,
    /// Whether the caller is notified also where there is no news, because its host would give up otherwise.
    also_without_news: bool,
}

/// The rhythm of a tool's own call.
const NEWS: Rhythm = Rhythm { every: Duration::from_millis(250), also_without_news: false };

/// The rhythm of a wait: the shortest time-out of a host that progress begins anew is a minute, and some connections are slow.
const HEARTBEAT: Rhythm = Rhythm { every: Duration::from_secs(10), also_without_news: true };

/// The step of a notification whose figures are no further: the protocol wants each one further than the last.
const STEP: f64 = 1e-6;

/// How long the answer waits for a notification that is being sent. A connection that accepts nothing must not hold the
/// answer back for longer.
const LAST_NOTIFICATION: Duration = Duration::from_secs(1);

/// Sends the progress of one call to its caller.
pub(super) struct ProgressNotifier {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    /// The progress and the message in the last notification.
    last: Option<(f64, Option<String>)>,
}

impl ProgressNotifier {
    /// `None` where the caller sent no progress token. Boxed, because every call holds it.
    pub(super) fn of(context: &RequestContext<RoleServer>) -> Option<Box<Self>> {
        let token = context.meta.get_progress_token()?;
        Some(Box::new(Self { peer: context.peer.clone(), token, last: None }))
    }

    async fn notify_until<F: Future, L: Future<Output = Option<Progress>>>(
        &mut self,
        rhythm: Rhythm,
        look: impl Fn() -> L,
        mut call: Pin<&mut F>,
    ) -> F::Output {
        let first = if rhythm.also_without_news { rhythm.every } else { Duration::ZERO };
        let mut tick = interval_at(Instant::now() + first, rhythm.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                _ = tick.tick() => {}
            }
            let found = {
                let looking = pin!(look());
                tokio::select! {
                    biased;
                    answer = &mut call => return answer,
                    found = looking => found,
                }
            };
            let next = found.and_then(|progress| self.next(progress, rhythm.also_without_news));
            let Some(next) = next else { continue };
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

    /// The next notification; `None` where neither the progress is further nor the message another than in the last one, unless it
    /// is sent without news.
    fn next(
        &mut self,
        progress: Progress,
        also_without_news: bool,
    ) -> Option<ProgressNotificationParam> {
        let current = match &self.last {
            Some((last, told)) if progress.current <= *last => {
                let is_sent = also_without_news || progress.message != *told;
                is_sent.then(|| (last + STEP).max(last.next_up()))?
            }
            _ => progress.current,
        };
        self.last = Some((current, progress.message.clone()));
        let mut next = ProgressNotificationParam::new(self.token.clone(), current);
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
        None => Box::pin(notifier.notify_until(NEWS, || ready(progress()), call)).await,
    }
}

/// Waits for the answer of an open call, and notifies its caller every ten seconds meanwhile, where there is a notifier: of the
/// progress that `look` finds, or that there is no news.
pub(super) async fn with_heartbeat<F: Future, L: Future<Output = Option<Progress>>>(
    notifier: &mut Option<Box<ProgressNotifier>>,
    look: impl Fn() -> L,
    call: Pin<&mut F>,
) -> F::Output {
    match notifier {
        Some(notifier) => Box::pin(notifier.notify_until(HEARTBEAT, look, call)).await,
        None => call.await,
    }
}
