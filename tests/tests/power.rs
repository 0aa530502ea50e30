//! The file system is cut before every write, sync, rename, new file, removal and new folder of what two stores do over one
//! folder, as a kill and as a power loss in several ways would leave it (`smart_async_tests::disk` says what that may be).
//! Each such state is opened by a real store, and it holds: what was acknowledged is there, a job has one end, nothing
//! that was removed or refused is back, `jobs.json` is whole; and whoever comes next can go on, and loses nothing either.
//!
//! `SMART_ASYNC_CUTS` says how many states are tried (2,000; 200,000 in a long run), `SMART_ASYNC_CUT_SEED` the first seed. With the
//! same seed the same operations come in the same order.

#![cfg(unix)]

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use smart_async::job::{Change, FailureKind, JobEvent, JobFailure, JobQuery, JobRecord, Timestamp};
use smart_async::store::conformance::helpers::unnumbered;
use smart_async::store::{JobStore, JournalStore};
use smart_async_tests::disk::{
    Crash, Event, Image, Promises, Trace, check_erased, check_opened, check_results, check_view,
    new_job, record, record_recovery, scratch,
};
use smart_async_tests::{SeededRng, figure};

/// How long a workload is. Longer ones shorten the journal more often.
const ACTIONS: usize = 60;
/// The ways in which a cut is tried: each leaves something else.
const CRASHES: [Crash; 6] = [
    Crash::Killed,
    Crash::OnlySynced,
    Crash::SomeInOrder,
    Crash::SomeInOrder,
    Crash::Anything,
    Crash::Anything,
];
/// After one in so many states, what the next process does is cut as well.
const RECOVERIES: u64 = 150;

/// What is being tried, told where it fails.
struct Case<'a> {
    trace: &'a Trace,
    seed: u64,
    recovery: Option<usize>,
    cut: usize,
    crash: Crash,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { trace, seed, recovery, cut, crash } = self;
            for event in &trace.events[cut.saturating_sub(40)..*cut] {
                eprintln!("{event}");
            }
            let recovery = recovery.map_or(String::new(), |at| format!(", recovery of cut {at}"));
            eprintln!("SMART_ASYNC_CUT_SEED={seed}{recovery}, cut {cut}, {crash:?}");
        }
    }
}

/// A workload that goes wrong by itself.
struct Recording(u64);

impl Drop for Recording {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SMART_ASYNC_CUT_SEED={}, while it was recorded", self.0);
        }
    }
}

/// Tries states until there were enough, together with others of its kind.
struct Cutter<'a> {
    enough: usize,
    tried: &'a AtomicUsize,
    kinds: [usize; CRASHES.len()],
    recoveries: usize,
}

impl Cutter<'_> {
    fn is_done(&self) -> bool {
        self.tried.load(Ordering::Relaxed) >= self.enough
    }

    /// Cuts a workload everywhere.
    async fn cut(&mut self, seed: u64, recovery: Option<usize>, trace: &Trace) {
        let mut rng = SeededRng::new(seed ^ 0xc07);
        let mut model = trace.start.clone();
        let mut promises = trace.before.clone();
        let (hasher, mut seen, mut news) = (RandomState::new(), HashSet::new(), 0);
        let end = trace.events.len();
        for cut in 0..=end {
            let step = match trace.events.get(cut) {
                Some(Event::Step(step)) => Some(step),
                Some(event) => {
                    promises.take_in(event);
                    news += 1;
                    continue;
                }
                None => None,
            };
            for (kind, crash) in CRASHES.into_iter().enumerate() {
                let case = Case { trace, seed, recovery, cut, crash };
                let image = model.left_by(crash, step, &mut rng);
                let case_seed = rng.next();
                // A state that was tried already, with the same promises, says nothing new.
                if !seen.insert(hasher.hash_one((&image, news))) || self.is_done() {
                    continue;
                }
                check(&image, &trace.home, &promises, case_seed).await;
                self.tried.fetch_add(1, Ordering::Relaxed);
                self.kinds[kind] += 1;
                if recovery.is_none() && rng.once_in(RECOVERIES) {
                    let (home, promises) = (trace.home.clone(), promises.clone());
                    let next = record_recovery(&image, home, promises, case_seed).await;
                    self.recoveries += 1;
                    Box::pin(self.cut(seed, Some(cut), &next)).await;
                }
                drop(case);
            }
            if let Some(step) = step {
                model.apply(step);
            }
        }
    }
}

