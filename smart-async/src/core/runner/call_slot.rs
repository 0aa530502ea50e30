//! The slot of an open call whose tool has a limit (`max_concurrent`). The limit holds for all processes that share the store, so the
//! call has a record there from its beginning, which no list shows. The record is taken back when the work has ended, unless the
//! call has become a job by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;

use super::adopt::{Adoption, withdraw};
use super::engine::Engine;
use super::turn::{Needs, Turn, TurnLine};
use crate::core::context::{self, JobContext};
use crate::core::observe;
use crate::core::queue::Heaviness;
use crate::core::spawn::try_spawn;
use crate::core::store::StoreError;

/// The slot of one open call, or its place in the line for one. Dropped when the work has ended.
pub(crate) struct CallSlot(Arc<SlottedCall>);

struct SlottedCall {
    engine: Arc<Engine>,
    adoption: Adoption,
    context: Arc<JobContext>,
    needs: Needs,
    limit: u32,
    /// Whether the store may have the record.
    is_written: AtomicBool,
}

impl CallSlot {
    pub(super) fn new(
        engine: &Arc<Engine>,
        adoption: Adoption,
        context: Arc<JobContext>,
        needs: Needs,
        limit: u32,
    ) -> Self {
        let (engine, is_written) = (Arc::clone(engine), AtomicBool::new(false));
        Self(Arc::new(SlottedCall { engine, adoption, context, needs, limit, is_written }))
    }
}

impl TurnLine for CallSlot {
    fn needs(&self) -> Needs {
        self.0.needs
    }

    fn place(&self) -> BoxFuture<'static, Turn> {
        let inner = Arc::clone(&self.0);
        // A body that another one waits for has its thread at once: that one holds a thread for both.
        let takes_beside = context::holds_thread();
        Box::pin(async move {
            let (engine, id) = (&inner.engine, inner.context.id());
            engine.local.ready().await;
            match inner.write_record().await {
                // A call within its budget is never held back by the load.
                Ok(()) => drop(engine.queue.turn(id, engine.server(), Heaviness::Light).await),
                Err(error) => {
                    observe::error!(
                        tool = inner.adoption.tool, %error,
                        "the limit of a tool holds in this process only, while the store fails"
                    );
                }
            }
            let permit = Some(engine.permits.take(&inner.adoption.tool, inner.limit).await);
            let slots = Arc::clone(&engine.slots);
            let thread = match inner.needs {
                Needs::Nothing => None,
                Needs::Thread if takes_beside => Some(slots.take_beside().await),
                Needs::Thread => Some(slots.take().await),
            };
            Turn { thread, heavy: None, permit }
        })
    }
}

impl SlottedCall {
    async fn write_record(&self) -> Result<(), StoreError> {
        self.engine.keep_owner_alive(&self.context);
        let mut record = self.adoption.pending_record(&self.engine, &self.context);
        record.call_open = true;
        self.is_written.store(true, Ordering::SeqCst);
        let local = &self.engine.local;
        match local.observed(local.store.insert(record).await) {
            // An earlier attempt, or the job that the call has become.
            Ok(_) | Err(StoreError::Duplicate(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        if self.0.is_written.load(Ordering::SeqCst) && !self.0.context.turn.keeps_record() {
            let engine = Arc::clone(&self.0.engine);
            let in_flight = engine.local.in_flight();
            try_spawn(withdraw(engine, self.0.context.id(), in_flight));
        }
    }
}
