//! The guard against regressions, run with every check: what is counted (allocations, syncs, bytes) must stay as it is, and
//! what is timed is compared with the plain thing in the same run, the best of several rounds, with room for a noisy machine.
//!
//! The limits here are looser than what docs/figures.md promises. They catch what has become several times dearer.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a guard says what it finds, and fails"
)]

mod shared;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use shared::counting::{self, Counting, settled};
use shared::disks::{PlainFile, Watched, in_memory};
use shared::{micros, on_worker, runtime, stored};
use smart_async::job::{Change, JobEvent, JobQuery};
use smart_async::store::{JobStore, JournalStore};
use smart_async::{JobStatus, Reply, smart_async};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let mut guard = Guard::default();
    inline(&mut guard);
    writes(&mut guard);
    transition(&mut guard);
    group_commit(&mut guard);
    many_jobs(&mut guard);
    guard.end();
}

/// What was found, and whether it is within its limit.
#[derive(Default)]
struct Guard {
    failed: bool,
}

impl Guard {
    fn at_most(&mut self, what: &str, found: f64, limit: f64) {
        self.look(what, found, "at most", limit, found <= limit);
    }

    fn at_least(&mut self, what: &str, found: f64, limit: f64) {
        self.look(what, found, "at least", limit, found >= limit);
    }

    fn look(&mut self, what: &str, found: f64, how: &str, limit: f64, holds: bool) {
        let sign = if holds { "held  " } else { "BROKEN" };
        println!("    {sign} {what}: {found:.2} ({how} {limit})");
        self.failed |= !holds;
    }

    fn end(self) {
        if self.failed {
            eprintln!(
                "    something has become much dearer; docs/figures.md says how to find out what"
            );
            std::process::exit(1);
        }
    }
}

/// The smallest of several rounds: other work on the machine can only add to it.
fn best(rounds: usize, mut round: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| round()).fold(f64::INFINITY, f64::min)
}

#[smart_async]
async fn annotated(a: i64) -> i64 {
    a + 1
}

async fn ours(a: i64) -> i64 {
    let Reply::Inline(sum) = annotated(a).await else { panic!("it has 20 seconds") };
    sum
}

async fn spawned_and_timed(a: i64) -> i64 {
    let work = tokio::spawn(async move { a + 1 });
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap()
}

fn inline(guard: &mut Guard) {
    const CALLS: usize = 2_000;
    let runtime = runtime(1);
    let allocations = on_worker(&runtime, async {
        ours(1).await;
        let before = counting::allocations();
        for number in 0..CALLS {
            std::hint::black_box(ours(number as i64).await);
        }
        (counting::allocations() - before) as f64 / CALLS as f64
    });
    guard.at_most("allocations of an annotated call", allocations, ALLOCATIONS_OF_A_CALL);
    let time = |is_ours: bool| {
        on_worker(&runtime, async move {
            let began = Instant::now();
            for number in 0..CALLS {
                let number = std::hint::black_box(number as i64);
                std::hint::black_box(if is_ours {
                    ours(number).await
                } else {
                    spawned_and_timed(number).await
                });
            }
            micros(began)
        })
    };
    let plain = best(30, || time(false));
    let ratio = best(30, || time(true)) / plain;
    guard.at_most("an annotated call against spawn and timeout", ratio, 8.0);
}

/// What an annotated call asks for at most; a change that needs more should know that it does.
const ALLOCATIONS_OF_A_CALL: f64 = 8.5;

fn writes(guard: &mut Guard) {
    const CHANGES: usize = 300;
    let disk = Arc::new(Watched::default());
    let watched = Arc::clone(&disk);
    let folder = in_memory();
    let home = folder.path().to_owned();
    on_worker(&runtime(1), async move {
        let store = JournalStore::open_watched(home, watched, u64::MAX).await.unwrap();
        let counts =
            || [&disk.syncs, &disk.writes, &disk.bytes].map(|count| count.load(Ordering::Relaxed));
        let before = counts();
        for number in 0..CHANGES / stored::CHANGES_OF_A_LIFE {
            stored::life(number, &store).await;
        }
        let after = counts();
        store.close().await.unwrap();
        [0, 1, 2].map(|count| (after[count] - before[count]) as f64 / CHANGES as f64)
    })
    .into_iter()
    .zip([("syncs", 1.0), ("writes", 1.0), ("bytes", 520.0)])
    .for_each(|(found, (what, limit))| {
        guard.at_most(&format!("{what} of a change of state"), found, limit);
    });
}

