//! A durable change of state: against one append and sync of as many bytes; with more jobs stored, more callers, more
//! processes, and on disks of a given slowness.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use shared::disks::{PlainFile, Watched, in_memory};
use shared::{Pair, figure, is_in_earnest, micros, stored, times};
use smart_async::job::{Change, JobEvent};
use smart_async::store::{JobStore, JournalStore};

/// The word by which this program knows that it is the second process.
const CHILD: &str = "child";
/// What a change of state appends, about; the plain append writes as much.
const LINE: usize = 400;
/// How many changes are measured together.
const CHANGES: usize = 2;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == CHILD) {
        return second_process(Path::new(&arguments[2]), arguments[3].parse().unwrap());
    }
    if shared::is_asked_for("stored") {
        by_jobs_stored();
    }
    if shared::is_asked_for("processes") {
        two_processes();
    }
    if shared::is_asked_for("slow") {
        on_slow_disks();
    }
}

/// One caller, and many, with few and many jobs stored.
fn by_jobs_stored() {
    for jobs in [100, 1_000, 10_000, times(100_000)] {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let runtime = shared::runtime(2);
        shared::on_worker(&runtime, async move {
            stored::leave(&home, jobs).await;
            let opened = SystemTime::now();
            let store = Arc::new(JournalStore::open(&home).await.unwrap());
            stored::view_is_written(&home, opened).await;
            let mut plain = PlainFile::create(&home.join("plain"), LINE);
            let (mut pair, mut handed_over) = (Pair::default(), Vec::new());
            for round in 0..times(400) {
                let began = Instant::now();
                // As often as ours, below: the middle of sums is not that of the single ones, as some syncs take far longer.
                for _ in 0..CHANGES {
                    plain.append();
                }
                let appended = micros(began) / CHANGES as f64;
                let job = store.insert(stored::pending(round, &*store)).await.unwrap();
                let changed: [_; CHANGES] = [JobEvent::Start, stored::end(round)];
                let began = Instant::now();
                for event in changed {
                    store.update(job.id, Change::new(event, stored::now())).await.unwrap();
                }
                pair.push(appended, micros(began) / CHANGES as f64);
                // What an async program pays that hands its append to a thread where it may wait.
                let began = Instant::now();
                for _ in 0..CHANGES {
                    plain = tokio::task::spawn_blocking(move || {
                        plain.append();
                        plain
                    })
                    .await
                    .unwrap();
                }
                handed_over.push(micros(began) / CHANGES as f64);
            }
            figure(&format!("transition.{jobs}.handed_over"), shared::median(&handed_over), "us");
            figure(&format!("transition.{jobs}.plain"), shared::median(&pair.plain), "us");
            figure(&format!("transition.{jobs}.ours"), shared::median(&pair.ours), "us");
            figure(&format!("transition.{jobs}.ratio"), pair.ratio_of_medians(), "x");
            let time = Duration::from_millis(times(1500) as u64);
            for callers in [1, 8, 64, 512] {
                let rate = stored::lives(&store, callers, time).await;
                figure(&format!("transition.{jobs}.callers.{callers}"), rate, "per_s");
            }
            store.close().await.unwrap();
        });
    }
}

/// One process against two that share a folder, each with as many callers. Rounds take turns.
fn two_processes() {
    let time = Duration::from_millis(times(1500) as u64);
    for callers in [1, 8] {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let runtime = shared::runtime(1);
        shared::on_worker(&runtime, async move {
            stored::leave(&home, 1_000).await;
            let store = Arc::new(JournalStore::open(&home).await.unwrap());
            let (mut pair, mut shares) = (Pair::default(), Vec::new());
            for _ in 0..times(3).max(3) {
                let alone = stored::lives(&store, callers, time).await;
                let mut second = SecondProcess::start(&home, callers);
                second.go();
                let first = stored::lives(&store, callers, time).await;
                let both = first + second.rate();
                pair.push(alone, both);
                shares.push(100.0 * first / both);
            }
            pair.tell(&format!("processes.{callers}"), "per_s");
            figure(&format!("processes.{callers}.share"), shared::median(&shares), "percent");
            store.close().await.unwrap();
        });
    }
}

/// This program a second time, over the same folder.
struct SecondProcess {
    process: std::process::Child,
    said: BufReader<std::process::ChildStdout>,
}

impl SecondProcess {
    /// Starts it, and waits until it is ready.
    fn start(home: &Path, callers: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(CHILD)
            .arg(home)
            .arg(callers.to_string())
            .args(is_in_earnest().then_some("--bench"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut this = Self { process, said };
        assert_eq!(this.line(), "ready");
        this
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn go(&mut self) {
        writeln!(self.process.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn rate(mut self) -> f64 {
        let rate = self.line().parse().unwrap();
        assert!(self.process.wait().unwrap().success());
        rate
    }
}

fn second_process(home: &Path, callers: usize) {
    let home = home.to_owned();
    let time = Duration::from_millis(times(1500) as u64);
    shared::runtime(1).block_on(async move {
        let store = Arc::new(JournalStore::open(home).await.unwrap());
        println!("ready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        println!("{}", stored::lives(&store, callers, time).await);
        store.close().await.unwrap();
    });
}

/// How callers share a sync. `jobs.json` is not rewritten meanwhile.
fn on_slow_disks() {
    // The system wakes a thread some 50 µs late, so that a pause of one is a sync of about 50 µs; what it was is measured.
    for (name, pause) in [("2ms", Duration::from_millis(2)), ("50us", Duration::from_micros(1))] {
        let folder = in_memory();
        let home = folder.path().to_owned();
        let disk = Watched::held_up(pause);
        let pauses = (0..50).map(|_| {
            let began = Instant::now();
            disk.pause();
            micros(began)
        });
        figure(&format!("slow.{name}.sync"), shared::median(&pauses.collect::<Vec<_>>()), "us");
        let runtime = shared::runtime(2);
        shared::on_worker(&runtime, async move {
            let store = JournalStore::open_watched(home, disk, u64::MAX).await.unwrap();
            let store = Arc::new(store);
            stored::fill(&store, 1_000).await;
            let time = Duration::from_millis(times(1500) as u64);
            for callers in [1, 8, 64, 512] {
                let rate = stored::lives(&store, callers, time).await;
                figure(&format!("slow.{name}.callers.{callers}"), rate, "per_s");
            }
            store.close().await.unwrap();
        });
    }
}
