//! How much one client, one job and one server may have open, and how many readers share one look for the jobs of dead owners.

use std::time::Duration;

use serde_json::json;
use smart_async::job::{JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobStatus, OwnerId, Prune};
use smart_async::manager::{Error, JobRequest, WaitFor, job_fn};
use smart_async::store::{JobStore, JournalStore};
use smart_async::{JobManager, WithJobs};
use smart_async_tests::{FaultyStore, Fixture, Gate, Library, Wire};
use tokio::time::sleep;

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

/// A job that reports without pause, and never ends.
async fn reporting(jobs: &JobManager) -> JobId {
    let work = job_fn(|job: smart_async::CurrentJob| async move {
        for step in 0u32.. {
            sleep(Duration::from_millis(50)).await;
            job.progress().count(step, ());
        }
        Ok(JobOutput::new(0))
    });
    jobs.submit(JobRequest::new("walk"), work).await.unwrap()
}

/// How often the store was read, and how often its jobs have changed, while so many listeners listened to 10 jobs for 10 seconds.
async fn reads_and_changes(listeners: usize, has_news: bool) -> (usize, usize) {
    let store = FaultyStore::working();
    if !has_news {
        store.tell_no_news();
    }
    let jobs = JobManager::builder().with_store(store.clone());
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(reporting(&jobs).await);
    }
    let mut wires = Vec::new();
    for _ in 0..listeners {
        let server = Library::new().with_jobs(jobs.clone());
        let mut wire = Wire::initialize(server.clone(), json!({})).await;
        for id in &ids {
            wire.result("resources/subscribe", json!({"uri": format!("job://{id}")})).await;
        }
        let mut tasks = Wire::with_tasks(server).await;
        tasks.listen(json!({"taskIds": ids})).await;
        wires.extend([wire, tasks]);
    }
    sleep(Duration::from_secs(1)).await;
    let changes = async || {
        let jobs = store.list(Default::default()).await.unwrap().jobs;
        jobs.iter().map(|job| job.version).sum::<u64>() as usize
    };
    let (reads, before) = (store.reads(), changes().await);
    sleep(Duration::from_secs(10)).await;
    let counts = (store.reads() - reads, changes().await - before);
    for mut wire in wires {
        wire.ask("tools/list", json!({})).await;
        assert!(wire.unseen().len() >= 50, "it is told of ten jobs each second");
    }
    counts
}

/// A job that has changed is read once for all who listen, and not by each of them.
#[tokio::test(start_paused = true)]
async fn the_reads_of_the_store_do_not_grow_with_the_listeners() {
    let (few, _) = reads_and_changes(1, true).await;
    let (many, changes) = reads_and_changes(20, true).await;
    assert!(many <= changes, "{many} reads of {changes} changes; with few listeners {few}");
    let (few, _) = reads_and_changes(1, false).await;
    let (many, _) = reads_and_changes(20, false).await;
    assert!(many <= few * 3 / 2, "{many} reads without news; with few listeners {few}");
}

#[tokio::test]
async fn a_connection_has_1000_subscriptions_at_most_and_a_new_one_when_one_has_ended() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::initialize(Library::new().with_jobs(jobs.clone()), json!({})).await;
    let uri = |id| json!({"uri": format!("job://{id}")});
    let mut ids = Vec::new();
    for _ in 0..1001 {
        let work = job_fn(|_| std::future::pending());
        ids.push(jobs.submit(JobRequest::new("sit"), work).await.unwrap());
    }
    let last = ids.pop().unwrap();
    for id in &ids {
        wire.result("resources/subscribe", uri(*id)).await;
    }
    let refused = wire.ask("resources/subscribe", uri(last)).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("subscribes to 1000") && message.contains("unsubscribe"), "{message}");
    wire.result("resources/unsubscribe", uri(ids[0])).await;
    // The task that notifies the connection has to take note of it.
    while wire.ask("resources/subscribe", uri(last)).await.get("error").is_some() {}
    // The limit is one connection's.
    let mut other = Wire::initialize(Library::new().with_jobs(jobs.clone()), json!({})).await;
    other.result("resources/subscribe", uri(last)).await;
    let mut tasks = Wire::with_tasks(Library::new().with_jobs(jobs.clone())).await;
    ids.push(last);
    let refused =
        tasks.ask("subscriptions/listen", json!({"notifications": {"taskIds": ids}})).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("name 1001 jobs"), "{message}");
}
