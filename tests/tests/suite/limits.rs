//! How much one client, one job and one server may have open, and how many readers share one look for the jobs of dead owners.

use std::time::Duration;

use serde_json::json;
use smart_async::JobManager;
use smart_async::job::{JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobStatus, OwnerId, Prune};
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

/// 200 readers ask about a job of a living process, beside the first recovery of their own process or after it.
async fn looks_of_200_readers(is_recovering: bool) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let other = JournalStore::open(folder.path()).await.unwrap();
    let put = async |owner| {
        let mut job = JobRecord::new(JobId::new(), JobSpec::new("bake", "bakery", other.now()));
        job.owner = Some(owner);
        other.insert(job).await.unwrap().id
    };
    let id = put(other.owner()).await;
    let store = FaultyStore::over(JournalStore::open(folder.path()).await.unwrap());
    let (recovery, looks) = (Gate::new(), Gate::new());
    if is_recovering {
        put(OwnerId::new()).await;
        store.hold_interrupts(recovery.clone());
    }
    let jobs = JobManager::builder().server("bakery").with_store(store.clone());
    jobs.list(JobQuery::default()).await.unwrap();
    if is_recovering {
        recovery.arrived(1).await;
    } else {
        // A prune comes after the first recovery.
        jobs.prune(Prune::default()).await.unwrap();
    }
    let (looked, read) = (store.looks_for_abandoned(), store.reads());
    store.hold_looks(looks.clone());
    let reads = futures_util::future::join_all((0..200).map(|_| jobs.status(id)));
    let open = async {
        while store.reads() - read < 200 {
            tokio::task::yield_now().await;
        }
        looks.open();
    };
    for read in tokio::join!(reads, open).0 {
        assert_eq!(read.unwrap().status(), JobStatus::Pending, "its owner lives");
    }
    recovery.open();
    store.looks_for_abandoned() - looked
}

#[tokio::test]
async fn many_readers_of_another_processs_job_share_one_look_for_dead_owners() {
    for is_recovering in [false, true] {
        // The first reader looks at once. The others have come during its look, which may not see what they have to see.
        assert_eq!(looks_of_200_readers(is_recovering).await, 2, "recovering: {is_recovering}");
    }
}
