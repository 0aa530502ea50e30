//! The server's side of the Tasks extension (SEP-2663 as of 2026-07-28), rule by rule, as it stands on the wire.

use std::time::Duration;

use serde_json::{Value, json};
use smart_async::job::{Change, FailureKind, JobEvent, JobFailure, JobRecord, JobSpec, OwnerId};
use smart_async::manager::{Retention, WaitFor};
use smart_async::{CallErrorKind, JobId, JobManager, NotInline, WithJobs};
use smart_async_tests::{Client, GatedTools, TASKS, Wire, assert_answer};

const LONG: Duration = Duration::from_secs(3600);
const MISSING_REQUIRED_CLIENT_CAPABILITY: i64 = -32021;
const INVALID_PARAMS: i64 = -32602;

async fn connected() -> (Wire, GatedTools, JobManager) {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let wire = Wire::with_tasks(tools.clone().with_jobs(jobs.clone())).await;
    (wire, tools, jobs)
}

fn id(task: &Value) -> String {
    task["taskId"].as_str().unwrap().to_owned()
}

async fn ended(jobs: &JobManager, task: &str) {
    let id: JobId = task.parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
}

/// A task that has ended as the tool makes it end.
async fn ended_task(tool: &str, arguments: Value) -> Value {
    let (mut wire, tools, jobs) = connected().await;
    let task = id(&wire.task(tool, arguments).await);
    tools.gate.open();
    ended(&jobs, &task).await;
    wire.get_task(&task).await
}

#[tokio::test(start_paused = true)]
async fn the_server_declares_the_extension_in_both_eras() {
    let server = || GatedTools::new().with_jobs(JobManager::in_memory());
    let mut wire = Wire::with_tasks(server()).await;
    let discovered = wire.ask("server/discover", json!({})).await;
    assert_eq!(discovered["result"]["capabilities"]["extensions"][TASKS], json!({}));
    let client = Client::connect(server()).await;
    let info = client.peer().peer_info().unwrap();
    assert!(info.capabilities.supports_tasks());
}

