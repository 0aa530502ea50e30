//! Opening a folder of many jobs, against reading the same text as JSON and no more.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use serde_json::{Value, json};
use shared::disks::Watched;
use shared::{Pair, stored, times};
use smart_async::manager::Retention;
use smart_async::store::{JobStore, JournalStore};
use smart_async::{JobManager, WithJobs};

fn main() {
    let jobs = times(100_000);
    // As an orderly end leaves it: the view says everything.
    let folder = tempfile::tempdir().unwrap();
    shared::runtime(2).block_on(stored::leave(folder.path(), jobs));
    measure("view", folder.path(), jobs, |meta| {
        let text = fs::read(meta.join("jobs.json")).unwrap();
        let began = Instant::now();
        std::hint::black_box(serde_json::from_slice::<Value>(&text).unwrap());
        began.elapsed().as_secs_f64()
    });
    list(folder.path(), jobs);
    // As a crash leaves it that found the journal just before it was shortened, and no view.
    let folder = tempfile::tempdir().unwrap();
    shared::runtime(2).block_on(leave_full_journal(folder.path(), jobs));
    fs::remove_file(folder.path().join("meta/jobs.json")).unwrap();
    measure("journal", folder.path(), jobs, |meta| {
        let text = fs::read(meta.join("journal.ndjson")).unwrap();
        let began = Instant::now();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            std::hint::black_box(serde_json::from_slice::<Value>(line).unwrap());
        }
        began.elapsed().as_secs_f64()
    });
}

/// The newest 20 that completed, asked for by a client: what that takes longer than the most trivial call, as that is what
/// the list and its answer cost. Few jobs and many in turn; and the same answer from a tool that has it ready, which is what
/// the SDK takes to bring it to the client.
fn list(many_jobs: &Path, jobs: usize) {
    const FEW: usize = 1_000;
    let few_jobs = tempfile::tempdir().unwrap();
    let [few, many] = [few_jobs.path(), many_jobs].map(Path::to_owned);
    shared::on_worker(&shared::runtime(2), async move {
        stored::leave(&few, FEW).await;
        let (few, many) = (serve(&few).await, serve(&many).await);
        // The views are written after a start.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let answer = newest_20(&many).await;
        let [mut trivial, mut ready, mut of_few, mut of_many] = [(); 4].map(|()| Vec::new());
        for _ in 0..times(500) {
            let began = Instant::now();
            shared::server::add(&few, "plain").await;
            trivial.push(shared::micros(began));
            shared::server::READY.lock().unwrap().push(answer.clone());
            let began = Instant::now();
            std::hint::black_box(call(&few, "ready", &Value::Null).await);
            ready.push(shared::micros(began));
            for (client, took) in [(&few, &mut of_few), (&many, &mut of_many)] {
                let began = Instant::now();
                std::hint::black_box(newest_20(client).await);
                took.push(shared::micros(began));
            }
        }
        let trivial = shared::median(&trivial);
        shared::figure("list.ready", shared::median(&ready) - trivial, "us");
        for (jobs, took) in [(FEW, of_few), (jobs, of_many)] {
            shared::figure(&format!("list.{jobs}.answered"), shared::median(&took) - trivial, "us");
        }
    });
}

type Client = RunningService<RoleClient, ()>;

async fn serve(folder: &Path) -> Client {
    let keep = Retention::new(Duration::from_secs(24 * 60 * 60), usize::MAX).max_bytes(u64::MAX);
    let manager = JobManager::builder().folder(folder).server(stored::SERVER).retention(keep);
    let manager = manager.open().await.unwrap();
    shared::server::connect(shared::server::Adder::new().with_jobs(manager)).await
}

async fn newest_20(client: &Client) -> CallToolResult {
    call(client, "list_jobs", &json!({"status_filter": "completed", "limit": 20})).await
}

async fn call(client: &Client, tool: &'static str, arguments: &Value) -> CallToolResult {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let answer = client.call_tool(request).await.unwrap();
    assert_ne!(answer.is_error, Some(true));
    answer
}

/// Opens copies of the folder, as an open store changes it.
fn measure(name: &str, folder: &Path, jobs: usize, parse: impl Fn(&Path) -> f64) {
    let runtime = shared::runtime(2);
    let mut pair = Pair::default();
    for _ in 0..times(7) {
        let copy = tempfile::tempdir().unwrap();
        let meta = copy.path().join("meta");
        fs::create_dir(&meta).unwrap();
        for file in ["jobs.json", "journal.ndjson"] {
            let from = folder.join("meta").join(file);
            if from.exists() {
                fs::copy(from, meta.join(file)).unwrap();
                fs::File::open(meta.join(file)).unwrap().sync_all().unwrap();
            }
        }
        let parsed = parse(&meta);
        let opened = runtime.block_on(async {
            let began = Instant::now();
            let store = JournalStore::open(copy.path()).await.unwrap();
            let opened = began.elapsed().as_secs_f64();
            let mut all = smart_async::job::JobQuery::default();
            all.limit = Some(0);
            all.with_total = true;
            assert_eq!(store.list(all).await.unwrap().total, Some(jobs));
            store.close().await.unwrap();
            opened
        });
        pair.push(parsed * 1e3, opened * 1e3);
    }
    pair.tell(&format!("open.{name}"), "ms");
}

/// A journal with all the changes of each job's life, which is as long as a journal gets.
async fn leave_full_journal(folder: &Path, jobs: usize) {
    const AT_ONCE: usize = 2000;
    let disk = Arc::new(Watched::default());
    let store = JournalStore::open_watched(folder, disk, u64::MAX).await.unwrap();
    let store = Arc::new(store);
    for first in (0..jobs).step_by(AT_ONCE) {
        let lives = (first..jobs.min(first + AT_ONCE)).map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { stored::life(number, &*store).await })
        });
        for life in lives.collect::<Vec<_>>() {
            life.await.unwrap();
        }
    }
    store.close().await.unwrap();
}
