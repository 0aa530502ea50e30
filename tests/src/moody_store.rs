//! A store that works as the memory store does, or as another one, until it is told to fail or to be slow.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use smart_async::job::{Change, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune, StateName};
use smart_async::store::{
    Clock, HydratedState, JobStore, MemoryStore, Pruned, StoreError, StoreFuture,
};

use crate::Gate;

/// The handle to a store of moods; clones are the same store.
#[derive(Debug, Clone)]
pub struct MoodyStore(Arc<Moods>);

#[derive(Debug)]
struct Moods {
    inner: Box<dyn JobStore>,
    broken: AtomicBool,
    states_broken: AtomicBool,
    failures: AtomicUsize,
    /// Updates of this name are made, and said to have failed.
    doubtful: Mutex<Option<&'static str>>,
    /// The next insert is made, said to have failed, and shown only from the next update on.
    hides: AtomicBool,
    hidden: AtomicBool,
    /// Inserts wait for this, once they are done.
    slow: Option<Gate>,
    /// The next state that is put waits for this, before anything is done.
    held_state: Mutex<Option<Gate>>,
}

impl MoodyStore {
    /// A store that works.
    pub fn working() -> Self {
        Self::with(MemoryStore::new(), None)
    }

    /// A store whose inserts reach the disk at once, and are acknowledged when `gate` opens.
    pub fn slow(gate: Gate) -> Self {
        Self::with(MemoryStore::new(), Some(gate))
    }

    /// A store that works as `inner` does.
    pub fn over(inner: impl JobStore) -> Self {
        Self::with(inner, None)
    }

    fn with(inner: impl JobStore, slow: Option<Gate>) -> Self {
        Self(Arc::new(Moods {
            inner: Box::new(inner),
            broken: AtomicBool::new(false),
            states_broken: AtomicBool::new(false),
            failures: AtomicUsize::new(0),
            doubtful: Mutex::default(),
            hides: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
            slow,
            held_state: Mutex::default(),
        }))
    }

    /// Fails every write from now on, or none.
    pub fn set_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::SeqCst);
    }

    /// Makes the next update of this name, and says that it has failed.
    pub fn doubt_next(&self, event: &'static str) {
        *self.doubtful() = Some(event);
    }

    /// Makes the next insert, says that it has failed, and shows it only once an update was asked for: as a store does that
    /// could neither make it durable nor take it away.
    pub fn hide_next_insert(&self) {
        self.0.hides.store(true, Ordering::SeqCst);
    }

    fn doubtful(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.0.doubtful.lock().expect("nobody panics while holding it")
    }

    /// Fails to put states from now on, or does not; other writes work all the same.
    pub fn set_states_broken(&self, broken: bool) {
        self.0.states_broken.store(broken, Ordering::SeqCst);
    }

    /// Lets the next state that is put arrive at `gate`, and put only when that opens.
    pub fn hold_next_state(&self, gate: Gate) {
        *self.held_state() = Some(gate);
    }

    fn held_state(&self) -> MutexGuard<'_, Option<Gate>> {
        self.0.held_state.lock().expect("nobody panics while holding it")
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
        self.fail_if(self.0.broken.load(Ordering::SeqCst))
    }

    fn fail_if(&self, broken: bool) -> Result<(), StoreError> {
        if !broken {
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
            let hides = self.0.hides.swap(false, Ordering::SeqCst);
            self.0.hidden.store(hides, Ordering::SeqCst);
            self.fail_if(hides)?;
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
            self.0.hidden.store(false, Ordering::SeqCst);
            let in_doubt = self.doubtful().take_if(|name| *name == change.event.name()).is_some();
            let updated = self.0.inner.update(id, change).await?;
            self.fail_if(in_doubt)?;
            Ok(updated)
        })
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        if self.0.hidden.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(None) });
        }
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

    fn put_state(&self, state: HydratedState, clock: Clock) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.check()?;
            self.fail_if(self.0.states_broken.load(Ordering::SeqCst))?;
            let held = self.held_state().take();
            if let Some(gate) = held {
                gate.arrive();
                gate.opened().await;
            }
            self.0.inner.put_state(state, clock).await
        })
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        self.0.inner.state(field)
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
