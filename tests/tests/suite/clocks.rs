//! The wall clock jumps, forwards and back: durations, the usual run and retention go by a clock that no jump moves, and the
//! order of jobs by none. `stores::order` has the order in files and among processes.

use std::time::Duration;

use serde_json::json;
use smart_async::JobManager;
use smart_async::job::{JobId, JobOutput, JobQuery};
use smart_async::manager::{JobRequest, Retention, WaitFor, job_fn};
use smart_async::store::{JobStore, MemoryStore};
use smart_async_tests::{FaultyStore, Fixture, Gate, JumpingClock};

const HOUR: Duration = Duration::from_secs(3600);

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
        let clock = JumpingClock::new();
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
        let clock = JumpingClock::new();
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
    let clock = JumpingClock::new();
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
    let clock = JumpingClock::new();
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
        let clock = JumpingClock::new();
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

/// The ids of `list_jobs` with these arguments.
async fn listed(fixture: &Fixture, arguments: serde_json::Value) -> Vec<String> {
    let page = fixture.client.ask("list_jobs", arguments).await;
    let rows = page["jobs"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_newest_job_is_listed_first_whatever_the_clock_said() {
    let clock = JumpingClock::new();
    let fixture =
        Fixture::with_manager(JobManager::builder().clock(clock.clock()).in_memory()).await;
    let mut newest = Vec::new();
    for hours in [0, 10, -20, 3, 0, -7, 50, -1] {
        clock.jump(hours);
        newest.insert(0, fixture.client.job("make", json!({"what": "a"})).await);
        assert_eq!(listed(&fixture, json!({})).await, newest, "{hours}");
        let of_status = listed(&fixture, json!({"status_filter": "running", "limit": 3})).await;
        assert_eq!(of_status, newest[..newest.len().min(3)], "{hours}");
    }
    fixture.tools.gate.open();
    for id in newest.iter().rev() {
        fixture.wait(id).await;
    }
    assert_eq!(listed(&fixture, json!({})).await, newest, "also when they have ended");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_keeps_the_jobs_that_ended_last_whatever_the_clock_said() {
    for hours in [10, -10] {
        let clock = JumpingClock::new();
        let builder = JobManager::builder().retention(Retention::new(HOUR * 100, 2));
        let jobs = builder.clock(clock.clock()).in_memory();
        assert_eq!(total(&jobs).await, 0);
        let ends = Gate::new();
        let inside = ends.clone();
        let work = job_fn(move |_| {
            let ends = inside.clone();
            async move {
                ends.opened().await;
                Ok(JobOutput::new(7))
            }
        });
        let long = jobs.submit(JobRequest::new("count"), work).await.unwrap();
        let mut last = Vec::new();
        for _ in 0..4 {
            last.push(end_a_job(&jobs).await);
        }
        // Those that end now are dated before the others, or so late that these seem to be old.
        clock.jump(hours);
        last.push(end_a_job(&jobs).await);
        ends.open();
        jobs.wait(&[long], WaitFor::any(), HOUR).await.unwrap();
        clock.jump(-hours);
        tokio::time::sleep(HOUR * 3).await;
        let left = jobs.list(JobQuery::default()).await.unwrap().jobs;
        let left: Vec<_> = left.iter().map(|job| job.id).collect();
        assert_eq!(left, [last[4], long], "{hours}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_ends_no_result_within_its_first_minute_and_keeps_none_beyond_the_next_sweep() {
    for retention in [Retention::new(HOUR * 100, 0), Retention::new(HOUR * 100, 9).max_bytes(1)] {
        for hours in [10, -10] {
            let clock = JumpingClock::new();
            let builder = JobManager::builder().retention(retention).clock(clock.clock());
            let jobs = builder.in_memory();
            assert_eq!(total(&jobs).await, 0);
            tokio::time::sleep(HOUR - Duration::from_secs(2)).await;
            end_a_job(&jobs).await;
            clock.jump(hours);
            tokio::time::sleep(HOUR / 2).await;
            assert_eq!(total(&jobs).await, 1, "{hours}: the sweep came after two seconds");
            tokio::time::sleep(HOUR).await;
            assert_eq!(total(&jobs).await, 0, "{hours}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_spoils_no_duration_of_a_job_that_another_process_runs() {
    for hours in [10, -10] {
        let clock = JumpingClock::new();
        let store = FaultyStore::over(MemoryStore::with_clock(clock.clock()));
        let server = JobManager::builder().server("runs").with_store(store.clone());
        let begin = async || {
            let work = job_fn(|_| std::future::pending());
            server.submit(JobRequest::new("count"), work).await.unwrap().to_string()
        };
        let reader = JobManager::builder().server("reads").with_store(store.clone());
        let reader = Fixture::with_manager(reader).await;
        let elapsed = async |id: &str| reader.client.status(id).await["elapsed_seconds"].as_f64();
        let before = begin().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(elapsed(&before).await, Some(5.0), "{hours}");
        clock.jump(hours);
        let after = begin().await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(elapsed(&before).await, Some(12.0), "{hours}");
        assert_eq!(elapsed(&after).await, Some(7.0), "{hours}");
        // A process that comes later has but the wall clock, and says nothing where that cannot be.
        let later = JobManager::builder().server("reads").with_store(store.clone());
        let later = Fixture::with_manager(later).await;
        let told = later.client.status(&before).await;
        let expected = (hours > 0).then_some(36_012.0);
        assert_eq!(told["elapsed_seconds"].as_f64(), expected, "{hours}");
        assert_eq!(later.client.status(&after).await["elapsed_seconds"], 7.0, "{hours}");
    }
}
