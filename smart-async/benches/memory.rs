//! How many bytes of memory a job takes: an ended one in a store that was opened, and one that was run here; a live one
//! with all that runs it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::time::SystemTime;

use shared::counting::{self, Counting, settled};
use shared::{figure, on_worker, runtime, stored, times};
use smart_async::job::JobOutput;
use smart_async::store::{JobStore, JournalStore, MemoryStore};
use smart_async::{JobManager, JobRequest, job_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    ended_and_opened();
    ended_here();
    live();
}

fn tell(name: &str, before: usize, jobs: usize) {
    let bytes = counting::live_bytes().saturating_sub(before) as f64 / jobs as f64;
    figure(&format!("memory.{name}"), bytes, "bytes_per_job");
}

fn ended_and_opened() {
    let jobs = times(100_000);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    on_worker(&runtime(2), async move { stored::leave(&home, jobs).await });
    let home = folder.path().to_owned();
    on_worker(&runtime(2), async move {
        settled().await;
        let before = counting::live_bytes();
        let opened = SystemTime::now();
        let store = JournalStore::open(&home).await.unwrap();
        // While the view is rewritten, its text is in memory too.
        stored::view_is_written(&home, opened).await;
        settled().await;
        tell("ended.opened", before, jobs);
        store.close().await.unwrap();
    });
}

fn ended_here() {
    let jobs = times(20_000);
    on_worker(&runtime(2), async move {
        let store = MemoryStore::new();
        settled().await;
        let before = counting::live_bytes();
        for number in 0..jobs {
            stored::life(number, &store).await;
        }
        tell("ended.here", before, jobs);
        let before = counting::live_bytes();
        for number in 0..jobs {
            store.insert(stored::running(number, &store)).await.unwrap();
        }
        tell("live.record", before, jobs);
    });
}

/// Jobs of the smallest kind of work: what is counted is ours, the SDK's and the runtime's.
fn live() {
    let jobs = times(5_000);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    on_worker(&runtime(2), async move {
        let manager = JobManager::builder().folder(home).open().await.unwrap();
        // What grows in steps has grown.
        submit(&manager, jobs).await;
        let before = counting::live_bytes();
        submit(&manager, jobs).await;
        tell("live.job", before, jobs);
        manager.shutdown().await.unwrap();
    });
}

/// Submits jobs that wait for ever, and returns once all of them do.
async fn submit(manager: &JobManager, jobs: usize) {
    let (began, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let submitted = (0..jobs).map(|_| {
        let (manager, began) = (manager.clone(), began.clone());
        tokio::spawn(async move {
            let work = job_fn(move |_| {
                let _ = began.send(());
                async {
                    std::future::pending::<()>().await;
                    Ok(JobOutput::default())
                }
            });
            manager.submit(JobRequest::new("simulate"), work).await.unwrap();
        })
    });
    for submitted in submitted.collect::<Vec<_>>() {
        submitted.await.unwrap();
    }
    for _ in 0..jobs {
        waits.recv().await.unwrap();
    }
    settled().await;
}
