//! Results that are large: pages of them are read from the file alone, no answer carries more than hosts take, and a store has a
//! limit.

use std::sync::Arc;

use rmcp::model::ReadResourceRequestParams;
use serde_json::{Value, json};
use smart_async::JobManager;
use smart_async::job::{JobId, JobOutput};
use smart_async::manager::{Error, JobRequest, WaitFor, job_fn};
use smart_async::store::{JobStore, MemoryStore};
use smart_async_tests::Fixture;
use tempfile::TempDir;

const ODD: &str = "a\"ü\\\u{1}\n😀/";

async fn bake(fixture: &Fixture, result: Value) -> JobId {
    let work = job_fn(move |_| {
        let result = result.clone();
        async move { Ok(JobOutput::new(result)) }
    });
    let id = fixture.jobs.submit(JobRequest::new("bake"), work).await.unwrap();
    fixture.jobs.wait(&[id], WaitFor::any(), std::time::Duration::MAX).await.unwrap();
    id
}

async fn kitchen() -> (TempDir, Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let jobs = JobManager::builder().folder(folder.path()).open().await.unwrap();
    let fixture = Fixture::with_manager(jobs).await;
    (folder, fixture)
}

#[tokio::test]
async fn the_pages_of_a_large_result_are_the_result() {
    let (_folder, fixture) = kitchen().await;
    for result in [json!(ODD.repeat(40_000)), json!(vec![json!({"odd": ODD}); 20_000])] {
        let id = bake(&fixture, result.clone()).await;
        let (mut offset, mut whole) = (0, String::new());
        loop {
            let arguments = json!({"job_id": id, "offset": offset, "max_bytes": 100_000});
            let page = fixture.client.ask("job_result", arguments).await;
            whole.push_str(page["text"].as_str().unwrap());
            assert_eq!(
                page["offset"].as_u64().unwrap() as usize,
                whole.len() - page["text"].as_str().unwrap().len()
            );
            match page["next_offset"].as_u64() {
                Some(next) => offset = next,
                None => break,
            }
        }
        let expected = result.as_str().map_or_else(|| result.to_string(), str::to_owned);
        assert!(whole == expected, "{} and {} bytes", whole.len(), expected.len());
    }
}

#[tokio::test]
async fn a_result_that_one_answer_cannot_carry_comes_by_pages_alone() {
    let (_folder, fixture) = kitchen().await;
    let id = bake(&fixture, json!("x".repeat(5 * 1024 * 1024))).await;
    let page = fixture.client.ask("job_result", json!({"job_id": id})).await;
    assert_eq!(
        (page["text"].as_str().unwrap().len(), &page["total_bytes"]),
        (32 * 1024, &json!(5 * 1024 * 1024))
    );
    let uri = format!("job://{id}/result");
    let read = fixture.client.peer().read_resource(ReadResourceRequestParams::new(uri)).await;
    let error = read.unwrap_err().to_string();
    assert!(error.contains("read it by pages: job_result"), "{error}");
    let end = fixture
        .client
        .complaint("job_result", json!({"job_id": id, "offset": 5 * 1024 * 1024}))
        .await;
    assert!(end.contains("offset: must be less than 5242880"), "{end}");
}

#[tokio::test]
async fn a_page_of_a_lost_or_damaged_file_says_so() {
    let (folder, fixture) = kitchen().await;
    let id = bake(&fixture, json!("x".repeat(100_000))).await;
    let file = folder.path().join(format!("results/{id}.json"));
    std::fs::write(&file, "{\"version\":1,\"result\":\"xxx").unwrap();
    let lost = fixture.jobs.jobs().result_page(id, 10, 10).await;
    assert!(matches!(lost, Err(Error::ResultGone { .. })), "{lost:?}");
    std::fs::remove_file(&file).unwrap();
    let said = fixture.client.complaint("job_result", json!({"job_id": id, "offset": 10})).await;
    assert!(said.contains("missing or damaged"), "{said}");
}

#[tokio::test]
async fn many_pages_at_once_are_all_answered() {
    let (_folder, fixture) = kitchen().await;
    let id = bake(&fixture, json!(ODD.repeat(40_000))).await;
    let jobs = Arc::new(fixture.jobs);
    let pages = (0..100_u64).map(|page| {
        let jobs = Arc::clone(&jobs);
        tokio::spawn(async move { jobs.jobs().result_page(id, page * 1000, 1000).await.unwrap() })
    });
    for page in pages.collect::<Vec<_>>() {
        let page = page.await.unwrap();
        assert_eq!(page.total as usize, 40_000 * ODD.len());
        assert!((997..=1000).contains(&page.text.len()), "{}", page.text.len());
    }
}

#[test]
fn the_largest_result_is_64_mib_unless_the_operator_says_otherwise() {
    assert_eq!(MemoryStore::new().max_result_bytes(), Some(64 << 20));
}
