//! Tools that ask by returning `InputRequiredResult` themselves, which only a call that is still open can answer with.

use std::time::Duration;

use rmcp::handler::server::tool::{InputResponses, RequestState};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, InputRequiredResult};
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{JobQuery, JobStatus};
use smart_async::manager::WaitFor;
use smart_async::{JobId, JobManager, WithJobs, smart_async};
use smart_async_tests::Wire;

const LONG: Duration = Duration::from_secs(3600);

/// What the tool hands out with its question.
const STATE: &str = "a state of the tool's own";

/// A server that wants to see the client's roots.
#[derive(Debug, Clone)]
struct Gardener;

/// How long things take.
#[derive(Debug, Deserialize, JsonSchema)]
struct Pace {
    /// Until the question.
    before: u64,
    /// From the answer to the result.
    after: u64,
}

#[tool_router]
impl Gardener {
    /// Looks at the roots.
    #[smart_async(default = 20)]
    #[tool]
    async fn dig(
        &self,
        Parameters(Pace { before, after }): Parameters<Pace>,
        InputResponses(answers): InputResponses,
        RequestState(state): RequestState,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(answers) = answers else {
            tokio::time::sleep(Duration::from_secs(before)).await;
            let requests = json!({"roots": {"method": "roots/list"}});
            let requests = serde_json::from_value(requests).unwrap();
            return Ok(InputRequiredResult::new(Some(requests), Some(STATE.to_owned())).into());
        };
        assert_eq!(state.as_deref(), Some(STATE));
        tokio::time::sleep(Duration::from_secs(after)).await;
        let found = format!("found {}", answers["roots"]["roots"][0]["uri"]);
        Ok(CallToolResult::success(vec![ContentBlock::text(found)]).into())
    }
}

#[tool_handler]
impl ServerHandler for Gardener {}

/// The call made again with the answer to its question.
async fn again(wire: &mut Wire, asked: &Value, arguments: Value) -> Value {
    let roots = json!({"roots": [{"uri": "file:///garden"}]});
    let params = json!({
        "name": "dig", "arguments": arguments, "inputResponses": {"roots": roots},
        "requestState": asked["requestState"]
    });
    wire.ask("tools/call", params).await["result"].take()
}

async fn ask(wire: &mut Wire, arguments: Value) -> Value {
    wire.call("dig", arguments).await["result"].take()
}

fn assert_asked(asked: &Value) {
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert_eq!(asked["requestState"], STATE);
    assert_eq!(asked["inputRequests"]["roots"]["method"], "roots/list");
}

#[tokio::test(start_paused = true)]
async fn a_question_passes_through_while_its_call_is_open_and_so_do_the_answer_and_the_state() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Gardener.with_jobs(jobs.clone()), json!({"roots": {}})).await;
    let at_once = json!({"before": 0, "after": 0});
    let asked = ask(&mut wire, at_once.clone()).await;
    assert_asked(&asked);
    let answer = again(&mut wire, &asked, at_once).await;
    assert_eq!(answer["content"][0]["text"], "found \"file:///garden\"");
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_tasks_is_asked_in_its_call_too_and_gets_its_task_afterwards() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::with_tasks(Gardener.with_jobs(jobs.clone())).await;
    let slow = json!({"before": 0, "after": 60});
    let asked = ask(&mut wire, slow.clone()).await;
    assert_asked(&asked);
    let task = again(&mut wire, &asked, slow).await;
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
    assert!(task.get("requestState").is_none());
    let id: JobId = task["taskId"].as_str().unwrap().parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "found \"file:///garden\"");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_comes_after_the_ticket_fails_the_job_and_says_why() {
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(Gardener.with_jobs(jobs.clone()), json!({"roots": {}})).await;
    let ticket = ask(&mut wire, json!({"before": 60, "after": 0})).await;
    let id: JobId = ticket["structuredContent"]["job_id"].as_str().unwrap().parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    let job = jobs.status(id).await.unwrap();
    assert_eq!(job.status(), JobStatus::Failed);
    let status = wire.call("job_status", json!({"job_id": id})).await;
    let error = status["result"]["structuredContent"]["job"]["error"].as_str().unwrap();
    assert!(error.contains("InputRequiredResult, which only a call that is still open"), "{error}");
}
