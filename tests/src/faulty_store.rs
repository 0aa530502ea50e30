//! A store that passes everything on to another store, and fails or is slow on request.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use smart_async::job::{
    Change, ClaimQuery, JobId, JobPage, JobQuery, JobRecord, OwnerId, Prune, StateName, Timestamp,
};
use smart_async::store::{
    HydratedState, JobStore, MemoryStore, NewsStream, Pruned, StoreError, StoreFuture,
};

use crate::Gate;

/// The store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct FaultyStore(Arc<Faults>);

#[derive(Debug)]
struct Faults {
    inner: Box<dyn JobStore>,
    broken: AtomicBool,
    states_broken: AtomicBool,
    failures: AtomicUsize,
    /// The next update of this name is made and then reported as in doubt.
    doubtful: Mutex<Option<&'static str>>,
    /// The next insert is made, reported as in doubt, and shown only from the next update on.
    hides: AtomicBool,
    hidden: AtomicBool,
    /// Inserts are made at once and acknowledged when this gate opens.
    slow: Option<Gate>,
    /// The next `put_state` waits for this gate before it does anything.
    held_state: Mutex<Option<Gate>>,
    /// Each `interrupt` waits for this gate before it is made.
    held_interrupts: Mutex<Option<Gate>>,
    /// The next update of this name waits for this gate before it is made.
    held_update: Mutex<Option<(&'static str, Gate)>>,
    /// Each look for abandoned jobs waits for this gate before it is made.
    held_looks: Mutex<Option<Gate>>,
    tells_no_news: AtomicBool,
    owner_lost: AtomicBool,
    /// Every read and every write fails in this way.
    failure: Mutex<Option<StoreError>>,
    max_result_bytes: Mutex<Option<u64>>,
    /// So many of the next reads of many jobs fail.
    failing_reads: AtomicUsize,
    /// The number of requests for one job and for many.
    reads: AtomicUsize,
    /// The number of requests for abandoned jobs.
    abandoned: AtomicUsize,
}

impl FaultyStore {
    /// A memory store without faults.
    pub fn working() -> Self {
        Self::with(MemoryStore::new(), None)
    }

    /// A memory store whose inserts are made at once, and acknowledged when `gate` opens.
    pub fn slow(gate: Gate) -> Self {
        Self::with(MemoryStore::new(), Some(gate))
    }

    /// A store that passes everything on to `inner`.
    pub fn over(inner: impl JobStore) -> Self {
        Self::with(inner, None)
    }

    fn with(inner: impl JobStore, slow: Option<Gate>) -> Self {
        Self(Arc::new(Faults {
            inner: Box::new(inner),
            broken: AtomicBool::new(false),
            states_broken: AtomicBool::new(false),
            failures: AtomicUsize::new(0),
            doubtful: Mutex::default(),
            hides: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
            slow,
            held_state: Mutex::default(),
            held_interrupts: Mutex::default(),
            held_looks: Mutex::default(),
            held_update: Mutex::default(),
            tells_no_news: AtomicBool::new(false),
            owner_lost: AtomicBool::new(false),
            failure: Mutex::default(),
            max_result_bytes: Mutex::default(),
            failing_reads: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
        }))
    }

