//! `notifications/progress` to the caller of an open call: only where one was asked for, only with news, further each time, and none
//! once the call is answered.

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use smart_async::job::JobQuery;
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_tests::{Gate, TASKS, Wire};

/// A server whose work climbs a stair, a step a tick.
#[derive(Debug, Clone)]
struct Stair {
    top: Gate,
}

#[tool_router]
impl Stair {
    #[smart_async(default = 5)]
    #[tool]
    async fn climb(&self) -> String {
        let progress = smart_async::progress();
        for step in 1..=20 {
            progress.report(step, 20, format!("step {step}"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Reports that say something else, and are no further.
        progress.report(20, 20, "at the door");
        tokio::time::sleep(Duration::from_secs(1)).await;
        progress.report(3, 20, "fell down");
        self.top.opened().await;
        progress.report(21, 21, "inside");
        tokio::time::sleep(Duration::from_secs(1)).await;
        "inside".to_owned()
    }

    /// Says what it does; counts late, and for a moment only.
    #[smart_async(default = 10)]
    #[tool]
    async fn talk(&self) -> String {
        let progress = smart_async::progress();
        for message in ["opening", "opening", "reading"] {
            progress.message(message);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        progress.count(1, 2);
        tokio::time::sleep(Duration::from_secs(1)).await;
        progress.message(String::from("closing"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.top.opened().await;
        "said".to_owned()
    }
}

#[tool_handler]
impl ServerHandler for Stair {}

async fn stair() -> (Wire, Stair) {
    let stair = Stair { top: Gate::new() };
    let server = stair.clone().with_jobs(JobManager::in_memory());
    (Wire::discover(server, json!({})).await, stair)
}

fn climb(token: Value) -> Value {
    json!({"name": "climb", "arguments": {}, "_meta": {"progressToken": token}})
}

/// How far the notifications say that the work has come.
fn figures(noted: &[Value]) -> Vec<f64> {
    let figure = |note: &Value| {
        assert_eq!(note["method"], "notifications/progress", "{note}");
        note["params"]["progress"].as_f64().unwrap()
    };
    noted.iter().map(figure).collect()
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_sent_a_token_is_told_each_time_further_and_not_too_often() {
    let (mut wire, stair) = stair().await;
    stair.top.open();
    let answer = wire.ask("tools/call", climb(json!("up"))).await;
    assert_eq!(answer["result"]["content"][0]["text"], "inside");
    let noted = wire.unseen();
    let figures = figures(&noted);
    assert!(figures.is_sorted_by(|one, next| one < next), "{figures:?}");
    // Three seconds, four times in each of them.
    assert!((4..=12).contains(&figures.len()), "{figures:?}");
    assert_eq!(figures.last(), Some(&21.0));
    let last = &noted.last().unwrap()["params"];
    let expected =
        json!({"progressToken": "up", "progress": 21.0, "total": 21.0, "message": "inside"});
    assert_eq!(*last, expected);
}

/// The protocol wants each notification further than the last, so one with nothing but a message goes a millionth further.
#[tokio::test(start_paused = true)]
async fn a_message_without_figures_is_told_once_and_keeps_the_last_figures() {
    let (mut wire, stair) = stair().await;
    stair.top.open();
    wire.ask("tools/call", json!({"name": "talk", "arguments": {}, "_meta": {"progressToken": 1}}))
        .await;
    let noted = wire.unseen();
    let figures = figures(&noted);
    assert!(figures.is_sorted_by(|one, next| one < next), "{figures:?}");
    let told = |note: &Value| {
        let params = &note["params"];
        (
            params["progress"].as_f64().unwrap().round(),
            params["total"].clone(),
            params["message"].clone(),
        )
    };
    let told: Vec<_> = noted.iter().map(told).collect();
    let expected = [
        (0.0, Value::Null, json!("opening")),
        (0.0, Value::Null, json!("reading")),
        (1.0, json!(2.0), json!("reading")),
        (1.0, json!(2.0), json!("closing")),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_job_shows_a_message_without_figures() {
    let (mut wire, stair) = stair().await;
    let ticket = wire.call("talk", json!({"async_mode": true})).await;
    let id = ticket["result"]["structuredContent"]["job_id"].clone();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let seen = wire.call("job_status", json!({"job_id": id, "detail": true})).await;
    let progress = seen["result"]["structuredContent"]["job"]["progress"].clone();
    assert_eq!(progress, json!({"current": 0, "message": "opening"}), "{seen}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let seen = wire.call("job_status", json!({"job_id": id, "detail": true})).await;
    let progress = seen["result"]["structuredContent"]["job"]["progress"].clone();
    assert_eq!(
        progress,
        json!({"current": 1, "total": 2, "percentage": 50.0, "message": "closing"}),
        "{seen}"
    );
    stair.top.open();
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_a_token_is_told_nothing() {
    let (mut wire, stair) = stair().await;
    stair.top.open();
    wire.call("climb", json!({})).await;
    assert_eq!(wire.unseen(), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn once_the_ticket_is_out_nothing_more_is_told() {
    for capabilities in [json!({}), json!({"extensions": {TASKS: {}}})] {
        let (mut wire, stair) = stair().await;
        wire.now_with(capabilities);
        let answer = wire.ask("tools/call", climb(json!(7))).await;
        assert!(answer.get("result").is_some(), "{answer}");
        let told = wire.unseen();
        assert_eq!(told.last().unwrap()["params"]["message"], "fell down");
        assert!(figures(&told).iter().all(|figure| *figure < 20.001), "{told:?}");
        stair.top.open();
        tokio::time::sleep(Duration::from_secs(60)).await;
        wire.ask("tools/list", json!({})).await;
        assert_eq!(wire.unseen(), Vec::<Value>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_back_is_told_of_the_work_that_runs_already() {
    let stair = Stair { top: Gate::new() };
    let server = stair.clone().with_jobs(JobManager::in_memory());
    let mut first = Wire::discover(server.clone(), json!({})).await;
    first.request("tools/call", climb(json!(1))).await;
    drop(first);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut second = Wire::discover(server, json!({})).await;
    let call = second.request("tools/call", climb(json!(2))).await;
    assert_eq!(second.noted().await["params"]["progressToken"], 2);
    stair.top.open();
    let answer = second.answer(call).await;
    assert_eq!(answer["result"]["content"][0]["text"], "inside");
}

/// With as many answers unread as the connection takes, nothing more can be told to anybody.
#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_nothing_holds_up_neither_its_budget_nor_the_job() {
    let stair = Stair { top: Gate::new() };
    let jobs = JobManager::in_memory();
    let mut wire = Wire::discover(stair.clone().with_jobs(jobs.clone()), json!({})).await;
    for _ in 0..600 {
        wire.request("tools/list", json!({})).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    wire.request("tools/call", climb(json!("up"))).await;
    // The budget is five seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 1);
}
