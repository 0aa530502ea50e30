//! `coalesce`: of the same call one runs at a time, and whoever makes it meanwhile shares that one's work.

use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::RequestHandle;
use serde_json::{Value, json};
use smart_async::job::{JobQuery, JobStatus};
use smart_async::manager::WaitFor;
use smart_async::{JobId, JobManager, JobServer, WithJobs};
use smart_async_tests::{Client, Gate, MoodyStore, TASKS, Wire, Workshop};
use tokio::time::{Instant, sleep};

/// Time for everything that can happen by itself: the clock stands still while anybody has something to do.
const SETTLED: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

struct Bench {
    workshop: Workshop,
    jobs: JobManager,
    server: JobServer<Workshop>,
    client: Client,
}

async fn bench_with(jobs: JobManager) -> Bench {
    let workshop = Workshop::new();
    let server = workshop.clone().with_jobs(jobs.clone());
    let client = Client::connect(server.clone()).await;
    Bench { workshop, jobs, server, client }
}

async fn bench() -> Bench {
    bench_with(JobManager::in_memory()).await
}

type Call = RequestHandle<RoleClient>;

impl Bench {
    /// A call that has had time to begin or to join.
    async fn sent(&self, tool: &str, arguments: Value) -> Call {
        let call = self.client.send(tool, arguments).await;
        sleep(SETTLED).await;
        call
    }

    async fn total(&self) -> usize {
        self.jobs.list(JobQuery::default()).await.unwrap().total
    }