#[tokio::test(start_paused = true)]
async fn a_call_within_its_budget_answers_as_ever() {
    let (mut wire, tools, jobs) = connected().await;
    tools.gate.open();
    let answer = wire.call("make", json!({"what": "a chair"})).await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["structuredContent"], json!({"made": "a chair"}));
    assert_eq!(jobs.list(Default::default()).await.unwrap().jobs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_its_budget_becomes_a_task_with_the_jobs_id() {
    let (mut wire, _tools, jobs) = connected().await;
    let task = wire.task("make", json!({"what": "a chair"})).await;
    assert_answer!(task);
    let job = jobs.status(id(&task).parse().unwrap()).await.unwrap();
    assert_eq!(job.spec.tool, "make");
}

#[tokio::test(start_paused = true)]
async fn a_task_is_there_before_its_id_is_out() {
    let (mut wire, _tools, _jobs) = connected().await;
    for (tool, arguments) in
        [("make", json!({})), ("make_always_job", json!({})), ("make", json!({"async_mode": true}))]
    {
        let task = wire.task(tool, arguments).await;
        let found = wire.get_task(&id(&task)).await;
        assert_eq!(found["taskId"], task["taskId"]);
    }
}

#[tokio::test(start_paused = true)]
async fn always_job_and_async_mode_give_a_task_at_once() {
    let (mut wire, tools, _jobs) = connected().await;
    let before = tokio::time::Instant::now();
    wire.task("make_always_job", json!({})).await;
    wire.task("make", json!({"async_mode": true})).await;
    assert!(before.elapsed() < Duration::from_secs(1), "no budget was waited for");
    tools.gate.arrived(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_did_not_declare_the_extension_on_this_request_gets_no_task() {
    let (mut wire, _tools, _jobs) = connected().await;
    wire.task("make", json!({"what": "one"})).await;
    wire.now_with(json!({}));
    let answer = wire.call("make", json!({"what": "two"})).await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["structuredContent"]["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_requires_tasks_refuses_clients_that_cannot_take_them_before_any_work_starts() {
    let (mut wire, tools, jobs) = connected().await;
    wire.now_with(json!({}));
    let server = tools.clone().with_jobs(jobs.clone());
    let mut before = Wire::initialize(server, json!({"extensions": {TASKS: {}}})).await;
    for arguments in [json!({}), json!({"async_mode": true})] {
        for wire in [&mut wire, &mut before] {
            let error = wire.call("make_task_required", arguments.clone()).await["error"].take();
            assert_eq!(error["code"], MISSING_REQUIRED_CLIENT_CAPABILITY, "{error}");
            assert_eq!(error["data"]["requiredCapabilities"]["extensions"], json!({TASKS: {}}));
        }
    }
    assert_eq!(tools.begun(), 0);
    assert_eq!(jobs.list(Default::default()).await.unwrap().jobs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_requires_tasks_serves_clients_that_take_them_as_ever() {
    let (mut wire, tools, _jobs) = connected().await;
    wire.task("make_task_required", json!({"what": "a chair"})).await;
    wire.task("make_task_required", json!({"what": "a table", "async_mode": true})).await;
    tools.gate.open();
    let answer = wire.call("make_task_required", json!({"what": "a stool"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "a stool");
}

#[tokio::test(start_paused = true)]
async fn work_that_required_a_task_is_not_joined_by_a_client_that_cannot_take_one() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let server = tools.clone().with_jobs(jobs.clone());
    let call = json!({"name": "make_task_required", "arguments": {"what": "it"}});
    let mut first = Wire::with_tasks(server.clone()).await;
    first.request("tools/call", call.clone()).await;
    tools.gate.arrived(1).await;
    drop(first);
    tokio::time::sleep(LONG).await;
    let mut second = Wire::with_tasks(server).await;
    second.now_with(json!({}));
    let error = second.ask("tools/call", call).await["error"].take();
    assert_eq!(error["code"], MISSING_REQUIRED_CLIENT_CAPABILITY, "{error}");
    assert_eq!(tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_client_there_is_none_that_takes_tasks() {
    use rmcp::handler::server::wrapper::Parameters;
    let tools = GatedTools::new();
    let refused = tools.make_task_required(Parameters(Default::default())).await;
    let Err(NotInline::Failed(error)) = refused.into_inline() else { panic!("not refused") };
    assert_eq!(error.kind, CallErrorKind::TaskRequired);
    assert_eq!(tools.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_the_era_before_gets_no_task_whatever_it_declares() {
    let server = GatedTools::new().with_jobs(JobManager::in_memory());
    let mut wire = Wire::initialize(server, json!({"extensions": {TASKS: {}}})).await;
    let answer = wire.call("make", json!({})).await;
    assert_eq!(answer["result"].get("resultType"), None);
    assert_eq!(answer["result"]["structuredContent"]["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn requests_for_tasks_without_the_extension_are_refused_and_name_it() {
    let (mut wire, _tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    wire.now_with(json!({}));
    let well_formed = json!({"taskId": task, "inputResponses": {}});
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for params in [well_formed.clone(), json!({"taskId": 7})] {
            let error = wire.ask(method, params).await["error"].take();
            assert_eq!(error["code"], MISSING_REQUIRED_CLIENT_CAPABILITY, "{method}");
            let required = &error["data"]["requiredCapabilities"];
            assert_eq!(required["extensions"], json!({TASKS: {}}), "{method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_or_malformed_task_id_is_an_invalid_parameter() {
    let (mut wire, _tools, _jobs) = connected().await;
    let unknown = JobId::new().to_string();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for task in [json!(unknown), json!("no id"), json!(7), json!(null), json!("")] {
            let params = json!({"taskId": task, "inputResponses": {}});
            let error = wire.ask(method, params).await["error"].take();
            assert_eq!(error["code"], INVALID_PARAMS, "{method} {task}");
            assert!(!error["message"].as_str().unwrap().is_empty());
        }
        let error = wire.ask(method, json!({})).await["error"].take();
        assert_eq!(error["code"], INVALID_PARAMS, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_working_task_tells_its_progress_and_when_to_ask_again() {
    let (mut wire, _tools, _jobs) = connected().await;
    let task = wire.task("make", json!({})).await;
    assert_answer!(wire.get_task(&id(&task)).await);
}

#[tokio::test(start_paused = true)]
async fn a_completed_task_carries_the_very_result() {
    let task = ended_task("make", json!({"what": "a chair"})).await;
    assert_eq!(task["result"]["structuredContent"], json!({"made": "a chair"}));
    assert_answer!(task);
}

#[tokio::test(start_paused = true)]
async fn a_tools_error_result_is_a_completed_task() {
    assert_answer!(ended_task("fail_with_text", json!({})).await);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_completed_task_as_it_is_a_result_inline() {
    assert_answer!(ended_task("panic", json!({})).await);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_error_is_a_failed_task() {
    assert_answer!(ended_task("fail", json!({})).await);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_job_is_a_failed_task() {
    let (mut wire, _tools, jobs) = connected().await;
    let mut lost = JobRecord::new(JobId::new(), JobSpec::new("make", "elsewhere", chrono_now()));
    lost.owner = Some(OwnerId::new());
    let lost = jobs.store().insert(lost).await.unwrap().id;
    let failure = JobFailure::new(FailureKind::Interrupted, "its server ended");
    let change = Change::new(JobEvent::Interrupt(failure), chrono_now());
    jobs.store().update(lost, change).await.unwrap();
    assert_answer!(wire.get_task(&lost.to_string()).await);
}

fn chrono_now() -> smart_async::job::Timestamp {
    std::time::SystemTime::now().into()
}

#[tokio::test(start_paused = true)]
async fn cancelling_is_acknowledged_at_once_and_the_task_ends_as_cancelled() {
    let (mut wire, tools, jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    let before = tokio::time::Instant::now();
    let answer = wire.ask("tasks/cancel", json!({"taskId": task})).await;
    assert_eq!(answer["result"], json!({"resultType": "complete"}));
    assert!(before.elapsed() < Duration::from_secs(1), "the grace is not waited for");
    ended(&jobs, &task).await;
    assert_answer!(wire.get_task(&task).await);
    tools.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_what_has_ended_changes_nothing() {
    let (mut wire, tools, jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    tools.gate.open();
    ended(&jobs, &task).await;
    let before = wire.get_task(&task).await;
    let answer = wire.ask("tasks/cancel", json!({"taskId": task})).await;
    assert_eq!(answer["result"], json!({"resultType": "complete"}));
    assert_eq!(wire.get_task(&task).await, before);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_question_that_is_not_open_is_acknowledged_and_ignored() {
    let (mut wire, _tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    let update = json!({"taskId": task, "inputResponses": {"name": {"action": "decline"}}});
    let answer = wire.ask("tasks/update", update).await;
    assert_eq!(answer["result"], json!({"resultType": "complete"}));
    assert_eq!(wire.get_task(&task).await["status"], "working");
}

#[tokio::test(start_paused = true)]
async fn the_time_to_live_is_that_of_the_retention_and_unlimited_while_the_work_runs() {
    let day = Duration::from_secs(24 * 3600);
    let jobs = JobManager::builder().retention(Retention::new(day, 10)).in_memory();
    let tools = GatedTools::new();
    let mut wire = Wire::with_tasks(tools.clone().with_jobs(jobs.clone())).await;
    let task = wire.task("make", json!({})).await;
    assert_eq!(task["ttlMs"], Value::Null);
    tools.gate.open();
    ended(&jobs, &id(&task)).await;
    let kept = wire.get_task(&id(&task)).await["ttlMs"].as_u64().unwrap();
    let day = u64::try_from(day.as_millis()).unwrap();
    assert!((day..day + 60_000).contains(&kept), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn the_job_tools_know_tasks_and_tasks_know_the_jobs_of_other_clients() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let server = tools.clone().with_jobs(jobs.clone());
    let client = Client::connect(server.clone()).await;
    let mut wire = Wire::with_tasks(server).await;
    let job = client.job("make", json!({"what": "a chair"})).await;
    assert_eq!(wire.get_task(&job).await["status"], "working");
    let task = id(&wire.task("make", json!({"what": "a table"})).await);
    assert_eq!(client.status(&task).await["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn the_same_call_that_comes_back_gets_the_task_that_runs_already() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let server = tools.clone().with_jobs(jobs.clone());
    let mut first = Wire::with_tasks(server.clone()).await;
    first.request("tools/call", json!({"name": "make", "arguments": {"what": "it"}})).await;
    tools.gate.arrived(1).await;
    drop(first);
    tokio::time::sleep(LONG).await;
    let mut second = Wire::with_tasks(server).await;
    second.task("make", json!({"what": "it"})).await;
    assert_eq!(tools.begun(), 1);
}

#[tokio::test]
async fn a_task_outlives_its_server() {
    let folder = tempfile::TempDir::new().unwrap();
    let open = async || JobManager::builder().folder(folder.path()).open().await.unwrap();
    let (tools, jobs) = (GatedTools::new(), open().await);
    let mut wire = Wire::with_tasks(tools.clone().with_jobs(jobs.clone())).await;
    let task = id(&wire.task("make_always_job", json!({"what": "a chair"})).await);
    tools.gate.open();
    ended(&jobs, &task).await;
    jobs.shutdown().await.unwrap();
    let mut next = Wire::with_tasks(GatedTools::new().with_jobs(open().await)).await;
    let found = next.get_task(&task).await;
    assert_eq!(found["status"], "completed");
    assert_eq!(found["result"]["content"][0]["text"], "a chair");
}

#[tokio::test]
async fn a_large_result_is_in_its_task_whole_and_one_that_is_lost_is_an_error() {
    let folder = tempfile::TempDir::new().unwrap();
    let jobs = JobManager::builder().folder(folder.path()).open().await.unwrap();
    let tools = GatedTools::new();
    let mut wire = Wire::with_tasks(tools.clone().with_jobs(jobs.clone())).await;
    let large = "plank ".repeat(5000);
    let task = id(&wire.task("make_always_job", json!({"what": large})).await);
    tools.gate.open();
    ended(&jobs, &task).await;
    assert_eq!(wire.get_task(&task).await["result"]["content"][0]["text"], large);
    std::fs::remove_file(folder.path().join(format!("results/{task}.json"))).unwrap();
    let lost = wire.get_task(&task).await;
    assert_eq!((&lost["status"], &lost["error"]["code"]), (&json!("failed"), &json!(-32603)));
}

mod told;
