//! How long after its budget a call is answered with a ticket whose job is on disk.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::disks::PlainFile;
use shared::{figure, median, millis, percentile, times};
use smart_async::{JobManager, Reply, smart_async};
use tokio::sync::watch;

/// Of each call. Long enough that a thousand calls have begun before the first budget ends.
const BUDGET: Duration = Duration::from_millis(50);

/// What the record of such a call is long, about.
const APPENDED: usize = 400;

/// Works until it is let go.
#[smart_async(default = 0.05)]
async fn work(mut go: watch::Receiver<bool>) {
    let _ = go.wait_for(|go| *go).await;
}

/// How much later than its budget a call is answered, in milliseconds.
async fn late(go: watch::Receiver<bool>) -> f64 {
    let began = Instant::now();
    let reply = work(go).await;
    let took = began.elapsed();
    assert!(matches!(reply, Reply::Job(_)), "it outlives its budget");
    millis(took) - millis(BUDGET)
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    shared::on_worker(&shared::runtime(2), async move {
        let jobs = JobManager::builder().folder(home).server("bench").open().await.unwrap();
        assert!(jobs.clone().make_global().is_ok(), "nobody else has made one");
        for (calls, rounds) in [(1, times(300)), (1_000, times(10))] {
            let mut lateness = Vec::new();
            for _ in 0..rounds {
                let (go, waits) = watch::channel(false);
                let called = (0..calls).map(|_| tokio::spawn(late(waits.clone())));
                for called in called.collect::<Vec<_>>() {
                    lateness.push(called.await.unwrap());
                }
                go.send_replace(true);
                // Their ends are written before the next round begins.
                while !jobs.list(running()).await.unwrap().jobs.is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            figure(&format!("detach.{calls}.median"), median(&lateness), "ms");
            figure(&format!("detach.{calls}.p99"), percentile(&lateness, 99.0), "ms");
            figure(&format!("detach.{calls}.worst"), percentile(&lateness, 100.0), "ms");
        }
        // For comparison: a timer alone, as the wheel of the runtime turns once a millisecond; and one with an append behind
        // it, which is what any durable answer takes.
        let plain = PlainFile::create(&folder.path().join("plain"), APPENDED);
        let plain = Arc::new(Mutex::new(plain));
        let (mut timer, mut durable) = (Vec::new(), Vec::new());
        for _ in 0..times(300) {
            let began = Instant::now();
            tokio::time::sleep(BUDGET).await;
            timer.push(millis(began.elapsed()) - millis(BUDGET));
            let plain = Arc::clone(&plain);
            let append = move || plain.lock().unwrap().append();
            tokio::task::spawn_blocking(append).await.unwrap();
            durable.push(millis(began.elapsed()) - millis(BUDGET));
        }
        for (name, lateness) in [("timer", timer), ("durable_timer", durable)] {
            figure(&format!("detach.{name}.median"), median(&lateness), "ms");
            figure(&format!("detach.{name}.p99"), percentile(&lateness, 99.0), "ms");
            figure(&format!("detach.{name}.worst"), percentile(&lateness, 100.0), "ms");
        }
        jobs.shutdown().await.unwrap();
    });
}

fn running() -> smart_async::job::JobQuery {
    let mut query = smart_async::job::JobQuery::default();
    query.statuses = vec![smart_async::JobStatus::Running];
    query.limit = Some(1);
    query
}
