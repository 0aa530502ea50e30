//! What takes nanoseconds or some microseconds, in loops: a report of progress, a page of a list, and the bare call with its
//! allocations.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong"
)]

mod shared;

use std::sync::LazyLock;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use shared::stored;
use smart_async::job::{JobOutput, JobQuery};
use smart_async::store::{JobStore, JournalStore};
use smart_async::{
    JobManager, JobRequest, JobStatus, ProgressReporter, Reply, job_fn, smart_async,
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| shared::runtime(2));

fn main() {
    divan::main();
}

// --- Progress ---------------------------------------------------------------------------------------------------------

/// The progress of a job that runs, and whose news are written four times a second.
static PROGRESS: LazyLock<(ProgressReporter, JobManager)> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let manager = JobManager::in_memory();
        let (lend, lent) = std::sync::mpsc::channel();
        let work = job_fn(move |job| {
            let _ = lend.send(job.progress());
            async {
                std::future::pending::<()>().await;
                Ok(JobOutput::default())
            }
        });
        manager.submit(JobRequest::new("simulate"), work).await.unwrap();
        (tokio::task::spawn_blocking(move || lent.recv().unwrap()).await.unwrap(), manager)
    })
});

#[divan::bench(threads = [1, 2])]
fn progress_bare(bencher: Bencher<'_, '_>) {
    let progress = &PROGRESS.0;
    bencher.bench(|| progress.count(black_box(52), black_box(100)));
}

#[divan::bench(threads = [1, 2])]
fn progress_with_message(bencher: Bencher<'_, '_>) {
    let progress = &PROGRESS.0;
    bencher
        .bench(|| progress.report(black_box(52), black_box(100), black_box("simulated 52 of 100")));
}

// --- Listing ----------------------------------------------------------------------------------------------------------

/// Stores with so many ended jobs, and the folders that they lie in.
fn store(jobs: usize) -> &'static JournalStore {
    type Opened = LazyLock<(JournalStore, tempfile::TempDir)>;
    static FEW: Opened = LazyLock::new(|| open(1_000));
    static MANY: Opened = LazyLock::new(|| open(shared::times(100_000)));
    if jobs == 1_000 { &FEW.0 } else { &MANY.0 }
}

fn open(jobs: usize) -> (JournalStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = RUNTIME.block_on(async {
        stored::leave(folder.path(), jobs).await;
        let opened = std::time::SystemTime::now();
        let store = JournalStore::open(folder.path()).await.unwrap();
        stored::view_is_written(folder.path(), opened).await;
        store
    });
    (store, folder)
}

#[divan::bench(args = [1_000, 100_000])]
fn list_newest_20(bencher: Bencher<'_, '_>, jobs: usize) {
    let (store, query) = (store(jobs), newest_20());
    bencher.bench(|| RUNTIME.block_on(store.list(query.clone())).unwrap());
}

fn newest_20() -> JobQuery {
    let mut query = JobQuery::default();
    (query.statuses, query.limit) = (vec![JobStatus::Completed], Some(20));
    query.server = Some(stored::SERVER.to_owned());
    query
}

// --- The bare call ----------------------------------------------------------------------------------------------------

#[smart_async]
async fn annotated(a: i64, b: i64) -> i64 {
    a + b
}

#[divan::bench]
fn call_spawn_and_timeout(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        RUNTIME.block_on(async {
            let work = tokio::spawn(async { black_box(2) + black_box(3) });
            tokio::time::timeout(Duration::from_secs(20), work).await
        })
    });
}

#[divan::bench]
fn call_annotated(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        RUNTIME.block_on(async {
            let Reply::Inline(sum) = annotated(black_box(2), black_box(3)).await else {
                panic!("it has 20 seconds");
            };
            sum
        })
    });
}
