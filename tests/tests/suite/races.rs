//! Races that are decided once: whatever comes in between, no work is lost, run twice or left running.

use std::time::Duration;

use rmcp::ServerHandler;
use rmcp::model::{CallToolRequestParams, CallToolResponse, NumberOrString};
use rmcp::service::{RequestContext, serve_directly};
use serde_json::{Map, Value, json};
use smart_async::job::JobStatus;
use smart_async::manager::{Error, WaitFor};
use smart_async::{CurrentJob, JobId, JobManager, JobRequest, job_fn};
use smart_async_tests::{FaultyStore, Fixture, Gate};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

/// A call whose client has given up waiting, once it is a job.
async fn kept(fixture: &Fixture, arguments: &Value) -> Value {
    let call = fixture.client.send("make", arguments.clone()).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    fixture.only_job(JobStatus::Running).await
}

fn answer(answered: impl serde::Serialize) -> Value {
    serde_json::to_value(answered).unwrap()
}

/// A call that the test hands to the server in the place of the SDK. Its caller leaves when the token is cancelled.
fn call_until(left: CancellationToken, fixture: &Fixture, tool: &'static str) -> JoinHandle<Value> {
    let server = fixture.server.clone();
    tokio::spawn(async move {
        let connection = serve_directly(server.clone(), tokio::io::duplex(1 << 10).0, None);
        let peer = connection.peer().clone();
        let mut context = RequestContext::new(NumberOrString::Number(1), peer);
        context.ct = left;
        let request = CallToolRequestParams::new(tool).with_arguments(Map::new());
        match server.call_tool(request, context).await {
            Ok(CallToolResponse::Complete(answered)) => answer(answered),
            other => panic!("{tool}: {other:?}"),
        }
    })
}

/// The caller leaves and the work ends before the task of the call has its turn, as on a busy machine.
#[tokio::test(start_paused = true)]
async fn a_result_that_comes_as_its_caller_leaves_is_kept() {
    let fixture = Fixture::new().await;
    let left = CancellationToken::new();
    let call = call_until(left.clone(), &fixture, "make");
    fixture.tools.gate.arrived(1).await;
    fixture.tools.gate.open();
    left.cancel();
    let answered = call.await.unwrap();
    assert_eq!(answered["isError"], true, "no caller is there for the result: {answered}");
    assert_eq!(fixture.only_job(JobStatus::Completed).await["result"], json!({"made": ""}));
    assert_eq!(fixture.tools.begun(), 1);
}