/// Whoever opens what is left finds everything that was promised, and can go on.
async fn check(image: &Image, home: &Path, promises: &Promises, seed: u64) {
    check_view(image, home);
    let root = scratch();
    image.write_to(root.path());
    let mut promises = promises.clone();
    let store = JournalStore::open(root.path().join(home)).await.expect("a store opens");
    let found = check_opened(&store, &promises).await;
    let ids: Vec<_> = promises.ids().collect();
    for id in ids {
        let job = found.iter().find(|job| job.id == id).cloned();
        promises.take_in(&Event::Found(id, job));
    }
    nothing_was_set_aside(&root.path().join(home));
    let abandoned = store.abandoned(Some("reactor".to_owned())).await.expect("the store can tell");
    let unfinished: HashSet<_> =
        found.iter().filter(|job| !job.status().is_terminal()).map(|job| job.id).collect();
    let abandoned: HashSet<_> = abandoned.iter().map(|job| job.id).collect();
    assert_eq!(abandoned, unfinished, "who is dead runs no jobs");
    // One process at least comes after this one, so it must be able to write, and what it writes must stay.
    let mut job = new_job(&mut SeededRng::new(seed), &store, 0);
    // Its number, which its line has as well, is the next one.
    let stored = store.list(JobQuery::default()).await.expect("jobs can be listed").jobs;
    let numbers = stored.iter().map(|job| job.sequence.max(job.end_sequence));
    job.sequence = numbers.max().unwrap_or_default() + 1;
    fill_what_was_lost(&mut job, image, home);
    job.sequence = 0;
    let job = Arc::new(job);
    let mut asked = vec![(Arc::clone(&job), store.insert((*job).clone()))];
    if seed.is_multiple_of(2) {
        for job in found.iter().filter(|job| unfinished.contains(&job.id)) {
            let (change, next) = interrupted(job);
            asked.push((next, store.update(job.id, change)));
        }
    }
    for (expected, answer) in asked {
        promises.take_in(&Event::Tried(Arc::clone(&expected)));
        assert!(unnumbered(&answer.await.expect("a change is made")) == *expected);
        promises.take_in(&Event::Acknowledged(expected));
    }
    // The next one finds what a kill at this moment leaves, without the view that comes with the end.
    let killed = scratch();
    copy_files(&root.path().join(home), killed.path());
    let after = JournalStore::open(killed.path()).await.expect("a store opens again");
    let found = check_opened(&after, &promises).await;
    check_results(killed.path(), &found);
    nothing_was_set_aside(killed.path());
    after.close().await.expect("a store closes");
    check_erased(killed.path(), &promises);
    store.close().await.expect("a store closes");
    let view = fs::read(root.path().join(home).join("meta/jobs.json")).expect("a view");
    let view: serde_json::Value = serde_json::from_slice(&view).expect("jobs.json is whole");
    let jobs = view["jobs"].as_array().expect("jobs").iter();
    // What the view says of results in files was found above.
    let with_result = |job: &JobRecord| found.iter().find(|found| found.id == job.id).cloned();
    let jobs = jobs.map(|job| Arc::new(unnumbered(&JobRecord::from_json(job.clone()).unwrap())));
    let jobs: Vec<_> =
        jobs.map(|job| {
            if job.result_location.is_in_file() { with_result(&job).unwrap_or(job) } else { job }
        })
        .collect();
    promises.check(&jobs);
    check_erased(&root.path().join(home), &promises);
}

