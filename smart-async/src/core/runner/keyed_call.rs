//! Calls with an idempotency key. The key has to be on disk before the work starts: else a crash would forget that it ran. So such a
//! call has a record from its beginning, which no list shows. Where the call ends inline, its answer is kept in the record for as
//! long as the key is; where it becomes a job, the record is that of the job.

use std::sync::Arc;
use std::time::Duration;

use super::adopt::{Adoption, withdraw, withdraw_attempt};
use super::engine::{Engine, interruption};
use super::key::insert;
use super::record::within_limit;
use crate::core::backoff::Backoff;
use crate::core::call_site::CallSite;
use crate::core::context::JobContext;
use crate::core::job::{JobEvent, check_depth};
use crate::core::observe;
use crate::core::store::StoreError;

/// How long an answer waits until it is kept. It goes out then, while the write is tried again and again.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// An open call that has its key. Dropped before it is over, it counts as interrupted.
pub(crate) struct KeyedCall {
    engine: Arc<Engine>,
    site: &'static CallSite,
    context: Arc<JobContext>,
    has_begun: bool,
    is_over: bool,
}

/// Gives a call its key, before its work starts. Where the caller leaves meanwhile, the key is let go once it is there.
///
/// # Errors
/// [`StoreError::KeyTaken`] with the job that has the key; any other where the key could not be kept.
pub(super) async fn hold(
    engine: &Arc<Engine>,
    site: &'static CallSite,
    adoption: Adoption,
    context: Arc<JobContext>,
) -> Result<KeyedCall, StoreError> {
    let engine = Arc::clone(engine);
    let in_flight = engine.local.in_flight();
    let held = tokio::spawn(async move {
        let _in_flight = in_flight;
        take(&engine, site, &adoption, &context).await
    });
    held.await.unwrap_or(Err(StoreError::Closed))
}

async fn take(
    engine: &Arc<Engine>,
    site: &'static CallSite,
    adoption: &Adoption,
    context: &Arc<JobContext>,
) -> Result<KeyedCall, StoreError> {
    engine.local.ready().await;
    engine.keep_owner_alive(context);
    let mut record = adoption.pending_record(engine, context);
    record.call_open = true;
    if let Err(error) = insert(engine, &record).await {
        // The caller learns that nothing was run, so the record must not stand.
        if error.is_in_doubt() {
            let in_flight = engine.local.in_flight();
            tokio::spawn(withdraw_attempt(Arc::clone(engine), record, in_flight));
        }
        return Err(error);
    }
    context.turn.keep_record();
    let (engine, context) = (Arc::clone(engine), Arc::clone(context));
    Ok(KeyedCall { engine, site, context, has_begun: false, is_over: false })
}

impl KeyedCall {
    /// The work begins, or waits for its turn from now on.
    pub(crate) fn begins(&mut self) {
        self.has_begun = true;
    }

    /// The call is a job from now on, or is about to be: the supervisor of the job writes its end.
    pub(crate) fn becomes_job(mut self) {
        self.is_over = true;
    }

    /// The call asked its caller for something, and is not over: the same key begins it anew, with the answer.
    pub(crate) async fn let_go(mut self) {
        self.is_over = true;
        let in_flight = self.engine.local.in_flight();
        let let_go = tokio::spawn(withdraw(Arc::clone(&self.engine), self.context.id(), in_flight));
        let _ = tokio::time::timeout(KEPT_WITHIN, let_go).await;
    }

    /// Keeps the end of the call. Returns when it is on disk, or after some seconds.
    pub(crate) async fn keep(self, end: JobEvent) {
        if let Some(written) = self.end(end) {
            let _ = tokio::time::timeout(KEPT_WITHIN, written).await;
        }
    }

    /// Keeps the end of the call in the background. A call that never began leaves its key to the next one.
    pub(crate) fn end(mut self, end: JobEvent) -> Option<tokio::task::JoinHandle<()>> {
        self.is_over = true;
        self.write(end)
    }

    fn write(&self, end: JobEvent) -> Option<tokio::task::JoinHandle<()>> {
        let (engine, context) = (Arc::clone(&self.engine), Arc::clone(&self.context));
        let (site, in_flight) = (self.site, self.engine.local.in_flight());
        let has_begun = self.has_begun && !context.turn.waits();
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            if has_begun {
                write_end(&engine, site, &context, end).await;
                drop(in_flight);
            } else {
                withdraw(engine, context.id(), in_flight).await;
            }
        }))
    }
}

impl Drop for KeyedCall {
    fn drop(&mut self) {
        if !self.is_over {
            self.write(interruption());
        }
    }
}

/// Writes the end, however long the store fails.
async fn write_end(engine: &Engine, site: &CallSite, context: &JobContext, end: JobEvent) {
    let end = match end {
        JobEvent::Complete(output) => match check_depth(Ok(output)) {
            Ok(output) => JobEvent::Complete(output),
            Err(failure) => JobEvent::Fail(failure),
        },
        end => end,
    };
    let mut change = engine.local.own_change(within_limit(engine, Some(site), end));
    let ran = context.run_began().elapsed();
    change.ran = Some(Duration::new(ran.as_secs(), ran.subsec_millis() * 1_000_000));
    let mut backoff = Backoff::default();
    let mut is_last = false;
    while let Err(error) = engine.local.update(context.id(), change.clone()).await {
        if !error.is_transient() || is_last {
            engine.count_unwritten(&error);
            observe::warn!(tool = site.tool, %error, "the answer of a call was not kept for its key, which counts as interrupted");
            return;
        }
        observe::error!(tool = site.tool, %error, "the answer of a call could not be kept for its key; trying again");
        is_last = engine.pause(&mut backoff).await.is_err();
    }
}
