//! `coalesce`: of the same call one runs at a time, and whoever makes it meanwhile shares that one's work.

use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::RequestHandle;
use serde_json::{Value, json};
use smart_async::job::JobStatus;
use smart_async::manager::WaitFor;
use smart_async::{JobId, JobManager};
use smart_async_tests::{Client, FaultyStore, Fixture, Gate, TASKS, Wire};
use tokio::time::{Instant, sleep};

/// Time for everything that can happen by itself: the clock stands still while anybody has something to do.
const SETTLED: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

type Call = RequestHandle<RoleClient>;

/// A call that has had time to begin or to join.
async fn sent(fixture: &Fixture, tool: &str, arguments: Value) -> Call {
    let call = fixture.client.send(tool, arguments).await;
    sleep(SETTLED).await;
    call
}

async fn ends(fixture: &Fixture, job: &str) -> JobStatus {
    let id: JobId = job.parse().unwrap();
    fixture.jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap().jobs[0].status()
}

async fn answer(call: Call) -> Value {
    serde_json::to_value(call.await_response().await.unwrap()).unwrap()
}

async fn content(call: Call) -> Value {
    answer(call).await["structuredContent"].take()
}

fn ship() -> Value {
    json!({"what": "a ship"})
}

const ESCAPE: Option<&str> = Some("the user pressed escape");

