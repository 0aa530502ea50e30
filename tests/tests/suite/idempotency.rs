//! Calls with an idempotency key: the work runs once for each key, and the same key gets the same answer, after a restart, from
//! another process, and while the work runs; watched from inside the bodies.

mod processes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{JobQuery, JobStatus, Prune};
use smart_async::manager::{Retention, WaitFor};
use smart_async::{JobManager, smart_async};
use smart_async_tests::{FaultyStore, Fixture, Gate, JumpingClock, SimulatedProcess};
use tempfile::TempDir;

use crate::http_scopes::caller::House;

const LONG: Duration = Duration::from_secs(3600);

/// A server whose payments are counted, in all of its lives. Clones are the same till.
#[derive(Debug, Clone)]
struct Till {
    paid: Arc<AtomicUsize>,
    gate: Gate,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Sum {
    #[serde(default)]
    sum: u32,
}

impl Till {
    fn new() -> Self {
        Self { paid: Arc::default(), gate: Gate::new() }
    }

    fn pay(&self) -> usize {
        self.gate.arrive();
        self.paid.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn pay_at_the_gate(&self) -> String {
        let number = self.pay();
        self.gate.opened().await;
        format!("receipt {number}")
    }

    fn paid(&self) -> usize {
        self.paid.load(Ordering::SeqCst)
    }
}

#[tool_router]
impl Till {
    /// Answers with more than one value can say.
    #[smart_async(default = 60, idempotent = "24h")]
    #[tool]
    async fn pay_now(&self, Parameters(Sum { sum }): Parameters<Sum>) -> CallToolResult {
        let number = self.pay();
        let blocks = vec![
            ContentBlock::text(format!("receipt {number}")),
            ContentBlock::image("aGk=", "image/png"),
        ];
        let mut result = CallToolResult::success(blocks);
        result.structured_content = Some(json!({"number": number, "sum": sum}));
        result
    }

    #[smart_async(default = "20ms", idempotent = "24h")]
    #[tool]
    async fn pay_slowly(&self, Parameters(Sum { .. }): Parameters<Sum>) -> String {
        self.pay_at_the_gate().await
    }

    #[smart_async(default = 60, idempotent = "24h")]
    #[tool]
    async fn pay_inline(&self, Parameters(Sum { .. }): Parameters<Sum>) -> String {
        self.pay_at_the_gate().await
    }

    #[smart_async(default = 60, idempotent = "24h", restart = "rerun")]
    #[tool]
    async fn pay_again(&self, Parameters(Sum { .. }): Parameters<Sum>) -> String {
        self.pay_at_the_gate().await
    }

    #[smart_async(default = 60, idempotent = "24h", on_cancel = "cancel", on_disconnect = "cancel")]
    #[tool]
    async fn pay_while_watched(&self) -> String {
        self.pay_at_the_gate().await
    }

    #[smart_async(default = 60, idempotent = "24h", max_concurrent = 1)]
    #[tool]
    async fn pay_in_line(&self) -> String {
        self.pay_at_the_gate().await
    }

    #[smart_async(default = 60, idempotent = "24h", blocking)]
    #[tool]
    fn pay_on_thread(&self) -> String {
        format!("receipt {}", self.pay())
    }

    #[smart_async(default = 60, idempotent = "24h")]
    #[tool]
    async fn refuse(&self) -> Result<String, String> {
        Err(format!("refused for the {} time", self.pay()))
    }

    #[smart_async(default = 60, idempotent = "24h")]
    #[tool]
    async fn break_down(&self) -> String {
        panic!("broken for the {} time", self.pay());
    }

