//! How much one client, one job and one server may have open, and how many readers share one look for the jobs of dead owners.

use std::time::Duration;

use serde_json::json;
use smart_async::JobManager;
use smart_async::job::{JobId, JobOutput, JobRecord, JobSpec, JobStatus};
use smart_async::manager::{Error, JobRequest, WaitFor, job_fn};
use smart_async::store::{JobStore, JournalStore};
use smart_async_tests::{FaultyStore, Fixture, Gate};

#[tokio::test]
async fn a_server_takes_10000_live_jobs_and_one_more_when_one_has_ended() {
    let jobs = JobManager::in_memory();
    let gate = Gate::new();
    let mut one = None;
    for number in 0..10_000 {
        let gate = gate.clone();
        let work = job_fn(move |_| {
            let gate = gate.clone();
            async move {
                if number == 0 {
                    gate.opened().await;
                    return Ok(JobOutput::new(0));
                }
                std::future::pending().await
            }
        });
        let id = jobs.submit(JobRequest::new("sit"), work).await.unwrap();
        one.get_or_insert(id);
    }
    let more = async || {
        jobs.submit(JobRequest::new("sit"), job_fn(|_| async { Ok(JobOutput::new(1)) })).await
    };
    let refused = more().await.unwrap_err();
    assert!(matches!(refused, Error::TooManyLive(10_000)), "{refused}");
    assert!(refused.to_string().contains("JOB_MAX_LIVE"), "{refused}");
    gate.open();
    jobs.wait(&[one.unwrap()], WaitFor::any(), Duration::MAX).await.unwrap();
    more().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_has_1000_waits_open_at_most_and_is_told_what_to_do() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("make_always_job", json!({})).await;
    let mut waits = Vec::new();
    for _ in 0..1000 {
        waits.push(fixture.client.send("wait_job", json!({"job_ids": [id]})).await);
    }
    let soon = json!({"job_ids": [id], "timeout_seconds": 0});
    let refusal = loop {
        let answer = fixture.client.call("wait_job", soon.clone()).await;
        let content = answer.structured_content.unwrap();
        if let Some(error) = content["error"].as_str() {
            break error.to_owned();
        }
    };
    assert!(refusal.starts_with("1000 waits of this client are open"), "{refusal}");
    assert!(refusal.contains("name up to 100 jobs in one wait_job"), "{refusal}");
    fixture.tools.gate.open();
    for wait in waits {
        wait.await_response().await.unwrap();
    }
    fixture.client.ask("wait_job", soon).await;
}

#[tokio::test]
async fn many_readers_of_another_processs_job_share_one_look_for_dead_owners() {
    let folder = tempfile::tempdir().unwrap();
    let other = JournalStore::open(folder.path()).await.unwrap();
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("bake", "bakery", other.now()));
    job.owner = Some(other.owner());
    let id = job.id;
    other.insert(job).await.unwrap();
    let store = FaultyStore::over(JournalStore::open(folder.path()).await.unwrap());
    let jobs = JobManager::builder().server("bakery").with_store(store.clone());
    jobs.status(id).await.unwrap();
    let before = store.looks_for_abandoned();
    let reads = (0..200).map(|_| jobs.status(id));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.unwrap().status(), JobStatus::Pending, "its owner lives");
    }
    let looks = store.looks_for_abandoned() - before;
    assert!((1..20).contains(&looks), "{looks} looks for 200 readers");
}
