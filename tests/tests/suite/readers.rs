//! Whoever reads the folder's files, with no lock and no library, finds whole JSON at every instant.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use smart_async::job::{
    Change, JobEvent, JobId, JobOutput, JobRecord, JobSpec, Progress, Prune, Timestamp,
};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

/// How often the files are read while they are written.
const READS: usize = 300;

fn moment() -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000, 0).unwrap()
}

async fn a_life(store: &JournalStore, length: usize) {
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", moment()));
    job.owner = Some(store.owner());
    let id = store.insert(job).await.unwrap().id;
    let text = "x".repeat(length);
    let progress = Some(Progress::new(1.0, None, Some(text.clone())));
    for event in [JobEvent::Start, JobEvent::Progress, JobEvent::Complete(JobOutput::new(text))] {
        let change = Change::new(event, moment()).with_progress(progress.clone());
        store.update(id, change).await.unwrap();
    }
}

/// Works on the folder until it is told to stop.
async fn hammer(store: JournalStore, stop: Arc<AtomicBool>) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tokio::join!(
            a_life(&store, 10),
            a_life(&store, 1000),
            a_life(&store, 10_000),
            a_life(&store, 100_000)
        );
        if round % 4 == 0 {
            store.prune(Prune::default()).await.unwrap();
        }
    }
    store.close().await.unwrap();
}

/// Tells the writers to stop, however the reading ends.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a reader found.
#[derive(Debug, Default)]
struct Seen {
    views: BTreeMap<String, usize>,
    journals: BTreeMap<String, usize>,
    jobs: usize,
}

impl Seen {
    fn read_view(&mut self, path: &Path) {
        let text = fs::read(path).expect("jobs.json is there at every instant");
        let view: Value = serde_json::from_slice(&text).expect("jobs.json is whole");
        let jobs = view["jobs"].as_array().expect("jobs.json has its jobs");
        for job in jobs {
            JobRecord::from_json(job.clone()).expect("each of them is a record");
        }
        self.jobs += jobs.len();
        let which = format!("{} {}", view["journal"], view["position"]);
        *self.views.entry(which).or_default() += 1;
    }

    /// Every line up to the last whole one; nothing was ever torn here, so none is to be passed over.
    fn read_journal(&mut self, path: &Path) {
        let text = fs::read(path).expect("the journal is there at every instant");
        let end = text.iter().rposition(|byte| *byte == b'\n').expect("it has its first line");
        for (number, line) in text[..end].split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let line: Value = serde_json::from_slice(line).expect("each line is whole");
            if number == 0 {
                assert_eq!(line["version"], 2);
                *self.journals.entry(line["journal"].to_string()).or_default() += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_without_a_lock_finds_whole_json_at_every_instant() {
    let folder = TempDir::new().unwrap();
    let meta: PathBuf = folder.path().join("meta");
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    let first = JournalStore::open(folder.path()).await.unwrap();
    // The first view is written by whoever closes first; from then on there is one.
    first.close().await.unwrap();
    for _ in 0..2 {
        let store = JournalStore::open(folder.path()).await.unwrap();
        writers.spawn(hammer(store, Arc::clone(&stop)));
    }
    let reader = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let _stop = Stop(stop);
            let mut seen = Seen::default();
            let read = |seen: &mut Seen| {
                seen.read_view(&meta.join("jobs.json"));
                seen.read_journal(&meta.join("journal.ndjson"));
            };
            // The view is written anew about once a second.
            let mut reads = 0;
            while reads < READS || seen.views.len() < 3 || seen.journals.len() < 2 || seen.jobs == 0
            {
                read(&mut seen);
                reads += 1;
            }
        }
    });
    let read = tokio::task::spawn_blocking(move || reader.join()).await.unwrap();
    writers.join_all().await;
    if let Err(panic) = read {
        std::panic::resume_unwind(panic);
    }
}
