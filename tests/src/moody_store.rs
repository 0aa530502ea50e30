//! A store that works as the memory store does, until it is told to fail or to be slow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use smart_async::job::{Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune};
use smart_async::store::{JobStore, MemoryStore, Pruned, StoreError, StoreFuture};

use crate::Gate;

/// The handle to a store of moods; clones are the same store.
#[derive(Debug, Clone)]
pub struct MoodyStore(Arc<Moods>);

#[derive(Debug)]
struct Moods {
    inner: MemoryStore,
    broken: AtomicBool,
    failures: AtomicUsize,
    /// Inserts wait for this, once they are done.
    slow: Option<Gate>,
}

impl MoodyStore {
    /// A store that works.
    pub fn working() -> Self {
        Self::with(None)
    }

    /// A store whose inserts reach the disk at once, and are acknowledged when `gate` opens.
    pub fn slow(gate: Gate) -> Self {
        Self::with(Some(gate))
    }

    fn with(slow: Option<Gate>) -> Self {
        let (broken, failures) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self(Arc::new(Moods { inner: MemoryStore::new(), broken, failures, slow }))
    }

    /// Fails every write from now on, or none.
    pub fn set_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::SeqCst);
    }

    /// How often a write has failed.
    pub fn failures(&self) -> usize {
        self.0.failures.load(Ordering::SeqCst)
    }

    /// How many jobs it holds.
    pub async fn count(&self) -> usize {
        self.list(JobQuery::default()).await.map_or(0, |page| page.total)
    }

    fn check(&self) -> Result<(), StoreError> {
        if !self.0.broken.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.0.failures.fetch_add(1, Ordering::SeqCst);
        let source = Arc::new(io::Error::from(io::ErrorKind::StorageFull));
        Err(StoreError::Io { action: "write", path: "/disk".into(), source })
    }
}

impl JobStore for MoodyStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        Box::pin(async {
            self.check()?;
            let inserted = self.0.inner.insert(job).await?;
            if let Some(slow) = &self.0.slow {
                slow.arrive();
                slow.opened().await;
            }
            Ok(inserted)
        })
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        Box::pin(async move {
            self.check()?;
            self.0.inner.update(id, change).await
        })
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.0.inner.get(id)
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        self.0.inner.list(query)
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        self.0.inner.prune(prune)
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.0.inner.withdraw(id)
    }

    fn abandoned(&self, server: String) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        self.0.inner.abandoned(server)
    }

    fn owner(&self) -> OwnerId {
        self.0.inner.owner()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.0.inner.close()
    }
}