/// Where a view tells of more of the journal than is left, has the job end exactly where the view says: a view that is
/// believed then hides the job.
fn fill_what_was_lost(job: &mut JobRecord, image: &Image, home: &Path) {
    let file = |name| image.file(&home.join("meta").join(name));
    let (Some(view), Some(journal)) = (file("jobs.json"), file("journal.ndjson")) else { return };
    let view: serde_json::Value = serde_json::from_slice(view).expect("jobs.json is whole");
    let Some(position) = view["position"].as_u64() else { return };
    let Some(end) = journal.iter().rposition(|byte| *byte == b'\n') else { return };
    job.spec_mut().label.clear();
    let batch =
        "\n{\"put\":,\"crc\":\"01234567\"}\n".len() + serde_json::to_vec(job).expect("JSON").len();
    if let Some(length) = (position as usize).checked_sub(end + 1 + batch) {
        job.spec_mut().label = "z".repeat(length);
    }
}

fn interrupted(job: &JobRecord) -> (Change, Arc<JobRecord>) {
    let failure = JobFailure::new(FailureKind::Interrupted, "its process was killed");
    let change = Change::new(JobEvent::Fail(failure), Timestamp::UNIX_EPOCH);
    let next = job.apply(change.clone()).expect("it can fail");
    (change, Arc::new(next))
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to.join("meta")).unwrap();
    for file in ["meta/journal.ndjson", "meta/jobs.json"] {
        // There may be no view.
        let _ = fs::copy(from.join(file), to.join(file));
    }
    let Ok(results) = fs::read_dir(from.join("results")) else { return };
    fs::create_dir(to.join("results")).unwrap();
    for file in results {
        let name = file.unwrap().file_name();
        fs::copy(from.join("results").join(&name), to.join("results").join(&name)).unwrap();
    }
}

/// A crash damages nothing so that it would have to be set aside.
fn nothing_was_set_aside(home: &Path) {
    for entry in fs::read_dir(home.join("meta")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("damaged"), "{name}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_cut_at_every_operation() {
    let enough = figure("SMART_ASYNC_CUTS", 2_000, 200_000) as usize;
    let (seed, tried) = (AtomicU64::new(figure("SMART_ASYNC_CUT_SEED", 1, 1)), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let kinds = Default::default();
                let mut cutter = Cutter { enough, tried: &tried, kinds, recoveries: 0 };
                while !cutter.is_done() {
                    let seed = seed.fetch_add(1, Ordering::Relaxed);
                    runtime().block_on(async {
                        let recording = Recording(seed);
                        let trace = record(seed, ACTIONS).await;
                        drop(recording);
                        cutter.cut(seed, None, &trace).await;
                    });
                }
                println!(
                    "states by way of crash: {:?}, recoveries cut: {}",
                    cutter.kinds, cutter.recoveries
                );
            });
        }
    });
    assert!(tried.into_inner() >= enough, "every state that was to be tried was tried");
}

/// What a seed says has to mean the same tomorrow.
#[test]
fn the_same_seed_gives_the_same_operations() {
    let shape = |trace: Trace| {
        let mut model = trace.start;
        let mut steps = Vec::new();
        for event in trace.events {
            if let Event::Step(step) = event {
                model.apply(&step);
                steps.push(std::mem::discriminant(&step));
            }
        }
        let left = model.left_by(Crash::Killed, None, &mut SeededRng::new(0));
        let files =
            left.0.into_iter().filter(|(path, _)| !path.to_string_lossy().contains("owners"));
        // The name of a result that was being written has that of its process, which is another one each time.
        let named = |path: PathBuf| match path.extension() {
            Some(new) if new == "new" => {
                path.with_extension("").with_extension("").with_extension("")
            }
            _ => path,
        };
        let sizes: Vec<(PathBuf, usize)> = files
            .map(|(path, content)| (named(path), content.map_or(0, |content| content.len())))
            .collect();
        (steps, sizes)
    };
    let runtime = runtime();
    for seed in 1..50 {
        let first = shape(runtime.block_on(record(seed, ACTIONS)));
        assert_eq!(first, shape(runtime.block_on(record(seed, ACTIONS))), "seed {seed}");
    }
}