    #[smart_async(default = 60)]
    #[tool]
    async fn look(&self, Parameters(Sum { .. }): Parameters<Sum>) -> String {
        format!("looked {} times", self.pay())
    }
}

#[tool_handler(name = "till", router = Self::tool_router())]
impl ServerHandler for Till {}

async fn over(folder: &Path) -> JobManager {
    JobManager::builder().folder(folder).server("till").open().await.unwrap()
}

async fn till() -> Fixture<Till> {
    Fixture::serve(Till::new(), JobManager::builder().server("till").in_memory()).await
}

fn key(key: &str) -> Value {
    json!({"idempotency_key": key})
}

fn with(key: &str, rest: Value) -> Value {
    let mut arguments = rest;
    arguments["idempotency_key"] = key.into();
    arguments
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

async fn until(holds: impl AsyncFn() -> bool) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All records, with those that no list shows.
async fn stored(jobs: &JobManager) -> usize {
    let mut all = JobQuery::default();
    all.with_open_calls = true;
    jobs.list(all).await.unwrap().jobs.len()
}

#[tokio::test]
async fn the_same_key_gets_the_same_inline_answer_and_nothing_runs_again() {
    let fixture = till().await;
    for tool in ["pay_now", "pay_on_thread"] {
        let before = fixture.tools.paid();
        let first = fixture.client.call(tool, key("a")).await;
        for spelt in [json!({"idempotency_key": "a"}), json!({"idempotencyKey": " a "})] {
            assert_eq!(fixture.client.call(tool, spelt).await, first);
        }
        let at_once = with("a", json!({"async_mode": true}));
        assert_eq!(fixture.client.call(tool, at_once).await, first, "there is nothing to wait for");
        assert_eq!(fixture.tools.paid() - before, 1);
        // Another key is another payment, and so is none.
        assert_ne!(fixture.client.call(tool, key("b")).await, first);
        assert_ne!(fixture.client.call(tool, json!({})).await, first);
        assert_eq!(fixture.tools.paid() - before, 3);
    }
    assert_eq!(fixture.total().await, 0, "none of them is a job");
    assert_eq!(stored(&fixture.jobs).await, 4, "a call without a key leaves nothing");
}

#[tokio::test]
async fn the_same_key_with_other_arguments_is_refused_and_runs_nothing() {
    let fixture = till().await;
    fixture.client.call("pay_now", with("a", json!({"sum": 1}))).await;
    fixture.client.job("pay_slowly", with("a", json!({"sum": 1}))).await;
    assert_eq!(fixture.tools.paid(), 2, "each tool has keys of its own");
    for tool in ["pay_now", "pay_slowly"] {
        for arguments in [json!({"sum": 2}), json!({"sum": 2, "async_mode": true}), json!({})] {
            let refused = fixture.client.complaint(tool, with("a", arguments)).await;
            assert!(refused.contains("other arguments, so nothing was run"), "{refused}");
        }
    }
    assert_eq!(fixture.tools.paid(), 2);
}

#[tokio::test]
async fn a_running_call_and_a_running_job_are_joined() {
    let fixture = till().await;
    let first = fixture.client.send("pay_inline", key("a")).await;
    fixture.tools.gate.arrived(1).await;
    let second = fixture.client.send("pay_inline", key("a")).await;
    let id = fixture.client.job("pay_slowly", key("a")).await;
    assert_eq!(fixture.client.job("pay_slowly", key("a")).await, id);
    let at_once = with("a", json!({"async_mode": true}));
    assert_eq!(fixture.client.job("pay_slowly", at_once).await, id);
    fixture.tools.gate.open();
    let answers = [first.await_response().await.unwrap(), second.await_response().await.unwrap()];
    assert_eq!(
        serde_json::to_value(&answers[0]).unwrap(),
        serde_json::to_value(&answers[1]).unwrap()
    );
    fixture.wait(&id).await;
    assert_eq!(text(&fixture.client.call("pay_slowly", key("a")).await), "receipt 2");
    assert_eq!(fixture.tools.paid(), 2);
}

#[tokio::test]
async fn a_job_from_its_beginning_has_its_key_too() {
    let fixture = till().await;
    let arguments = with("a", json!({"async_mode": true}));
    let id = fixture.client.job("pay_now", arguments.clone()).await;
    fixture.wait(&id).await;
    let result = fixture.client.call("pay_now", key("a")).await;
    assert_eq!(result.structured_content, Some(json!({"number": 1, "sum": 0})));
    assert_eq!(fixture.client.call("pay_now", arguments).await, result);
    assert_eq!(fixture.tools.paid(), 1);
}

#[tokio::test]
async fn a_failed_end_is_the_answer_of_its_key() {
    let fixture = till().await;
    for (tool, said) in
        [("refuse", "refused for the 1 time"), ("break_down", "broken for the 2 time")]
    {
        let first = fixture.client.call(tool, key("a")).await;
        assert!(text(&first).contains(said), "{first:?}");
        assert_eq!(fixture.client.call(tool, key("a")).await, first);
    }
    let wrong = json!({"sum": "much", "idempotency_key": "b"});
    let refused = fixture.client.call("pay_now", wrong).await;
    assert!(text(&refused).contains("expected u32"), "{refused:?}");
    fixture.client.call("pay_now", with("b", json!({"sum": 1}))).await;
    assert_eq!(fixture.tools.paid(), 3, "arguments that the tool does not take use up no key");
}

#[tokio::test]
async fn a_cancelled_end_is_the_answer_of_its_key() {
    let fixture = till().await;
    let call = fixture.client.send("pay_while_watched", key("a")).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("the user changed their mind".to_owned())).await.unwrap();
    let answer = fixture.client.call("pay_while_watched", key("a")).await;
    assert_eq!((text(&answer), answer.is_error), ("the work was cancelled", Some(true)));
    let id = fixture.client.job("pay_slowly", key("b")).await;
    fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    fixture.wait(&id).await;
    assert_eq!(text(&fixture.client.call("pay_slowly", key("b")).await), "the work was cancelled");
    assert_eq!(fixture.tools.paid(), 2);
}

#[tokio::test]
async fn a_call_that_never_began_leaves_its_key_to_the_next_one() {
    let fixture = till().await;
    let other = fixture.client.send("pay_in_line", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    let waits = fixture.client.send("pay_in_line", key("a")).await;
    until(async || stored(&fixture.jobs).await == 2).await;
    let again = fixture.client.send("pay_in_line", key("a")).await;
    fixture.tools.gate.open();
    let answers = [waits.await_response().await.unwrap(), again.await_response().await.unwrap()];
    assert_eq!(
        serde_json::to_value(&answers[0]).unwrap(),
        serde_json::to_value(&answers[1]).unwrap()
    );
    other.await_response().await.unwrap();
    assert_eq!(fixture.tools.paid(), 2);
    assert_eq!(text(&fixture.client.call("pay_in_line", key("a")).await), "receipt 2");

    // One that its process took along while it waited for its slot has not paid.
    let (folder, till) = (TempDir::new().unwrap(), Till::new());
    let process = SimulatedProcess::new();
    let (path, tools) = (folder.path().to_owned(), till.clone());
    process
        .run(async move {
            let fixture = Fixture::serve(tools, over(&path).await).await;
            let _first = fixture.client.send("pay_in_line", json!({})).await;
            fixture.tools.gate.arrived(1).await;
            let _second = fixture.client.send("pay_in_line", key("a")).await;
            while stored(&fixture.jobs).await < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    process.kill().await;
    till.gate.open();
    let fixture = Fixture::serve(till, over(folder.path()).await).await;
    assert_eq!(text(&fixture.client.call("pay_in_line", key("a")).await), "receipt 2");
}

#[tokio::test]
async fn keys_outlive_their_process() {
    let (folder, till) = (TempDir::new().unwrap(), Till::new());
    let mut answers = Vec::new();
    for life in 0..3 {
        let jobs = over(folder.path()).await;
        let fixture = Fixture::serve(till.clone(), jobs.clone()).await;
        answers.push(fixture.client.call("pay_now", with("a", json!({"sum": 7}))).await);
        let refused = fixture.client.complaint("pay_now", key("a")).await;
        assert!(refused.contains("other arguments"), "{life}: {refused}");
        fixture.client.leave().await;
        jobs.shutdown().await.unwrap();
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(till.paid(), 1);
}

/// Makes a call with a key in a process that dies while its body waits at the gate.
async fn killed(folder: &TempDir, till: &Till, tool: &'static str) {
    let process = SimulatedProcess::new();
    let (path, tools) = (folder.path().to_owned(), till.clone());
    process
        .run(async move {
            let fixture = Fixture::serve(tools.clone(), over(&path).await).await;
            let before = tools.gate.count();
            let _call = fixture.client.send(tool, key("a")).await;
            tools.gate.arrived(before + 1).await;
        })
        .await;
    process.kill().await;
}

#[tokio::test]
async fn after_the_death_of_its_process_a_key_answers_that_its_end_is_not_known() {
    let (folder, till) = (TempDir::new().unwrap(), Till::new());
    killed(&folder, &till, "pay_inline").await;
    till.gate.open();
    for _ in 0..2 {
        let fixture = Fixture::serve(till.clone(), over(folder.path()).await).await;
        let answer = fixture.client.call("pay_inline", key("a")).await;
        assert_eq!(answer.is_error, Some(true));
        let said = text(&answer);
        assert!(said.contains("ended before its answer was kept; the work may be done"), "{said}");
        assert_eq!(fixture.total().await, 0, "it was no job");
    }
    assert_eq!(till.paid(), 1);
}

#[tokio::test]
async fn after_the_death_of_its_process_a_key_runs_again_where_the_tool_may() {
    let (folder, till) = (TempDir::new().unwrap(), Till::new());
    killed(&folder, &till, "pay_again").await;
    let fixture = Fixture::serve(till.clone(), over(folder.path()).await).await;
    fixture.client.ask("list_jobs", json!({})).await;
    assert_eq!((fixture.total().await, till.paid()), (0, 1), "its caller alone makes a call again");
    till.gate.open();
    assert_eq!(text(&fixture.client.call("pay_again", key("a")).await), "receipt 2");
    assert_eq!(text(&fixture.client.call("pay_again", key("a")).await), "receipt 2");
    assert_eq!(stored(&fixture.jobs).await, 1, "the interrupted call is gone");
}

#[tokio::test]
async fn a_shutdown_interrupts_a_call_with_a_key() {
    let (folder, till) = (TempDir::new().unwrap(), Till::new());
    let builder = JobManager::builder().folder(folder.path()).server("till");
    let jobs = builder.drain_grace(Duration::from_millis(20)).open().await.unwrap();
    let fixture = Fixture::serve(till.clone(), jobs.clone()).await;
    let _call = fixture.client.send("pay_inline", key("a")).await;
    till.gate.arrived(1).await;
    jobs.shutdown().await.unwrap();
    till.gate.open();
    let fixture = Fixture::serve(till.clone(), over(folder.path()).await).await;
    let answer = fixture.client.call("pay_inline", key("a")).await;
    assert!(text(&answer).contains("the server stopped before the work ended"), "{answer:?}");
    assert_eq!(till.paid(), 1);
}

#[tokio::test]
async fn of_two_processes_at_once_one_runs_a_key() {
    let (folder, till) = (TempDir::new().unwrap(), Till::new());
    let one = Fixture::serve(till.clone(), over(folder.path()).await).await;
    let other = Fixture::serve(till.clone(), over(folder.path()).await).await;
    for round in 1..=20 {
        let name = format!("key {round}");
        let (first, second) = tokio::join!(
            one.client.call("pay_now", key(&name)),
            other.client.call("pay_now", key(&name))
        );
        assert_eq!(first, second);
        assert_eq!(till.paid(), round);
    }
    // A call that is open elsewhere, a job that runs elsewhere, and one that is asked for at once.
    let open = one.client.send("pay_inline", key("a")).await;
    till.gate.arrived(21).await;
    let joined = other.client.send("pay_inline", key("a")).await;
    let id = one.client.job("pay_slowly", key("b")).await;
    assert_eq!(other.client.job("pay_slowly", key("b")).await, id);
    let at_once = with("b", json!({"async_mode": true}));
    assert_eq!(other.client.job("pay_slowly", at_once).await, id);
    let refused = other.client.complaint("pay_slowly", with("b", json!({"sum": 1}))).await;
    assert!(refused.contains("other arguments"), "{refused}");
    till.gate.open();
    let answers = [open.await_response().await.unwrap(), joined.await_response().await.unwrap()];
    assert_eq!(
        serde_json::to_value(&answers[0]).unwrap(),
        serde_json::to_value(&answers[1]).unwrap()
    );
    assert_eq!(till.paid(), 22);
}

#[tokio::test]
async fn a_key_is_kept_for_its_time_and_beyond_retention() {
    let clock = JumpingClock::new();
    let builder = JobManager::builder().server("till").clock(clock.clock());
    let jobs = builder.retention(Retention::new(LONG, 0).max_bytes(1)).in_memory();
    let fixture = Fixture::serve(Till::new(), jobs).await;
    let first = fixture.client.call("pay_now", key("a")).await;
    let id = fixture.client.job("pay_now", with("b", json!({"async_mode": true}))).await;
    fixture.wait(&id).await;
    clock.jump(23);
    fixture.jobs.prune(Prune::default()).await.unwrap();
    fixture.client.ask("prune_jobs", json!({})).await;
    assert_eq!(fixture.client.call("pay_now", key("a")).await, first);
    fixture.client.call("pay_now", key("b")).await;
    assert_eq!((fixture.tools.paid(), stored(&fixture.jobs).await), (2, 2));
    clock.jump(2);
    assert_ne!(fixture.client.call("pay_now", key("a")).await, first, "its time is over");
    assert_eq!(stored(&fixture.jobs).await, 2, "the new answer takes the place of the old one");
    fixture.jobs.prune(Prune::default()).await.unwrap();
    assert_eq!(fixture.total().await, 0);
    fixture.client.call("pay_now", key("b")).await;
    assert_eq!(fixture.tools.paid(), 4);
}

#[tokio::test]
async fn a_job_that_runs_beyond_the_time_of_its_key_has_it_still() {
    let clock = JumpingClock::new();
    let builder = JobManager::builder().server("till").clock(clock.clock());
    let fixture = Fixture::serve(Till::new(), builder.in_memory()).await;
    let id = fixture.client.job("pay_slowly", key("a")).await;
    clock.jump(100);
    assert_eq!(fixture.client.job("pay_slowly", key("a")).await, id);
    assert_eq!(fixture.tools.paid(), 1);
}

#[tokio::test]
async fn where_the_key_cannot_be_kept_nothing_runs() {
    let store = FaultyStore::working();
    let jobs = JobManager::builder().server("till").with_store(store.clone());
    let fixture = Fixture::serve(Till::new(), jobs).await;
    store.set_broken(true);
    for arguments in [key("a"), with("a", json!({"async_mode": true}))] {
        let refused = fixture.client.complaint("pay_now", arguments).await;
        assert!(
            refused.contains("nothing was run") || refused.contains("not started"),
            "{refused}"
        );
    }
    assert_eq!(fixture.tools.paid(), 0);
    store.set_broken(false);
    fixture.client.call("pay_now", key("a")).await;
    assert_eq!(fixture.tools.paid(), 1);

    // A record that stands though the store said otherwise: nothing ran, and the key is free again.
    store.hide_next_insert();
    fixture.client.complaint("pay_now", key("b")).await;
    until(async || stored(&fixture.jobs).await == 1).await;
    fixture.client.call("pay_now", key("b")).await;
    assert_eq!(fixture.tools.paid(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_out_though_it_cannot_be_kept_and_is_kept_later() {
    let store = FaultyStore::working();
    let jobs = JobManager::builder().server("till").with_store(store.clone());
    let fixture = Fixture::serve(Till::new(), jobs).await;
    let call = fixture.client.send("pay_inline", key("a")).await;
    fixture.tools.gate.arrived(1).await;
    store.set_broken(true);
    fixture.tools.gate.open();
    call.await_response().await.unwrap();
    store.set_broken(false);
    assert_eq!(text(&fixture.client.call("pay_inline", key("a")).await), "receipt 1");
    assert_eq!(fixture.tools.paid(), 1);
}

#[tokio::test]
async fn keys_that_are_none_are_refused_and_so_are_keys_that_the_tool_does_not_keep() {
    let fixture = till().await;
    for (key, said) in [
        (json!(""), "must be a string from 1 to 200 characters"),
        (json!("  "), "must be a string from 1 to 200 characters"),
        (json!("x".repeat(201)), "must be a string from 1 to 200 characters"),
        (json!(7), "must be a string"),
    ] {
        let arguments = json!({"idempotency_key": key});
        let refused = fixture.client.complaint("pay_now", arguments).await;
        assert!(refused.contains(said), "{refused}");
    }
    for misspelt in ["idempotencykeys", "idempotency_ky", "idempotancy_key"] {
        let refused = fixture.client.complaint("pay_now", json!({misspelt: "a"})).await;
        assert!(refused.contains("call again with idempotency_key"), "{refused}");
    }
    let refused = fixture.client.complaint("look", key("a")).await;
    assert!(refused.contains("this tool keeps no keys, so nothing was run"), "{refused}");
    assert_eq!(fixture.tools.paid(), 0);
    fixture.client.call("pay_now", json!({"idempotency_key": null})).await;
    fixture.client.call("pay_now", key(&"x".repeat(200))).await;
    assert_eq!(fixture.tools.paid(), 2);
}

#[tokio::test]
async fn the_schema_shows_the_key_of_tools_that_keep_keys_alone() {
    let fixture = till().await;
    for tool in fixture.client.tools().await {
        let shown = tool.input_schema["properties"].get("idempotency_key").is_some();
        let keeps = tool.name != "look" && !tool.name.contains("job");
        assert_eq!(shown, keeps, "{}", tool.name);
    }
}

#[tokio::test]
async fn no_answer_shows_the_key_or_its_hash() {
    let fixture = till().await;
    let id = fixture.client.job("pay_now", with("s3cret", json!({"async_mode": true}))).await;
    fixture.wait(&id).await;
    let shown = fixture.client.ask("job_status", json!({"job_id": id, "detail": true})).await;
    assert!(!shown.to_string().contains("idempotency"), "{shown}");
    let record = fixture.jobs.status(id.parse().unwrap()).await.unwrap().to_json();
    assert!(!record.to_string().contains("s3cret"), "{record}");
    assert!(record["idempotency_key"].is_string(), "{record}");
}

#[tokio::test]
async fn over_http_each_client_has_keys_of_its_own_and_who_cannot_be_told_apart_has_none() {
    let house = House::in_memory();
    let call = json!({"what": "a chair", "idempotency_key": "a"});
    let one = house.session(None).await;
    let callers =
        [house.caller(Some("alice")), house.caller(Some("bob")), one, house.session(None).await];
    let mut ids = Vec::new();
    for mut caller in callers {
        let id = caller.job("order", call.clone()).await;
        assert!(!ids.contains(&id), "a key of its own");
        assert_eq!(caller.job("order", call.clone()).await, id);
        ids.push(id);
    }
    assert_eq!(house.session(Some("alice")).await.job("order", call.clone()).await, ids[0]);
    for mut caller in [house.caller(None), house.without_session()] {
        let answer = caller.call("order", call.clone()).await;
        let said = answer["content"][0]["text"].as_str().unwrap();
        assert!(said.contains("callers cannot be told apart here"), "{answer}");
        assert_eq!(answer["isError"], true);
    }
    let queued = house.jobs.list(JobQuery::default()).await.unwrap().jobs;
    assert_eq!(queued.len(), 4);
    house.shop.gate.open();
    let ids: Vec<_> = queued.iter().map(|job| job.id).collect();
    for job in house.jobs.wait(&ids, WaitFor::all(), LONG).await.unwrap().jobs {
        assert_eq!(job.status(), JobStatus::Completed);
    }
}
