//! Work that reports no progress for too long is stopped (`stall`).

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use smart_async::job::{FailureKind, JobOutput, JobState};
use smart_async::manager::{JobRequest, WaitFor, job_fn};
use smart_async::{JobManager, smart_async};
use smart_async_tests::Fixture;
use tokio::time::{Instant, sleep};

#[derive(Debug, Clone)]
struct Kiln;

#[tool_router]
impl Kiln {
    #[smart_async(default = 20, stall = "2m")]
    #[tool]
    async fn fire(&self) -> String {
        std::future::pending().await
    }

    #[smart_async(default = 600, stall = "2m")]
    #[tool]
    async fn fire_inline(&self) -> String {
        std::future::pending().await
    }

    /// Reports once a minute for an hour.
    #[smart_async(default = 20, stall = "2m")]
    #[tool]
    async fn glow(&self) -> String {
        for minute in 0..60 {
            smart_async::progress().count(minute, 60);
            sleep(Duration::from_secs(60)).await;
        }
        "burnt".to_owned()
    }

    #[smart_async(default = 20, stall = "2m", max_concurrent = 1)]
    #[tool]
    async fn fire_one(&self) -> String {
        sleep(Duration::from_secs(100)).await;
        "burnt".to_owned()
    }
}

#[tool_handler(router = Self::tool_router())]
impl ServerHandler for Kiln {}

async fn kiln() -> Fixture<Kiln> {
    Fixture::serve(Kiln, JobManager::in_memory()).await
}

#[tokio::test(start_paused = true)]
async fn a_job_without_progress_is_stopped_and_one_with_progress_goes_on() {
    let fixture = kiln().await;
    let began = Instant::now();
    let (silent, glowing) =
        (fixture.client.job("fire", json!({})).await, fixture.client.job("glow", json!({})).await);
    let ids = [silent.parse().unwrap()];
    fixture.jobs.wait(&ids, WaitFor::all(), Duration::MAX).await.unwrap();
    let took = began.elapsed();
    assert!((Duration::from_secs(120)..=Duration::from_secs(136)).contains(&took), "{took:?}");
    let status = fixture.client.status(&silent).await;
    assert_eq!(status["error_kind"], "stalled");
    assert_eq!(status["error"], "the work reported no progress for too long and was stopped");
    let ids = [glowing.parse().unwrap()];
    fixture.jobs.wait(&ids, WaitFor::all(), Duration::MAX).await.unwrap();
    assert_eq!(fixture.client.status(&glowing).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn an_open_call_without_progress_is_stopped_and_answered() {
    let fixture = kiln().await;
    let error = fixture.client.call("fire_inline", json!({})).await;
    let text = &error.content[0].as_text().unwrap().text;
    assert_eq!(error.is_error, Some(true));
    assert!(text.contains("fire_inline reported no progress for 2m and was stopped"), "{text}");
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_slot_is_no_stall() {
    let fixture = kiln().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(fixture.client.job("fire_one", json!({})).await.parse().unwrap());
    }
    fixture.jobs.wait(&ids, WaitFor::all(), Duration::MAX).await.unwrap();
    for id in ids {
        assert!(fixture.jobs.result(id).await.is_ok(), "the last one has waited for 200 s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_submitted_job_may_have_such_a_limit_too() {
    let jobs = JobManager::in_memory();
    let work = job_fn(|_| async {
        std::future::pending::<()>().await;
        Ok(JobOutput::new(1))
    });
    let request = JobRequest::new("fire").stall(Duration::from_secs(60));
    let id = jobs.submit(request, work).await.unwrap();
    jobs.wait(&[id], WaitFor::all(), Duration::MAX).await.unwrap();
    let job = jobs.status(id).await.unwrap();
    let JobState::Failed { failure, .. } = &job.state else { panic!("{job:?}") };
    assert_eq!(failure.kind, FailureKind::Stalled);
}
