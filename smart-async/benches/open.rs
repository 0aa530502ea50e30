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
use std::time::Instant;

use serde_json::Value;
use shared::disks::Watched;
use shared::{Pair, stored, times};
use smart_async::store::{JobStore, JsonFileStore};

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
            let store = JsonFileStore::open(copy.path()).await.unwrap();
            let opened = began.elapsed().as_secs_f64();
            let mut all = smart_async::job::JobQuery::default();
            all.limit = Some(0);
            assert_eq!(store.list(all).await.unwrap().total, jobs);
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
    let store = JsonFileStore::open_watched(folder, disk, u64::MAX).await.unwrap();
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
