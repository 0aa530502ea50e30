//! A store of one's own: it keeps jobs in memory and counts their changes.
//!
//! ```console
//! cargo run -p smart-async-examples --bin custom_store
//! ```
//!
//! The last line tests the rules that every store keeps (dev-dependency `smart-async` with the feature `conformance`).

use std::io::Write;
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use smart_async::job::{Change, ClaimQuery, JobPage, JobQuery, OwnerId, Prune, StateName};
use smart_async::store::{HydratedState, JobStore, MemoryStore, NewsStream, Pruned, StoreFuture};
use smart_async::transport::stdio;
use smart_async::{JobId, JobManager, JobRecord, WithJobs, smart_async};

/// Keeps jobs in another store, and counts the changes that it took.
#[derive(Debug, Clone)]
struct CountingStore {
    inner: Arc<MemoryStore>,
    changes: Arc<AtomicU64>,
}

fn counting_store() -> CountingStore {
    CountingStore { inner: Arc::new(MemoryStore::new()), changes: Arc::default() }
}

/// Passes methods on to the inner store as they are.
macro_rules! pass_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $returned:ty;)*) => {$(
        fn $name(&self, $($argument: $type),*) -> $returned {
            self.inner.$name($($argument),*)
        }
    )*};
}

impl JobStore for CountingStore {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        Box::pin(async {
            let job = self.inner.insert(job).await?;
            self.changes.fetch_add(1, Ordering::Relaxed);
            Ok(job)
        })
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        Box::pin(async move {
            let job = self.inner.update(id, change).await?; // guards the transition
            self.changes.fetch_add(1, Ordering::Relaxed);
            Ok(job)
        })
    }

    pass_on! {
        fn get(id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>>;
        fn list(query: JobQuery) -> StoreFuture<'_, JobPage>;
        fn prune(prune: Prune) -> StoreFuture<'_, Pruned>;
        fn withdraw(id: JobId) -> StoreFuture<'_, ()>;
        fn abandoned(server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>>;
        fn put_state(state: HydratedState) -> StoreFuture<'_, bool>;
        fn state(field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>>;
        fn states() -> StoreFuture<'_, Vec<Arc<HydratedState>>>;
        fn claim(query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>>;
        fn news() -> Option<NewsStream>;
        fn owner() -> OwnerId;
        fn is_durable() -> bool;
        fn close() -> StoreFuture<'_, ()>;
    }
}

#[derive(Debug, Clone)]
struct Greeter;

#[tool_router]
impl Greeter {
    /// Greet, always as a job.
    #[smart_async(always_job)]
    #[tool]
    async fn greet(&self) -> String {
        "hello".to_owned()
    }
}

#[tool_handler(name = "greeter")]
impl ServerHandler for Greeter {}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = counting_store();
    let jobs = JobManager::builder().with_store(store.clone());
    Greeter.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    jobs.shutdown().await?;
    writeln!(std::io::stderr(), "{} changes", store.changes.load(Ordering::Relaxed))?;
    Ok(())
}

#[cfg(test)]
smart_async::conformance_tests!(|| async { counting_store() });
