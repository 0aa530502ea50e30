//! Without `JobServer`: the attribute works against the global manager, and the job tools are merged by hand.

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use smart_async::manager::WaitFor;
use smart_async::{JobManager, NotInline, job_tools, smart_async};
use smart_async_tests::Client;

#[derive(Clone)]
struct Plain;

#[tool_router]
impl Plain {
    /// Takes its time.
    #[smart_async(default = 1)]
    #[tool]
    async fn dawdle(&self) -> String {
        tokio::time::sleep(Duration::from_secs(3)).await;
        "done".to_owned()
    }

    fn router() -> rmcp::handler::server::router::tool::ToolRouter<Self> {
        Self::tool_router() + job_tools()
    }
}

#[tool_handler(router = Self::router())]
impl ServerHandler for Plain {}

/// No tool at all.
#[smart_async(default = 1)]
async fn count(to: u32) -> u32 {
    for number in 1..=to {
        tokio::time::sleep(Duration::from_secs(1)).await;
        smart_async::progress().count(number, to);
    }
    to
}

/// One test, because there is one global manager in a process.
#[tokio::test(start_paused = true)]
async fn the_global_manager_serves_tools_and_functions_alike() {
    let jobs = JobManager::builder().server("by hand").in_memory();
    jobs.clone().make_global().unwrap();
    assert!(JobManager::in_memory().make_global().is_err(), "there is one already");

    let client = Client::connect(Plain).await;
    let id = client.job("dawdle", json!({})).await;
    let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(waited["jobs"][0]["result"], "done");
    assert_eq!(client.ask("list_jobs", json!({})).await["total"], 1);

    assert_eq!(count(1).await.into_inline().unwrap(), 1, "within its budget");
    let ticket = match count(5).await.into_inline() {
        Err(NotInline::Job(ticket)) => ticket,
        other => panic!("{other:?}"),
    };
    let waited = jobs.wait(&[ticket.job_id], WaitFor::any(), Duration::MAX).await.unwrap();
    assert_eq!(waited.jobs[0].progress.as_ref().unwrap().percentage, Some(100.0));
    assert_eq!(jobs.result(ticket.job_id).await.unwrap().result, json!(5));

    // A future that is dropped is a caller that is gone: its work goes on.
    let dropped = tokio::time::timeout(Duration::from_millis(500), count(2)).await;
    assert!(dropped.is_err());
    loop {
        let page = jobs.list(smart_async::job::JobQuery::default()).await.unwrap();
        // With the clock stopped, jobs may be of the same millisecond, and listed in any order.
        match page.jobs.iter().find(|job| job.id != ticket.job_id && &*job.spec.tool == "count") {
            Some(job) => {
                let waited = jobs.wait(&[job.id], WaitFor::any(), Duration::MAX).await.unwrap();
                assert_eq!(jobs.result(waited.jobs[0].id).await.unwrap().result, json!(2));
                break;
            }
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