/// The notification with the reason may come before its call is looked at, and finds no call then.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_looked_at_after_its_caller_left_stops_no_work_and_begins_none() {
    let fixture = Fixture::new().await;
    let first = fixture.client.send("on_disconnect_cancel", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    first.cancel(Some("request timeout".to_owned())).await.unwrap();
    let job = fixture.only_job(JobStatus::Running).await;
    let left = CancellationToken::new();
    left.cancel();
    for tool in ["on_disconnect_cancel", "make"] {
        let answered = call_until(left.clone(), &fixture, tool).await.unwrap();
        assert_eq!(answered["isError"], true, "{answered}");
    }
    sleep(Duration::from_secs(20)).await;
    assert_eq!(fixture.client.status(job["id"].as_str().unwrap()).await["status"], "running");
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_tells_of_now() {
    let jobs = JobManager::in_memory();
    let work = job_fn(|job: CurrentJob| async move {
        for second in 0.. {
            job.progress().count(second, ());
            sleep(Duration::from_secs(1)).await;
        }
        unreachable!()
    });
    let id = jobs.submit(JobRequest::new("count"), work).await.unwrap();
    let waited = jobs.wait(&[id], WaitFor::any(), Duration::from_millis(10_500)).await.unwrap();
    assert!(waited.timed_out);
    assert_eq!(waited.jobs[0].progress.as_ref().unwrap().current, 10.0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_budget_ends_the_call() {
    let fixture = Fixture::new().await;
    let began = Instant::now();
    let complaint = fixture.client.complaint("deadline_3s", json!({})).await;
    assert_eq!(complaint, "deadline_3s ran longer than its deadline of 3s and was stopped");
    assert_eq!(began.elapsed().as_secs(), 3);
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_while_the_store_hangs() {
    let store = FaultyStore::slow(Gate::new());
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let began = Instant::now();
    let complaint = fixture.client.complaint("deadline_10s", json!({})).await;
    assert_eq!(complaint, "deadline_10s ran longer than its deadline of 10s and was stopped");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_while_the_store_hangs() {
    let store = FaultyStore::slow(Gate::new());
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let call = fixture.client.send("make", json!({})).await;
    sleep(Duration::from_secs(6)).await;
    let began = Instant::now();
    let ended = fixture.jobs.shutdown().await;
    assert!(matches!(ended, Err(Error::NotDurable(_))), "{ended:?}");
    assert!(began.elapsed() <= Duration::from_secs(8), "{:?}", began.elapsed());
    let answered = answer(call.await_response().await.unwrap());
    assert_eq!(answered["structuredContent"]["error_kind"], "stopping");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_the_run_and_not_the_wait_for_the_store() {
    let insert = Gate::new();
    let store = FaultyStore::slow(insert.clone());
    let jobs = JobManager::builder().with_store(store.clone());
    let work = job_fn(|_| async {
        sleep(Duration::from_secs(2)).await;
        Ok(smart_async::job::JobOutput::new("in time"))
    });
    let id = JobId::new();
    let submitting = tokio::spawn({
        let jobs = jobs.clone();
        async move {
            jobs.submit(JobRequest::new("run").id(id).deadline(Duration::from_secs(3)), work).await
        }
    });
    insert.arrived(1).await;
    store.set_broken(true);
    insert.open();
    submitting.await.unwrap().unwrap();
    sleep(Duration::from_secs(10)).await;
    store.set_broken(false);
    let waited = jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    assert_eq!(waited.jobs[0].status(), JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_submitted_again_during_an_outage_harms_nothing() {
    let store = FaultyStore::working();
    let jobs = JobManager::builder().with_store(store.clone());
    let (gate, id) = (Gate::new(), JobId::new());
    let work = |gate: &Gate| {
        let gate = gate.clone();
        job_fn(move |_| {
            let gate = gate.clone();
            async move {
                gate.opened().await;
                Ok(smart_async::job::JobOutput::new("made once"))
            }
        })
    };
    jobs.submit(JobRequest::new("make").id(id), work(&gate)).await.unwrap();
    store.set_broken(true);
    assert!(jobs.submit(JobRequest::new("make").id(id), work(&gate)).await.is_err());
    store.set_broken(false);
    sleep(LONG).await;
    gate.open();
    jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "made once");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_the_record_is_written_gets_the_job_when_it_comes_back() {
    let insert = Gate::new();
    let store = FaultyStore::slow(insert.clone());
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let call = fixture.client.send("make", json!({"what": "a ship"})).await;
    insert.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    insert.open();
    let job = fixture.only_job(JobStatus::Running).await;
    assert_eq!(
        fixture.client.job("make", json!({"what": "a ship"})).await,
        job["id"].as_str().unwrap()
    );
    fixture.tools.gate.open();
    assert_eq!(fixture.only_job(JobStatus::Completed).await["result"], json!({"made": "a ship"}));
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_cancels_while_the_record_is_written_leaves_no_job() {
    let insert = Gate::new();
    let store = FaultyStore::slow(insert.clone());
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let call = fixture.client.send("make", json!({})).await;
    insert.arrived(1).await;
    call.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    fixture.tools.over.arrived(1).await;
    insert.open();
    while store.count().await > 0 {
        sleep(SHORT).await;
    }
    fixture.jobs.shutdown().await.unwrap();
    assert_eq!(store.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn one_returning_callers_cancel_is_not_anothers() {
    let fixture = Fixture::new().await;
    let ship = json!({"what": "a ship"});
    let job = kept(&fixture, &ship).await;
    let one = fixture.client.send("make", ship.clone()).await;
    let other = fixture.client.send("make", ship.clone()).await;
    sleep(SHORT).await;
    one.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    let ticket = answer(other.await_response().await.unwrap());
    assert_eq!(ticket["structuredContent"]["job_id"], job["id"]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(fixture.client.status(job["id"].as_str().unwrap()).await["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn the_last_returning_callers_cancel_stops_the_work() {
    let fixture = Fixture::new().await;
    let ship = json!({"what": "a ship"});
    kept(&fixture, &ship).await;
    let call = fixture.client.send("make", ship).await;
    sleep(SHORT).await;
    call.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    fixture.only_job(JobStatus::Cancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_returning_caller_that_asks_for_a_job_gets_the_ticket_at_once() {
    let fixture = Fixture::new().await;
    let job = kept(&fixture, &json!({"what": "a ship"})).await;
    let began = Instant::now();
    let ticket = fixture.client.ask("make", json!({"what": "a ship", "async_mode": true})).await;
    assert_eq!(ticket["job_id"], job["id"]);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_returning_caller_is_told_when_the_job_was_cancelled_or_ran_out_of_time() {
    let fixture = Fixture::new().await;
    let ship = json!({"what": "a ship"});
    let job = kept(&fixture, &ship).await;
    let call = fixture.client.send("make", ship).await;
    sleep(SHORT).await;
    fixture.jobs.cancel(job["id"].as_str().unwrap().parse().unwrap()).await.map(|_| ()).unwrap();
    let answered = answer(call.await_response().await.unwrap());
    let told = answered["isError"] == true || answered["structuredContent"]["job_id"] == job["id"];
    assert!(told, "{answered}");
    // The same call is not caught by what has ended.
    fixture.tools.gate.open();
    let made = fixture.client.ask("make", json!({"what": "a ship"})).await;
    assert_eq!(made, json!({"made": "a ship"}));
}

#[tokio::test(start_paused = true)]
async fn on_cancel_rules_whatever_the_reason() {
    let fixture = Fixture::new().await;
    let call = fixture.client.send("on_cancel_keep", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    fixture.only_job(JobStatus::Running).await;
    let call = fixture.client.send("on_cancel_cancel", json!({})).await;
    fixture.tools.gate.arrived(2).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.total().await, 1);
    fixture.tools.gate.open();
    assert_eq!(fixture.only_job(JobStatus::Completed).await["result"], "as I said");
}

#[tokio::test(start_paused = true)]
async fn kept_work_has_its_progress_though_the_store_failed() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = fixture.client.send("make", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while store.failures() < 5 {
        sleep(SHORT).await;
    }
    store.set_broken(false);
    let job = fixture.only_job(JobStatus::Running).await;
    assert_eq!(job["progress"]["message"], "waiting at the gate");
}

#[tokio::test(start_paused = true)]
async fn what_is_nested_too_deeply_fails_that_job_alone() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("deeply_nested", json!({"async_mode": true})).await;
    let other = fixture.client.job("make", json!({"async_mode": true, "what": "a box"})).await;
    fixture.tools.gate.open();
    fixture.client.ask("wait_job", json!({"job_ids": [id, other], "mode": "all"})).await;
    let job = fixture.client.status(&id).await;
    assert_eq!(job["status"], "failed");
    assert!(job["error"].as_str().unwrap().contains("nested deeper"), "{job}");
    assert_eq!(fixture.client.status(&other).await["result"], json!({"made": "a box"}));
}

#[tokio::test(start_paused = true)]
async fn without_a_disk_calls_are_waited_for_and_no_id_goes_out() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let fixture =
        Fixture::with_manager(JobManager::builder().folder(&file).open_or_memory().await).await;
    let refused = fixture.client.call("make", json!({"async_mode": true})).await;
    assert_eq!(refused.structured_content.unwrap()["error_kind"], "not_durable");
    let waiting = fixture.client.send("make", json!({"what": "a cup"})).await;
    let later = fixture.client.send("make_always_job", json!({"what": "a plate"})).await;
    fixture.tools.gate.arrived(2).await;
    sleep(Duration::from_secs(60)).await;
    fixture.tools.gate.open();
    let answered = answer(waiting.await_response().await.unwrap());
    assert_eq!(answered["structuredContent"], json!({"made": "a cup"}));
    let answered = answer(later.await_response().await.unwrap());
    assert_eq!(answered["content"][0]["text"], "a plate");
    assert_eq!(fixture.total().await, 0);
}
