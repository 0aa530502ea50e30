//! The wall clock jumps, forwards and back: durations, the usual run and retention go by a clock that no jump moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use smart_async::JobManager;
use smart_async::job::{JobId, JobOutput, JobQuery};
use smart_async::manager::{JobRequest, WaitFor, WallClock, job_fn};
use smart_async::store::{JobStore, MemoryStore};
use smart_async_tests::{FaultyStore, Fixture, runtime_clock};

const HOUR: Duration = Duration::from_secs(3600);

/// A wall clock that goes on as the runtime's, and that a test sets.
#[derive(Clone)]
struct Jumping(WallClock, Arc<AtomicI64>);

impl Jumping {
    fn new() -> Self {
        Self(runtime_clock(), Arc::default())
    }

    fn clock(&self) -> WallClock {
        let Self(clock, hours) = self.clone();
        WallClock::new(move || {
            let hours = hours.load(Ordering::SeqCst);
            let jump = HOUR * u32::try_from(hours.abs()).unwrap();
            if hours < 0 { clock.now() - jump } else { clock.now() + jump }
        })
    }

    fn jump(&self, hours: i64) {
        self.1.fetch_add(hours, Ordering::SeqCst);
    }
}

async fn end_a_job(jobs: &JobManager) -> JobId {
    let work = job_fn(|_| async { Ok(JobOutput::new(7)) });
    let id = jobs.submit(JobRequest::new("count"), work).await.unwrap();
    jobs.wait(&[id], WaitFor::any(), HOUR).await.unwrap();
    id
}

async fn total(jobs: &JobManager) -> usize {
    jobs.list(JobQuery::default()).await.unwrap().jobs.len()
}

#[tokio::test(start_paused = true)]
async fn a_jump_spoils_no_duration_of_a_job_that_runs_here() {
    for hours in [10, -10] {
        let clock = Jumping::new();
        let fixture =
            Fixture::with_manager(JobManager::builder().clock(clock.clock()).in_memory()).await;
        let id = fixture.client.job("make", json!({"what": "a"})).await;
        let before = fixture.client.status(&id).await["elapsed_seconds"].as_f64().unwrap();
        clock.jump(hours);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = fixture.client.status(&id).await["elapsed_seconds"].as_f64().unwrap();
        assert_eq!(after - before, 5.0, "{hours}");
        fixture.tools.gate.open();
        let ended = fixture.wait(&id).await["elapsed_seconds"].as_f64().unwrap();
        assert!((after..after + 1.0).contains(&ended), "{hours}: {ended}");
        tokio::time::sleep(HOUR / 2).await;
        assert_eq!(fixture.client.status(&id).await["elapsed_seconds"], ended, "{hours}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_does_not_spoil_the_usual_run() {
    for hours in [10, -10] {
        let clock = Jumping::new();
        let fixture =
            Fixture::with_manager(JobManager::builder().clock(clock.clock()).in_memory()).await;
        let work = job_fn(move |_| {
            let clock = clock.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                clock.jump(hours);
                Ok(JobOutput::new(7))
            }
        });
        let id = fixture.jobs.submit(JobRequest::new("count"), work).await.unwrap();
        fixture.jobs.wait(&[id], WaitFor::any(), HOUR).await.unwrap();
        let work = job_fn(|_| std::future::pending());
        let id = fixture.jobs.submit(JobRequest::new("count"), work).await.unwrap();
        let next = fixture.client.status(&id.to_string()).await;
        assert_eq!(next["usual_seconds"], 3.0, "{hours}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_measured_run_stands_in_the_record_for_later_processes() {
    let clock = Jumping::new();
    let store = FaultyStore::over(MemoryStore::with_clock(clock.clock()));
    let jobs = JobManager::builder().server("count").with_store(store.clone());
    let inside = clock.clone();
    let work = job_fn(move |_| {
        let clock = inside.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            clock.jump(10);
            Ok(JobOutput::new(7))
        }
    });
    let id = jobs.submit(JobRequest::new("count"), work).await.unwrap();
    jobs.wait(&[id], WaitFor::any(), HOUR).await.unwrap();
    let record = jobs.status(id).await.unwrap();
    assert_eq!(record.ran, Some(Duration::from_secs(3)));
    let read = smart_async::job::JobRecord::from_json(record.to_json()).unwrap();
    assert_eq!(read.elapsed(record.updated_at), Some(Duration::from_secs(3)));
    // As a later process learns it.
    let usual = store.usual_runs("count".to_owned()).await.unwrap();
    assert_eq!(usual[0].median, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn fridays_result_can_be_read_for_a_day_from_mondays_start_on() {
    let clock = Jumping::new();
    let store = FaultyStore::over(MemoryStore::with_clock(clock.clock()));
    let open = || JobManager::builder().server("office").with_store(store.clone());
    let friday = open();
    let id = end_a_job(&friday).await;
    friday.shutdown().await.unwrap();
    drop(friday);
    clock.jump(64);
    let monday = open();
    assert_eq!(monday.result(id).await.unwrap().result, 7);
    tokio::time::sleep(HOUR * 23).await;
    assert_eq!(total(&monday).await, 1);
    tokio::time::sleep(HOUR * 2).await;
    assert_eq!(total(&monday).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_jump_lets_no_result_grow_old_and_keeps_none_for_ever() {
    for hours in [30, -30] {
        let clock = Jumping::new();
        let jobs = JobManager::builder().clock(clock.clock()).in_memory();
        // The sweep at the start is over, and the next one comes in an hour.
        assert_eq!(total(&jobs).await, 0);
        tokio::time::sleep(HOUR - Duration::from_secs(2)).await;
        end_a_job(&jobs).await;
        clock.jump(hours);
        tokio::time::sleep(HOUR * 20).await;
        assert_eq!(total(&jobs).await, 1, "{hours}");
        tokio::time::sleep(HOUR * 6).await;
        assert_eq!(total(&jobs).await, 0, "{hours}");
    }
}