    /// Sets whether every write fails from now on.
    pub fn set_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::SeqCst);
    }

    /// Makes the next update of this name, and reports it as in doubt.
    pub fn doubt_next(&self, event: &'static str) {
        *self.doubtful() = Some(event);
    }

    /// Makes the next insert, reports it as in doubt, and shows the job only after the next update: as a store does that has to
    /// recover before it knows whether the insert stands.
    pub fn hide_next_insert(&self) {
        self.0.hides.store(true, Ordering::SeqCst);
    }

    fn doubtful(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.0.doubtful.lock().expect("no thread panics with the lock")
    }

    /// Sets whether `put_state` fails from now on; other writes are not affected.
    pub fn set_states_broken(&self, broken: bool) {
        self.0.states_broken.store(broken, Ordering::SeqCst);
    }

    /// Lets the next `put_state` arrive at `gate`, and go on when that opens.
    pub fn hold_next_state(&self, gate: Gate) {
        *self.held_state() = Some(gate);
    }

    /// Lets each `interrupt` arrive at `gate`, and go on when that opens.
    pub fn hold_interrupts(&self, gate: Gate) {
        *self.held_interrupts() = Some(gate);
    }

    /// Lets the next update of this name arrive at `gate`, and go on when that opens.
    pub fn hold_next(&self, event: &'static str, gate: Gate) {
        *self.held_update() = Some((event, gate));
    }

    fn held_update(&self) -> MutexGuard<'_, Option<(&'static str, Gate)>> {
        self.0.held_update.lock().expect("no thread panics with the lock")
    }

    /// Lets each look for abandoned jobs arrive at `gate`, and go on when that opens.
    pub fn hold_looks(&self, gate: Gate) {
        *self.held_looks() = Some(gate);
    }

    fn held_looks(&self) -> MutexGuard<'_, Option<Gate>> {
        self.0.held_looks.lock().expect("no thread panics with the lock")
    }

    fn held_interrupts(&self) -> MutexGuard<'_, Option<Gate>> {
        self.0.held_interrupts.lock().expect("no thread panics with the lock")
    }

    fn held_state(&self) -> MutexGuard<'_, Option<Gate>> {
        self.0.held_state.lock().expect("no thread panics with the lock")
    }

    /// The number of writes that have failed.
    pub fn failures(&self) -> usize {
        self.0.failures.load(Ordering::SeqCst)
    }

    /// The number of jobs in the store.
    pub async fn count(&self) -> usize {
        self.list(JobQuery::default()).await.map_or(0, |page| page.jobs.len())
    }

    /// Tells no news from now on.
    pub fn tell_no_news(&self) {
        self.0.tells_no_news.store(true, Ordering::SeqCst);
    }

    /// Takes its process for dead from now on, and refuses every write.
    pub fn lose_owner(&self) {
        self.0.owner_lost.store(true, Ordering::SeqCst);
    }

    /// Lets every read and every write fail in this way from now on; `None` lets them succeed.
    pub fn fail_all(&self, failure: Option<StoreError>) {
        *self.0.failure.lock().expect("no thread panics with the lock") = failure;
    }

    fn check_failure(&self) -> Result<(), StoreError> {
        let failure = self.0.failure.lock().expect("no thread panics with the lock").clone();
        failure.map_or(Ok(()), Err)
    }

    /// Names this as the size of the largest result.
    pub fn limit_results(&self, bytes: u64) {
        *self.0.max_result_bytes.lock().expect("no thread panics with the lock") = Some(bytes);
    }

    /// Lets so many of the next reads of many jobs fail.
    pub fn fail_reads(&self, reads: usize) {
        self.0.failing_reads.store(reads, Ordering::SeqCst);
    }

    /// The number of reads of jobs by their ids that are done.
    pub fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// The number of looks for abandoned jobs.
    pub fn looks_for_abandoned(&self) -> usize {
        self.0.abandoned.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.check_failure()?;
        if self.0.owner_lost.load(Ordering::SeqCst) {
            return Err(StoreError::OwnerLost);
        }
        self.fail_if(self.0.broken.load(Ordering::SeqCst))
    }

    fn fail_if(&self, broken: bool) -> Result<(), StoreError> {
        if !broken {
            return Ok(());
        }
        self.0.failures.fetch_add(1, Ordering::SeqCst);
        let source = Arc::new(io::Error::from(io::ErrorKind::StorageFull));
        Err(StoreError::Unavailable {
            action: "write",
            place: "/disk".into(),
            source,
            in_doubt: false,
        })
    }

    /// Reports a write that was made as one that is in doubt.
    fn doubt_if(&self, in_doubt: bool) -> Result<(), StoreError> {
        self.fail_if(in_doubt).map_err(|mut error| {
            if let StoreError::Unavailable { in_doubt, .. } = &mut error {
                *in_doubt = true;
            }
            error
        })
    }
}

