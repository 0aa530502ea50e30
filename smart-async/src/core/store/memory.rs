//! A store that keeps its jobs in memory: for tests, and for servers that need no disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::news::{News, NewsFeed};
use super::table::Table;
use super::table::entry::Entry;
use super::transaction::Transaction;
use super::{JobStore, NewsStream, Pruned, StoreError, StoreFuture, UsualRun, max_result_bytes};
use crate::core::clock::WallClock;
use crate::core::job::{
    Change, ClaimQuery, HydratedState, JobId, JobPage, JobQuery, JobRecord, OwnerId,
    ProgressReport, Prune, StateName, Timestamp,
};
use crate::core::sync::Mutex;

/// Keeps job records in memory. They end with the process, and no other process sees them.
#[derive(Debug)]
pub struct MemoryStore {
    owner: OwnerId,
    /// Whether the owner's name has been given up.
    closed: AtomicBool,
    table: Mutex<Table>,
    news: NewsFeed,
    clock: WallClock,
}

impl MemoryStore {
    /// An empty store.
    #[expect(
        clippy::new_without_default,
        reason = "each store has an owner's name of its own, so none is the default"
    )]
    pub fn new() -> Self {
        Self::with_clock(WallClock::default())
    }

    /// An empty store that dates its records by this clock.
    pub fn with_clock(clock: WallClock) -> Self {
        Self {
            owner: OwnerId::new(),
            closed: AtomicBool::new(false),
            table: Mutex::default(),
            news: NewsFeed::default(),
            clock,
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        let mut table = self.table.lock();
        let mut transaction = Transaction::new(&table, self.clock.now());
        let done = change(&mut transaction);
        let changes = transaction.into_changes();
        self.news.tell_changes(&changes, &table);
        table.commit(changes);
        done
    }
}

fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl JobStore for MemoryStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        ready(self.change(|transaction| transaction.insert(job)))
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        ready(self.change(|transaction| transaction.update(id, change, None)))
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        ready(Ok(self.table.lock().find(id).map(|job| Arc::clone(job.record()))))
    }

    fn get_many(&self, ids: Vec<JobId>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        ready(Ok(self.table.lock().get_many(&ids)))
    }

    fn claim(&self, query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        ready(self.change(|transaction| transaction.claim(&query, self.owner)))
    }

    fn record_progress(&self, reports: Vec<ProgressReport>) -> StoreFuture<'_, Vec<JobId>> {
        ready(Ok(self.change(|transaction| transaction.record_progress(reports, self.owner))))
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        ready(Ok(self.table.lock().list(&query)))
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        ready(Ok(self.change(|transaction| transaction.prune(&prune))))
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.change(|transaction| transaction.withdraw(id));
        ready(Ok(()))
    }

    fn abandoned(&self, server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        let closed = self.closed.load(Ordering::SeqCst);
        let table = self.table.lock();
        let unfinished = table.live(server.as_deref()).map(Entry::record);
        let others = unfinished.filter(|job| closed || job.owner != Some(self.owner));
        ready(Ok(others.cloned().collect()))
    }

    fn usual_runs(&self, server: String) -> StoreFuture<'_, Vec<UsualRun>> {
        ready(Ok(self.table.lock().usual_runs(server)))
    }

    fn news(&self) -> Option<NewsStream> {
        Some(self.news.subscribe())
    }

    fn put_state(&self, state: HydratedState) -> StoreFuture<'_, bool> {
        ready(Ok(self.change(|transaction| transaction.put_state(Arc::new(state)))))
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        ready(Ok(self.table.lock().states().get(&field).cloned()))
    }

    fn states(&self) -> StoreFuture<'_, Vec<Arc<HydratedState>>> {
        ready(Ok(self.table.lock().states().values().cloned().collect()))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn owner(&self) -> OwnerId {
        self.owner
    }

    fn max_result_bytes(&self) -> Option<u64> {
        Some(max_result_bytes())
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.news.tell(News::OwnerLost(self.owner));
        }
        ready(Ok(()))
    }
}