    async fn ends(&self, job: &str) -> JobStatus {
        let id: JobId = job.parse().unwrap();
        self.jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap().jobs[0].status()
    }
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
    let bench = bench().await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(bench.client.send("make_shared", ship()).await);
    }
    sleep(SETTLED).await;
    bench.workshop.gate.open();
    for call in calls {
        let answered = answer(call).await;
        assert_eq!(answered["structuredContent"], json!({"made": "a ship"}));
        assert_eq!(answered["isError"], false);
    }
    assert_eq!((bench.workshop.begun(), bench.total().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_order_of_arguments_and_the_label_make_no_other_call() {
    let bench = bench().await;
    let one = bench.sent("make_shared", json!({"what": "a ship", "job_label": "one"})).await;
    let other = bench.sent("make_shared", json!({"job_label": "other", "what": "a ship"})).await;
    let job = content(one).await["job_id"].take();
    assert_eq!(content(other).await["job_id"], job);
    assert_eq!(bench.client.status(job.as_str().unwrap()).await["label"], "one");
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn other_arguments_and_other_tools_are_other_calls() {
    let bench = bench().await;
    for (tool, arguments) in [
        ("make_shared", ship()),
        ("make_shared", json!({"what": "a boat"})),
        ("make_shared", json!({})),
        ("make_shared_later", ship()),
        ("make", ship()),
        ("make", ship()),
    ] {
        bench.sent(tool, arguments).await;
    }
    assert_eq!(bench.workshop.begun(), 6);
}

#[tokio::test(start_paused = true)]
async fn each_caller_waits_for_its_own_budget_and_then_gets_the_ticket_of_the_one_job() {
    let bench = bench().await;
    let began = Instant::now();
    let first = bench.client.send("make_shared", ship()).await;
    sleep(Duration::from_secs(3)).await;
    let second = bench.client.send("make_shared", ship()).await;
    let first = content(first).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    let second = content(second).await;
    assert_eq!(began.elapsed().as_secs(), 8);
    assert_eq!(second["job_id"], first["job_id"]);
    let told = second["message"].as_str().unwrap();
    assert!(told.starts_with("This call was made before and its work still runs"), "{told}");
    assert_eq!((bench.workshop.begun(), bench.total().await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_ticket_was_delivered_is_shared_until_it_ends() {
    let bench = bench().await;
    let job = bench.client.job("make_shared", ship()).await;
    for _ in 0..2 {
        assert_eq!(bench.client.job("make_shared", ship()).await, job);
    }
    let last = bench.sent("make_shared", ship()).await;
    bench.workshop.gate.open();
    assert_eq!(content(last).await, json!({"made": "a ship"}));
    assert_eq!(bench.ends(&job).await, JobStatus::Completed);
    assert_eq!(bench.client.ask("make_shared", ship()).await, json!({"made": "a ship"}));
    assert_eq!((bench.workshop.begun(), bench.total().await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_jobs_at_once_share_one() {
    let bench = bench().await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(bench.client.send("make_shared_later", ship()).await);
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
    let one = bench.client.job("make_shared", asked.clone()).await;
    assert_eq!(bench.client.job("make_shared", asked).await, one);
    assert_eq!(bench.total().await, 2);
}

#[tokio::test(start_paused = true)]
async fn who_wants_a_job_of_an_open_call_gets_it_when_it_is_one() {
    let bench = bench().await;
    let first = bench.sent("make_shared", ship()).await;
    let wanted = bench.client.job("make_shared", json!({"what": "a ship", "async_mode": true}));
    let (job, first) = tokio::join!(wanted, content(first));
    assert_eq!(first["job_id"], job);
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_and_panics_are_shared_as_they_are() {
    let bench = bench().await;
    let (one, other) =
        (bench.sent("fail_shared", json!({})).await, bench.sent("fail_shared", json!({})).await);
    let panics =
        (bench.sent("panic_shared", json!({})).await, bench.sent("panic_shared", json!({})).await);
    bench.workshop.gate.open();
    let errors =
        [one, other].map(async |call| call.await_response().await.unwrap_err().to_string());
    let [one, other] = errors;
    assert_eq!(one.await, other.await);
    let panics = (answer(panics.0).await, answer(panics.1).await);
    assert_eq!(panics.0["structuredContent"]["error_kind"], "panic");
    assert_eq!(panics.0, panics.1);
    assert_eq!(bench.workshop.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_work_for_all() {
    let bench = bench().await;
    let one = bench.sent("hurry_shared", json!({})).await;
    let other = bench.sent("hurry_shared", json!({})).await;
    let (one, other) = (content(one).await, content(other).await);
    assert_eq!(one["error_kind"], "deadline");
    assert_eq!(one, other);
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_by_the_first_is_not_the_seconds() {
    let bench = bench().await;
    let first = bench.sent("make_shared", ship()).await;
    let second = bench.sent("make_shared", ship()).await;
    cancelled(first).await;
    bench.workshop.gate.open();
    assert_eq!(content(second).await, json!({"made": "a ship"}));
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_first_has_left_the_second_gets_the_ticket_of_what_goes_on() {
    let bench = bench().await;
    let first = bench.sent("make_shared", ship()).await;
    let second = bench.sent("make_shared", ship()).await;
    cancelled(first).await;
    let job = content(second).await["job_id"].take();
    bench.workshop.gate.open();
    assert_eq!(bench.ends(job.as_str().unwrap()).await, JobStatus::Completed);
    assert_eq!((bench.workshop.begun(), bench.total().await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_by_the_second_is_not_the_firsts() {
    let bench = bench().await;
    let first = bench.sent("make_shared", ship()).await;
    let second = bench.sent("make_shared", ship()).await;
    cancelled(second).await;
    bench.workshop.gate.open();
    assert_eq!(content(first).await, json!({"made": "a ship"}));
    assert_eq!((bench.workshop.begun(), bench.total().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_cancel_of_the_last_one_stops_the_work_whoever_came_first() {
    for first_leaves_first in [true, false] {
        let bench = bench().await;
        let first = bench.sent("make_shared", ship()).await;
        let second = bench.sent("make_shared", ship()).await;
        let (one, other) = if first_leaves_first { (first, second) } else { (second, first) };
        cancelled(one).await;
        cancelled(other).await;
        bench.workshop.over.arrived(1).await;
        // What is being stopped, or was, is not shared any more.
        bench.workshop.gate.open();
        assert_eq!(bench.client.ask("make_shared", ship()).await, json!({"made": "a ship"}));
        assert_eq!(bench.workshop.begun(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_somebody_has_the_ticket_stops_nothing() {
    let bench = bench().await;
    let job = bench.client.job("make_shared", ship()).await;
    let second = bench.sent("make_shared", ship()).await;
    cancelled(second).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.client.status(&job).await["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_being_cancelled_is_not_shared() {
    let bench = bench().await;
    let job = bench.client.job("make_shared", ship()).await;
    bench.client.ask("cancel_job", json!({"job_id": job})).await;
    bench.workshop.gate.open();
    assert_eq!(bench.client.ask("make_shared", ship()).await, json!({"made": "a ship"}));
    assert_eq!(bench.workshop.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_job_that_is_cancelled_is_told() {
    let bench = bench().await;
    let job = bench.client.job("accompany_all", json!({"async_mode": true})).await;
    let second = bench.sent("accompany_all", json!({})).await;
    bench.client.ask("cancel_job", json!({"job_id": job})).await;
    let told = answer(second).await;
    assert_eq!(told["isError"], true, "{told}");
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_stops_nothing_that_others_wait_for() {
    let bench = bench().await;
    let other = Client::connect(bench.server.clone()).await;
    let lost = other.send("accompany_all", json!({})).await;
    bench.workshop.gate.arrived(1).await;
    let second = bench.sent("accompany_all", json!({})).await;
    drop(lost);
    other.leave().await;
    // The server notices a few seconds later.
    sleep(Duration::from_secs(10)).await;
    bench.workshop.gate.open();
    assert_eq!(answer(second).await["content"][0]["text"], "not alone");
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_whose_record_may_be_taken_back_goes_to_nobody() {
    let insert = Gate::new();
    let store = MoodyStore::slow(insert.clone());
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    let first = bench.sent("make_shared", ship()).await;
    let second = bench.sent("make_shared", ship()).await;
    insert.arrived(1).await;
    // The second's budget ends while the first's record is there, but not acknowledged.
    sleep(Duration::from_secs(10)).await;
    bench.workshop.gate.open();
    assert_eq!(content(first).await, json!({"made": "a ship"}));
    assert_eq!(content(second).await, json!({"made": "a ship"}));
    insert.open();
    bench.jobs.shutdown().await.unwrap();
    assert_eq!(store.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_fails_all_wait_on() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let first = bench.sent("make_shared", ship()).await;
    let second = bench.sent("make_shared", ship()).await;
    sleep(Duration::from_secs(30)).await;
    store.set_broken(false);
    let (first, second) = tokio::join!(content(first), content(second));
    assert!(first["job_id"].is_string(), "{first}");
    assert_eq!(first["job_id"], second["job_id"]);
}

#[tokio::test(start_paused = true)]
async fn where_no_job_can_be_made_all_are_told() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let calls = [
        bench.client.send("make_shared_later", ship()).await,
        bench.client.send("make_shared_later", ship()).await,
    ];
    for call in calls {
        assert_eq!(content(call).await["error_kind"], "not_durable");
    }
    assert_eq!(bench.workshop.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_told_to_all() {
    let bench = bench().await;
    let calls = [bench.sent("make_shared", ship()).await, bench.sent("make_shared", ship()).await];
    bench.jobs.shutdown().await.unwrap();
    for call in calls {
        assert_eq!(answer(call).await["isError"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_tasks_gets_the_task_of_what_others_began() {
    let bench = bench().await;
    let job = bench.client.job("make_shared", ship()).await;
    let mut wire = Wire::with_tasks(bench.server.clone()).await;
    assert_eq!(wire.task("make_shared", ship()).await["taskId"], job);
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_joins_is_told_of_progress() {
    let bench = bench().await;
    let _first = bench.sent("make_shared", ship()).await;
    let mut wire = Wire::discover(bench.server.clone(), json!({})).await;
    let call = json!({"name": "make_shared", "arguments": ship(), "_meta": {"progressToken": 7}});
    wire.request("tools/call", call).await;
    let news = wire.noted().await;
    assert_eq!(news["params"]["message"], "waiting at the gate", "{news}");
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_question_is_no_new_call() {
    let bench = bench().await;
    let first = bench.sent("make_shared", ship()).await;
    let mut wire = Wire::discover(bench.server.clone(), json!({"extensions": {TASKS: {}}})).await;
    let retry = json!({"name": "make_shared", "arguments": ship(), "requestState": "opaque"});
    wire.request("tools/call", retry).await;
    bench.workshop.gate.arrived(2).await;
    bench.workshop.gate.open();
    assert_eq!(content(first).await, json!({"made": "a ship"}));
}