async fn cancelled(call: Call) {
    call.cancel(ESCAPE.map(str::to_owned)).await.unwrap();
    sleep(2 * SETTLED).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_while_one_is_open_get_its_result() {
    let fixture = Fixture::new().await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(fixture.client.send("make_coalesce", ship()).await);
    }
    sleep(SETTLED).await;
    fixture.tools.gate.open();
    for call in calls {
        let answered = answer(call).await;
        assert_eq!(answered["structuredContent"], json!({"made": "a ship"}));
        assert_eq!(answered["isError"], false);
    }
    assert_eq!((fixture.tools.begun(), fixture.total().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_order_of_arguments_and_the_label_make_no_other_call() {
    let fixture = Fixture::new().await;
    let one = sent(&fixture, "make_coalesce", json!({"what": "a ship", "job_label": "one"})).await;
    let other =
        sent(&fixture, "make_coalesce", json!({"job_label": "other", "what": "a ship"})).await;
    let job = content(one).await["job_id"].take();
    assert_eq!(content(other).await["job_id"], job);
    assert_eq!(fixture.client.status(job.as_str().unwrap()).await["label"], "one");
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn other_arguments_and_other_tools_are_other_calls() {
    let fixture = Fixture::new().await;
    for (tool, arguments) in [
        ("make_coalesce", ship()),
        ("make_coalesce", json!({"what": "a boat"})),
        ("make_coalesce", json!({})),
        ("make_always_job_coalesce", ship()),
        ("make", ship()),
        ("make", ship()),
    ] {
        sent(&fixture, tool, arguments).await;
    }
    assert_eq!(fixture.tools.begun(), 6);
}

#[tokio::test(start_paused = true)]
async fn each_caller_waits_for_its_own_budget_and_then_gets_the_ticket_of_the_one_job() {
    let fixture = Fixture::new().await;
    let began = Instant::now();
    let first = fixture.client.send("make_coalesce", ship()).await;
    sleep(Duration::from_secs(3)).await;
    let second = fixture.client.send("make_coalesce", ship()).await;
    let first = content(first).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    let second = content(second).await;
    assert_eq!(began.elapsed().as_secs(), 8);
    assert_eq!(second["job_id"], first["job_id"]);
    let told = second["message"].as_str().unwrap();
    assert!(told.starts_with("This call was made before and its work still runs"), "{told}");
    assert_eq!((fixture.tools.begun(), fixture.total().await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_ticket_was_delivered_is_shared_until_it_ends() {
    let fixture = Fixture::new().await;
    let job = fixture.client.job("make_coalesce", ship()).await;
    for _ in 0..2 {
        assert_eq!(fixture.client.job("make_coalesce", ship()).await, job);
    }
    let last = sent(&fixture, "make_coalesce", ship()).await;
    fixture.tools.gate.open();
    assert_eq!(content(last).await, json!({"made": "a ship"}));
    assert_eq!(ends(&fixture, &job).await, JobStatus::Completed);
    assert_eq!(fixture.client.ask("make_coalesce", ship()).await, json!({"made": "a ship"}));
    assert_eq!((fixture.tools.begun(), fixture.total().await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_jobs_at_once_share_one() {
    let fixture = Fixture::new().await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(fixture.client.send("make_always_job_coalesce", ship()).await);
    }
    let began = Instant::now();
    let mut jobs = Vec::new();
    for call in calls {
        jobs.push(content(call).await["job_id"].take());
    }
    jobs.dedup();
    assert_eq!(jobs.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(1), "no budget is waited for");
    let asked = json!({"what": "a ship", "async_mode": true});
    let one = fixture.client.job("make_coalesce", asked.clone()).await;
    assert_eq!(fixture.client.job("make_coalesce", asked).await, one);
    assert_eq!(fixture.total().await, 2);
}

#[tokio::test(start_paused = true)]
async fn who_wants_a_job_of_an_open_call_gets_it_when_it_is_one() {
    let fixture = Fixture::new().await;
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let wanted = fixture.client.job("make_coalesce", json!({"what": "a ship", "async_mode": true}));
    let (job, first) = tokio::join!(wanted, content(first));
    assert_eq!(first["job_id"], job);
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_and_panics_are_shared_as_they_are() {
    let fixture = Fixture::new().await;
    let (one, other) = (
        sent(&fixture, "fail_coalesce", json!({})).await,
        sent(&fixture, "fail_coalesce", json!({})).await,
    );
    let panics = (
        sent(&fixture, "panic_coalesce", json!({})).await,
        sent(&fixture, "panic_coalesce", json!({})).await,
    );
    fixture.tools.gate.open();
    let errors =
        [one, other].map(async |call| call.await_response().await.unwrap_err().to_string());
    let [one, other] = errors;
    assert_eq!(one.await, other.await);
    let panics = (answer(panics.0).await, answer(panics.1).await);
    assert_eq!(panics.0["structuredContent"]["error_kind"], "panic");
    assert_eq!(panics.0, panics.1);
    assert_eq!(fixture.tools.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_work_for_all() {
    let fixture = Fixture::new().await;
    let one = sent(&fixture, "deadline_3s_coalesce", json!({})).await;
    let other = sent(&fixture, "deadline_3s_coalesce", json!({})).await;
    let (one, other) = (content(one).await, content(other).await);
    assert_eq!(one["error_kind"], "deadline");
    assert_eq!(one, other);
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_by_the_first_is_not_the_seconds() {
    let fixture = Fixture::new().await;
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let second = sent(&fixture, "make_coalesce", ship()).await;
    cancelled(first).await;
    fixture.tools.gate.open();
    assert_eq!(content(second).await, json!({"made": "a ship"}));
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_first_has_left_the_second_gets_the_ticket_of_what_goes_on() {
    let fixture = Fixture::new().await;
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let second = sent(&fixture, "make_coalesce", ship()).await;
    cancelled(first).await;
    let job = content(second).await["job_id"].take();
    fixture.tools.gate.open();
    assert_eq!(ends(&fixture, job.as_str().unwrap()).await, JobStatus::Completed);
    assert_eq!((fixture.tools.begun(), fixture.total().await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_by_the_second_is_not_the_firsts() {
    let fixture = Fixture::new().await;
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let second = sent(&fixture, "make_coalesce", ship()).await;
    cancelled(second).await;
    fixture.tools.gate.open();
    assert_eq!(content(first).await, json!({"made": "a ship"}));
    assert_eq!((fixture.tools.begun(), fixture.total().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_cancel_of_the_last_one_stops_the_work_whoever_came_first() {
    for first_leaves_first in [true, false] {
        let fixture = Fixture::new().await;
        let first = sent(&fixture, "make_coalesce", ship()).await;
        let second = sent(&fixture, "make_coalesce", ship()).await;
        let (one, other) = if first_leaves_first { (first, second) } else { (second, first) };
        cancelled(one).await;
        cancelled(other).await;
        fixture.tools.over.arrived(1).await;
        // What is being stopped, or was, is not shared any more.
        fixture.tools.gate.open();
        assert_eq!(fixture.client.ask("make_coalesce", ship()).await, json!({"made": "a ship"}));
        assert_eq!(fixture.tools.begun(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_somebody_has_the_ticket_stops_nothing() {
    let fixture = Fixture::new().await;
    let job = fixture.client.job("make_coalesce", ship()).await;
    let second = sent(&fixture, "make_coalesce", ship()).await;
    cancelled(second).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(fixture.client.status(&job).await["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_being_cancelled_is_not_shared() {
    let fixture = Fixture::new().await;
    let job = fixture.client.job("make_coalesce", ship()).await;
    fixture.client.ask("cancel_job", json!({"job_id": job})).await;
    fixture.tools.gate.open();
    assert_eq!(fixture.client.ask("make_coalesce", ship()).await, json!({"made": "a ship"}));
    assert_eq!(fixture.tools.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_job_that_is_cancelled_is_told() {
    let fixture = Fixture::new().await;
    let job =
        fixture.client.job("on_disconnect_cancel_coalesce", json!({"async_mode": true})).await;
    let second = sent(&fixture, "on_disconnect_cancel_coalesce", json!({})).await;
    fixture.client.ask("cancel_job", json!({"job_id": job})).await;
    let told = answer(second).await;
    assert_eq!(told["isError"], true, "{told}");
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_stops_nothing_that_others_wait_for() {
    let fixture = Fixture::new().await;
    let other = Client::connect(fixture.server.clone()).await;
    let lost = other.send("on_disconnect_cancel_coalesce", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    let second = sent(&fixture, "on_disconnect_cancel_coalesce", json!({})).await;
    drop(lost);
    other.leave().await;
    // The server notices a few seconds later.
    sleep(Duration::from_secs(10)).await;
    fixture.tools.gate.open();
    assert_eq!(answer(second).await["content"][0]["text"], "not alone");
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_whose_record_may_be_taken_back_goes_to_nobody() {
    let insert = Gate::new();
    let store = FaultyStore::slow(insert.clone());
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let second = sent(&fixture, "make_coalesce", ship()).await;
    insert.arrived(1).await;
    // The second's budget ends while the first's record is there, but not acknowledged.
    sleep(Duration::from_secs(10)).await;
    fixture.tools.gate.open();
    assert_eq!(content(first).await, json!({"made": "a ship"}));
    assert_eq!(content(second).await, json!({"made": "a ship"}));
    insert.open();
    fixture.jobs.shutdown().await.unwrap();
    assert_eq!(store.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_fails_all_wait_on() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let second = sent(&fixture, "make_coalesce", ship()).await;
    sleep(Duration::from_secs(30)).await;
    store.set_broken(false);
    let (first, second) = tokio::join!(content(first), content(second));
    assert!(first["job_id"].is_string(), "{first}");
    assert_eq!(first["job_id"], second["job_id"]);
}

#[tokio::test(start_paused = true)]
async fn where_no_job_can_be_made_all_are_told() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let calls = [
        fixture.client.send("make_always_job_coalesce", ship()).await,
        fixture.client.send("make_always_job_coalesce", ship()).await,
    ];
    for call in calls {
        assert_eq!(content(call).await["error_kind"], "not_durable");
    }
    assert_eq!(fixture.tools.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_told_to_all() {
    let fixture = Fixture::new().await;
    let calls = [
        sent(&fixture, "make_coalesce", ship()).await,
        sent(&fixture, "make_coalesce", ship()).await,
    ];
    fixture.jobs.shutdown().await.unwrap();
    for call in calls {
        assert_eq!(answer(call).await["isError"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_tasks_gets_the_task_of_what_others_began() {
    let fixture = Fixture::new().await;
    let job = fixture.client.job("make_coalesce", ship()).await;
    let mut wire = Wire::with_tasks(fixture.server.clone()).await;
    assert_eq!(wire.task("make_coalesce", ship()).await["taskId"], job);
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_joins_is_told_of_progress() {
    let fixture = Fixture::new().await;
    let _first = sent(&fixture, "make_coalesce", ship()).await;
    let mut wire = Wire::discover(fixture.server.clone(), json!({})).await;
    let call = json!({"name": "make_coalesce", "arguments": ship(), "_meta": {"progressToken": 7}});
    wire.request("tools/call", call).await;
    let news = wire.noted().await;
    assert_eq!(news["params"]["message"], "waiting at the gate", "{news}");
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_question_is_no_new_call() {
    let fixture = Fixture::new().await;
    let first = sent(&fixture, "make_coalesce", ship()).await;
    let mut wire = Wire::discover(fixture.server.clone(), json!({"extensions": {TASKS: {}}})).await;
    let retry = json!({"name": "make_coalesce", "arguments": ship(), "requestState": "opaque"});
    wire.request("tools/call", retry).await;
    fixture.tools.gate.arrived(2).await;
    fixture.tools.gate.open();
    assert_eq!(content(first).await, json!({"made": "a ship"}));
}