impl JobStore for FaultyStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        Box::pin(async {
            self.check()?;
            let inserted = self.0.inner.insert(job).await?;
            let hides = self.0.hides.swap(false, Ordering::SeqCst);
            self.0.hidden.store(hides, Ordering::SeqCst);
            self.doubt_if(hides)?;
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
            let held = self.held_interrupts().clone();
            if let Some(gate) = held.filter(|_| change.event.name() == "interrupt") {
                gate.arrive();
                gate.opened().await;
            }
            let held = self.held_update().take_if(|(name, _)| *name == change.event.name());
            if let Some((_, gate)) = held {
                gate.arrive();
                gate.opened().await;
            }
            self.0.hidden.store(false, Ordering::SeqCst);
            let in_doubt = self.doubtful().take_if(|name| *name == change.event.name()).is_some();
            let updated = self.0.inner.update(id, change).await?;
            self.doubt_if(in_doubt)?;
            Ok(updated)
        })
    }

    fn get_many(&self, ids: Vec<JobId>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        if let Err(failure) = self.check_failure() {
            return Box::pin(async { Err(failure) });
        }
        if self.0.hidden.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(Vec::new()) });
        }
        let one_less = |reads: usize| reads.checked_sub(1);
        let failing = &self.0.failing_reads;
        if failing.try_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Box::pin(async { Err(self.fail_if(true).expect_err("it fails")) });
        }
        Box::pin(async {
            let found = self.0.inner.get_many(ids).await;
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            found
        })
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        if let Err(failure) = self.check_failure() {
            return Box::pin(async { Err(failure) });
        }
        if self.0.hidden.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(None) });
        }
        self.0.inner.get(id)
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        Box::pin(async move {
            self.check_failure()?;
            self.0.inner.list(query).await
        })
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        Box::pin(async move {
            self.check_failure()?;
            self.0.inner.prune(prune).await
        })
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.check_failure()?;
            self.0.inner.withdraw(id).await
        })
    }

    fn abandoned(&self, server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        self.0.abandoned.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            let held = self.held_looks().clone();
            if let Some(gate) = held {
                gate.arrive();
                gate.opened().await;
            }
            self.check_failure()?;
            self.0.inner.abandoned(server).await
        })
    }

    fn put_state(&self, state: HydratedState) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.check()?;
            self.fail_if(self.0.states_broken.load(Ordering::SeqCst))?;
            let held = self.held_state().take();
            if let Some(gate) = held {
                gate.arrive();
                gate.opened().await;
            }
            self.0.inner.put_state(state).await
        })
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        Box::pin(async move {
            self.check_failure()?;
            self.0.inner.state(field).await
        })
    }

    fn states(&self) -> StoreFuture<'_, Vec<Arc<HydratedState>>> {
        Box::pin(async move {
            self.check_failure()?;
            self.0.inner.states().await
        })
    }

    fn claim(&self, query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        Box::pin(async move {
            self.check()?;
            let in_doubt = self.doubtful().take_if(|name| *name == "claim").is_some();
            let claimed = self.0.inner.claim(query).await?;
            self.doubt_if(in_doubt)?;
            Ok(claimed)
        })
    }

    fn news(&self) -> Option<NewsStream> {
        if self.0.tells_no_news.load(Ordering::SeqCst) {
            return None;
        }
        self.0.inner.news()
    }

    fn now(&self) -> Timestamp {
        self.0.inner.now()
    }

    fn max_result_bytes(&self) -> Option<u64> {
        *self.0.max_result_bytes.lock().expect("no thread panics with the lock")
    }

    fn trouble(&self) -> Option<String> {
        self.0.inner.trouble()
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
