//! An answer about many jobs stays within what hosts show their models.

use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{JobOutput, JobQuery, JobStatus};
use smart_async::manager::job_fn;
use smart_async::{JobManager, JobRequest, smart_async};
use smart_async_tests::Fixture;

/// The most that the jobs of one answer take, in bytes.
const ANSWER: usize = 32 * 1024;

#[derive(Deserialize, JsonSchema)]
struct Letters {
    letters: usize,
}

#[derive(Clone)]
struct Writer;

#[tool_router]
impl Writer {
    #[smart_async(default = 5)]
    #[tool]
    async fn write(&self, Parameters(Letters { letters }): Parameters<Letters>) -> String {
        "a".repeat(letters)
    }

    #[smart_async(default = 5)]
    #[tool]
    async fn fail(
        &self,
        Parameters(Letters { letters }): Parameters<Letters>,
    ) -> Result<String, String> {
        Err("a".repeat(letters))
    }

    /// Answers with more structured content than text.
    #[smart_async(default = 5)]
    #[tool]
    async fn sum_up(&self, Parameters(Letters { letters }): Parameters<Letters>) -> CallToolResult {
        let mut result = CallToolResult::structured(json!({"all": "a".repeat(letters)}));
        result.content = vec![ContentBlock::text("very many letters")];
        result
    }
}

#[tool_handler]
impl ServerHandler for Writer {}

async fn jobs_of(
    fixture: &Fixture<Writer>,
    tool: &str,
    count: usize,
    letters: usize,
) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(fixture.client.job(tool, json!({"letters": letters, "async_mode": true})).await);
    }
    ids
}

async fn wait_for_all(fixture: &Fixture<Writer>, ids: &[String]) -> Value {
    let answer = fixture.client.ask("wait_job", json!({"job_ids": ids, "mode": "all"})).await;
    assert!(
        answer["jobs"].to_string().len() <= ANSWER,
        "{} bytes",
        answer["jobs"].to_string().len()
    );
    answer
}

#[tokio::test(start_paused = true)]
async fn results_that_do_not_fit_are_left_out_with_the_call_that_gets_them() {
    let fixture = Fixture::serve(Writer, JobManager::in_memory()).await;
    let ids = jobs_of(&fixture, "write", 10, 15 * 1024).await;
    let answer = wait_for_all(&fixture, &ids).await;
    let jobs = answer["jobs"].as_array().unwrap();
    let shown = jobs.iter().filter(|job| job["result"].is_string()).count();
    assert!((1..10).contains(&shown), "{shown} are shown");
    for job in jobs {
        assert_eq!((&job["status"], &job["terminal"]), (&json!("completed"), &json!(true)));
        if job["result"].is_null() {
            assert_eq!(job["result_bytes"], 15 * 1024);
            let call = job["next"].as_str().unwrap();
            let arguments =
                serde_json::from_str(call.strip_prefix("job_result ").unwrap()).unwrap();
            let result = fixture.client.ask("job_result", arguments).await;
            assert_eq!(result["result"].as_str().unwrap().len(), 15 * 1024);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_errors_are_shown_by_their_beginnings() {
    let fixture = Fixture::serve(Writer, JobManager::in_memory()).await;
    let ids = jobs_of(&fixture, "fail", 20, 15 * 1024).await;
    let answer = wait_for_all(&fixture, &ids).await;
    for job in answer["jobs"].as_array().unwrap() {
        assert!(job["error"].as_str().unwrap().starts_with("aaaa"), "{job}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_jobs_of_small_results_fit_and_none_is_missing() {
    let fixture = Fixture::serve(Writer, JobManager::in_memory()).await;
    let ids = jobs_of(&fixture, "write", 100, 300).await;
    let answer = wait_for_all(&fixture, &ids).await;
    let answered = answer["jobs"].as_array().unwrap();
    let answered: Vec<_> = answered.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(answered, ids);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_fit_says_how_much_is_left_out() {
    let fixture = Fixture::serve(Writer, JobManager::in_memory()).await;
    for _ in 0..300 {
        let request = JobRequest::new("night").label("a".repeat(200));
        fixture
            .jobs
            .submit(request, job_fn(async |_| Ok(JobOutput::new(Value::Null))))
            .await
            .unwrap();
    }
    let mut idle = JobQuery::default();
    idle.statuses = vec![JobStatus::Completed];
    while fixture.jobs.list(idle.clone()).await.unwrap().jobs.len() < 300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = fixture.client.ask("list_jobs", json!({"limit": 1000})).await;
    let rows = answer["jobs"].as_array().unwrap().len();
    assert!(answer["jobs"].to_string().len() <= ANSWER + rows, "with its commas");
    assert_eq!(
        (&answer["total"], rows + answer["omitted"].as_u64().unwrap() as usize),
        (&json!(300), 300)
    );
    assert!(answer["note"].as_str().unwrap().contains("status_filter"));
}

#[tokio::test(start_paused = true)]
async fn the_marks_of_a_program_do_not_fill_an_answer() {
    let fixture = Fixture::serve(Writer, JobManager::in_memory()).await;
    let long = "é".repeat(500_000);
    let request = JobRequest::new("night").label(&*long).tag("of", &*long).session(&*long);
    let work = job_fn(async |_| Ok(JobOutput::new(Value::Null)));
    let id = fixture.jobs.submit(request, work).await.unwrap().to_string();
    fixture.wait(&id).await;
    for (tool, arguments) in [
        ("job_status", json!({"job_id": id})),
        ("job_status", json!({"job_id": id, "detail": true})),
        ("wait_job", json!({"job_ids": [id]})),
        ("list_jobs", json!({})),
    ] {
        let answer = fixture.client.ask(tool, arguments).await.to_string();
        assert!(answer.contains(&id) && answer.len() <= ANSWER, "{tool}: {} bytes", answer.len());
    }
}

#[tokio::test(start_paused = true)]
async fn structured_content_that_is_longer_than_its_text_is_there_where_it_is_asked_for() {
    let fixture = Fixture::serve(Writer, JobManager::in_memory()).await;
    let id = &jobs_of(&fixture, "sum_up", 1, 100 * 1024).await[0];
    fixture.wait(id).await;
    let short = fixture.client.call("job_result", json!({"job_id": id})).await;
    assert_eq!(short.content[0].as_text().unwrap().text, "very many letters");
    let short = short.structured_content.unwrap();
    assert!(short.get("result").is_none() && short["result_bytes"].as_u64() > Some(100 * 1024));
    let whole = json!({"job_id": id, "max_bytes": short["result_bytes"]});
    let whole = fixture.client.ask("job_result", whole).await;
    assert_eq!(whole["result"]["all"].as_str().unwrap().len(), 100 * 1024);
}
