//! A store that forgets with its process: for tests, and for those who want no disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::table::Table;
use super::table::entry::Kept;
use super::transaction::Draft;
use super::{Clock, HydratedState, JobStore, Pruned, StoreError, StoreFuture};
use crate::core::job::{
    Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune, ShortPage, StateName,
};

/// Keeps job records in memory. Nothing outlives the process, and nobody else sees them.
#[derive(Debug)]
pub struct MemoryStore {
    owner: OwnerId,
    /// Whether the name has been given up.
    closed: AtomicBool,
    table: Mutex<Table>,
    states: Mutex<HashMap<StateName, Arc<HydratedState>>>,
}

impl MemoryStore {
    /// An empty store.
    #[expect(
        clippy::new_without_default,
        reason = "each store has a name of its own, so none is the default"
    )]
    pub fn new() -> Self {
        Self {
            owner: OwnerId::new(),
            closed: AtomicBool::new(false),
            table: Mutex::default(),
            states: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn states(&self) -> MutexGuard<'_, HashMap<StateName, Arc<HydratedState>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Draft<'_>) -> T) -> T {
        let mut table = self.table();
        let mut draft = Draft::new(&table);
        let done = change(&mut draft);
        let changes = draft.into_changes();
        table.commit(changes);
        done
    }
}

fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl JobStore for MemoryStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        ready(self.change(|draft| draft.insert(job)))
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        ready(self.change(|draft| draft.update(id, change)))
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        let kept = self.table().find(id).cloned();
        ready(Ok(kept.and_then(|kept| kept.record())))
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        let page = self.table().list(&query);
        ready(Ok(page.read()))
    }

    fn list_in_short(&self, query: JobQuery) -> StoreFuture<'_, ShortPage> {
        let page = self.table().list(&query);
        ready(Ok(page.in_short()))
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        ready(Ok(self.change(|draft| draft.prune(&prune))))
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.change(|draft| draft.withdraw(id));
        ready(Ok(()))
    }

    fn abandoned(&self, server: String) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        let unfinished = self.table().unfinished(&server);
        let closed = self.closed.load(Ordering::SeqCst);
        let unfinished = unfinished.iter().filter_map(Kept::record);
        let others = unfinished.filter(|job| closed || job.owner != Some(self.owner));
        ready(Ok(others.collect()))
    }

    fn put_state(&self, state: HydratedState, clock: Clock) -> StoreFuture<'_, bool> {
        let mut states = self.states();
        let is_put = states.get(&state.field).is_none_or(|stands| state.replaces(stands, clock()));
        if is_put {
            states.insert(state.field.clone(), Arc::new(state));
        }
        ready(Ok(is_put))
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        ready(Ok(self.states().get(&field).cloned()))
    }

    fn owner(&self) -> OwnerId {
        self.owner
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.closed.store(true, Ordering::SeqCst);
        ready(Ok(()))
    }
}