/// On a disk whose sync takes 2 ms, so that the machine's own does not count.
fn transition(guard: &mut Guard) {
    let folder = in_memory();
    let home = folder.path().to_owned();
    let disk = Watched::held_up(Duration::from_millis(2));
    let ratio = on_worker(&runtime(2), async move {
        let mut plain = PlainFile::create(&home.join("plain"), 400);
        let store =
            JournalStore::open_watched(home, Arc::clone(&disk) as _, u64::MAX).await.unwrap();
        let (mut appended, mut changed) = (f64::INFINITY, f64::INFINITY);
        for number in 0..30 {
            let began = Instant::now();
            plain.append();
            disk.pause();
            appended = appended.min(micros(began));
            let began = Instant::now();
            stored::life(number, &store).await;
            changed = changed.min(micros(began) / stored::CHANGES_OF_A_LIFE as f64);
        }
        store.close().await.unwrap();
        changed / appended
    });
    guard.at_most("a change of state against one synced append of 2 ms", ratio, 1.3);
}

fn group_commit(guard: &mut Guard) {
    let folder = in_memory();
    let home = folder.path().to_owned();
    let disk = Watched::held_up(Duration::from_millis(2));
    let ratio = on_worker(&runtime(2), async move {
        let store = JournalStore::open_watched(home, disk, u64::MAX).await.unwrap();
        let store = Arc::new(store);
        let (mut one, mut many) = (f64::INFINITY, 0.0_f64);
        for _ in 0..3 {
            one = one.min(stored::lives(&store, 1, Duration::from_millis(300)).await);
            many = many.max(stored::lives(&store, 64, Duration::from_millis(300)).await);
        }
        store.close().await.unwrap();
        many / one
    });
    guard.at_least("64 callers against one, where a sync takes 2 ms", ratio, 12.0);
}

/// What must not grow with the number of jobs.
fn many_jobs(guard: &mut Guard) {
    const FEW: usize = 100;
    const MANY: usize = 50_000;
    let [few, many] = [FEW, MANY].map(|jobs| {
        let folder = in_memory();
        let home = folder.path().to_owned();
        on_worker(&runtime(2), {
            let home = home.clone();
            async move { stored::leave(&home, jobs).await }
        });
        let parsed = best(3, || {
            let text = std::fs::read(home.join("meta/jobs.json")).unwrap();
            let began = Instant::now();
            std::hint::black_box(serde_json::from_slice::<serde_json::Value>(&text).unwrap());
            micros(began)
        });
        on_worker(&runtime(2), async move {
            let mut opened = f64::INFINITY;
            for _ in 0..3 {
                let began = Instant::now();
                let store = JournalStore::open(&home).await.unwrap();
                opened = opened.min(micros(began));
                store.close().await.unwrap();
            }
            settled().await;
            let before = counting::live_bytes();
            let since = SystemTime::now();
            let store = JournalStore::open(&home).await.unwrap();
            stored::view_is_written(&home, since).await;
            settled().await;
            let bytes = counting::live_bytes().saturating_sub(before) as f64 / jobs as f64;
            let mut query = JobQuery::default();
            (query.statuses, query.limit) = (vec![JobStatus::Completed], Some(20));
            let mut allocations = usize::MAX;
            for _ in 0..10 {
                let before = counting::allocations();
                store.list(query.clone()).await.unwrap();
                allocations = allocations.min(counting::allocations() - before);
            }
            let (mut listed, mut changed) = (f64::INFINITY, f64::INFINITY);
            for number in 0..300 {
                let began = Instant::now();
                store.list(query.clone()).await.unwrap();
                listed = listed.min(micros(began));
                let job = store.insert(stored::pending(number, &store)).await.unwrap();
                let began = Instant::now();
                store.update(job.id, Change::new(JobEvent::Start, stored::now())).await.unwrap();
                changed = changed.min(micros(began));
            }
            store.close().await.unwrap();
            Found { parsed, opened, allocations: allocations as f64, listed, changed, bytes }
        })
    });
    guard.at_most("opening 50,000 jobs against parsing the file", many.opened / many.parsed, 3.0);
    guard.at_most("a page of 20 of 50,000 jobs against one of 100", many.listed / few.listed, 3.0);
    // Two texts for each job, and what a query takes; with the records read there were some seven for each.
    guard.at_most("allocations of a page of 20 in short", many.allocations, 60.0);
    guard.at_most(
        "a change among 50,000 jobs against one among 100",
        many.changed / few.changed,
        3.0,
    );
    // Measured on x86-64: 1,373.
    guard.at_most("bytes of memory for an ended job", many.bytes, 1536.0);
}

/// In microseconds, and bytes.
struct Found {
    parsed: f64,
    opened: f64,
    /// Of a page in short.
    allocations: f64,
    listed: f64,
    changed: f64,
    bytes: f64,
}
