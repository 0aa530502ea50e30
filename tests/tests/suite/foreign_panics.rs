//! Code of the program panics in a thread or a task of the library: its clock, its store, and, in place of whatever else may panic
//! in the writer thread, a disk. What was acknowledged stands, what was not can be asked for again, and everything goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use smart_async::JobManager;
use smart_async::job::{
    Change, ClaimQuery, JobEvent, JobId, JobOutput, JobPage, JobQuery, JobRecord, JobSpec,
    JobStatus, OwnerId, Prune, StateName,
};
use smart_async::manager::{JobRequest, WaitFor, WallClock, job_fn};
use smart_async::store::faults::{Operation, Verdict, Watcher};
use smart_async::store::{
    HydratedState, JobStore, JournalStore, MemoryStore, Pruned, StoreError, StoreFuture,
};

/// Counts down to one panic.
#[derive(Debug)]
struct Fuse(AtomicUsize);

impl Fuse {
    const SAFE: usize = usize::MAX;

    fn burn(&self) {
        let left = self.0.load(Ordering::SeqCst);
        if left != Self::SAFE {
            self.0.store(left.checked_sub(1).unwrap_or(Self::SAFE), Ordering::SeqCst);
            assert_ne!(left, 0, "a panic of a test");
        }
    }
}

impl Watcher for Fuse {
    fn announce(&self, _: Operation<'_>) -> Verdict {
        self.burn();
        Verdict::GoOn
    }
}

/// Asks again until the store has done it.
async fn insist<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match ask().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn the_writer_thread_outlives_a_panic_at_any_operation_on_the_disk() {
    for after in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let fuse = Arc::new(Fuse(AtomicUsize::new(Fuse::SAFE)));
        let store = JournalStore::open_watched(folder.path(), fuse.clone(), 1).await.unwrap();
        let job = JobRecord::new(JobId::new(), JobSpec::new("bake", "bakery", store.now()));
        let (id, now) = (job.id, store.now());
        fuse.0.store(after, Ordering::SeqCst);
        match insist(async || store.insert(job.clone()).await).await {
            // The attempt that panicked stands.
            Ok(_) | Err(StoreError::Duplicate(_)) => {}
            Err(error) => panic!("{error}"),
        }
        for event in [JobEvent::Start, JobEvent::Complete(JobOutput::new(7))] {
            let change = Change::new(event, now);
            match insist(async || store.update(id, change.clone()).await).await {
                Ok(_) | Err(StoreError::Illegal { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let is_burnt = fuse.0.swap(Fuse::SAFE, Ordering::SeqCst) == Fuse::SAFE;
        store.close().await.unwrap();
        assert_eq!(store.trouble(), None);
        drop(store);
        let opened = JournalStore::open(folder.path()).await.unwrap();
        let job = opened.get(id).await.unwrap().unwrap();
        assert_eq!(job.status(), JobStatus::Completed);
        if !is_burnt {
            // The workload takes fewer operations than that.
            assert!(after > 6, "{after} operations are too few");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_counts_as_the_systems() {
    let clock = WallClock::new(|| panic!("the battery is empty"));
    let jobs = JobManager::builder().clock(clock).in_memory();
    let id = jobs
        .submit(JobRequest::new("count"), job_fn(async |_| Ok(JobOutput::new(7))))
        .await
        .unwrap();
    jobs.wait(&[id], WaitFor::any(), Duration::MAX).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, 7);
}

/// A store of a program that panics once, when it is asked for the n-th time.
#[derive(Debug)]
struct PanickyStore {
    inner: MemoryStore,
    fuse: Fuse,
}

impl PanickyStore {
    fn ask<'a, T: 'a>(&'a self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        // Half of the requests panic before there is a future, and half within it.
        if self.fuse.0.load(Ordering::SeqCst).is_multiple_of(2) {
            self.fuse.burn();
            return answer;
        }
        Box::pin(async {
            self.fuse.burn();
            answer.await
        })
    }
}

impl JobStore for PanickyStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        self.ask(self.inner.insert(job))
    }
    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        self.ask(self.inner.update(id, change))
    }
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        self.inner.get(id)
    }
    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        self.ask(self.inner.list(query))
    }
    fn claim(&self, query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        self.ask(self.inner.claim(query))
    }
    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        self.ask(self.inner.prune(prune))
    }
    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        self.ask(self.inner.withdraw(id))
    }
    fn abandoned(&self, server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        self.ask(self.inner.abandoned(server))
    }
    fn put_state(&self, state: HydratedState) -> StoreFuture<'_, bool> {
        self.ask(self.inner.put_state(state))
    }
    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        self.ask(self.inner.state(field))
    }
    fn states(&self) -> StoreFuture<'_, Vec<Arc<HydratedState>>> {
        self.ask(self.inner.states())
    }
    fn owner(&self) -> OwnerId {
        self.inner.owner()
    }
    fn is_durable(&self) -> bool {
        true
    }
    fn close(&self) -> StoreFuture<'_, ()> {
        self.ask(self.inner.close())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_counts_as_one_that_fails_for_a_moment() {
    for after in 0..20 {
        let store = PanickyStore { inner: MemoryStore::new(), fuse: Fuse(Fuse::SAFE.into()) };
        store.fuse.0.store(after, Ordering::SeqCst);
        let jobs = JobManager::builder().server("panicky").with_store(store);
        let submitted = insist_on_job(&jobs).await;
        let waited = jobs.wait(&[submitted], WaitFor::any(), Duration::MAX).await.unwrap();
        assert_eq!(waited.jobs[0].status(), JobStatus::Completed, "after {after}");
        assert_eq!(jobs.health().store_error, None, "after {after}");
    }
}

/// Submits a job, and once more where the store panics meanwhile.
async fn insist_on_job(jobs: &JobManager) -> JobId {
    loop {
        let work = job_fn(async |_| {
            smart_async::progress().report(1, 2, "half");
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(JobOutput::new(7))
        });
        if let Ok(id) = jobs.submit(JobRequest::new("count"), work).await {
            return id;
        }
    }
}
