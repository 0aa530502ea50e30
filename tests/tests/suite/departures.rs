//! The host goes while a call is open: the end of the input, of a session, or of the stream of an answer is known at once.

use std::time::Duration;

use serde_json::{Value, json};
use smart_async::{JobManager, JobStatus, WithJobs};
use smart_async_tests::{Fixture, GatedTools, Wire};
use tokio::time::{Instant, sleep};

use crate::http_scopes::caller::House;

/// A client that is served by the server's own function, over a pipe without a reader of this library.
async fn over_a_plain_pipe(fixture: &Fixture) -> Wire {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = fixture.server.clone();
    tokio::spawn(async move { server.serve(far).await.unwrap().waiting().await });
    Wire::over(near).await
}

/// A client that is served by the SDK's function, over a reader of this library.
async fn over_a_reader(fixture: &Fixture) -> Wire {
    Wire::initialize(fixture.server.clone(), json!({})).await
}

async fn call(wire: &mut Wire, tool: &str) -> i64 {
    wire.request("tools/call", json!({"name": tool, "arguments": {}})).await
}

#[tokio::test(start_paused = true)]
async fn an_open_call_is_a_job_from_the_end_of_the_input_on() {
    for reader in [true, false] {
        let fixture = Fixture::new().await;
        let mut wire = match reader {
            true => over_a_reader(&fixture).await,
            false => over_a_plain_pipe(&fixture).await,
        };
        let id = call(&mut wire, "make").await;
        fixture.tools.gate.arrived(1).await;
        let ended = Instant::now();
        wire.end_input().await;
        let job = fixture.only_job(JobStatus::Running).await;
        assert!(ended.elapsed() < Duration::from_secs(1), "it is known at once");
        // The same call finds the work, and the one that reads on is answered.
        let again = fixture.client.send("make", json!({})).await;
        sleep(Duration::from_millis(100)).await;
        fixture.tools.gate.open();
        let answer = wire.answer(id).await;
        assert_eq!(answer["result"]["structuredContent"], json!({"made": ""}), "{answer}");
        let again = serde_json::to_value(again.await_response().await.unwrap()).unwrap();
        assert_eq!(again["structuredContent"], json!({"made": ""}));
        let job = fixture.wait(job["id"].as_str().unwrap()).await;
        assert_eq!((&job["status"], &job["result"]), (&json!("completed"), &json!({"made": ""})));
        assert_eq!(fixture.tools.begun(), 1);
    }
}

/// All lines and the end are there before the server looks at the first, as with a file or `printf`.
#[tokio::test(start_paused = true)]
async fn a_call_that_came_just_before_the_end_of_the_input_runs_as_a_job_and_is_answered() {
    let fixture = Fixture::new().await;
    fixture.tools.gate.open();
    for connect in 0..2 {
        let mut wire = match connect {
            0 => over_a_reader(&fixture).await,
            _ => over_a_plain_pipe(&fixture).await,
        };
        let ids = [call(&mut wire, "make").await, call(&mut wire, "not_annotated").await];
        wire.end_input().await;
        for id in ids {
            let answer = wire.answer(id).await;
            assert_ne!(answer["result"]["isError"], true, "{answer}");
        }
    }
    assert_eq!(fixture.tools.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_to_stop_with_its_caller_stops_at_the_end_of_the_input() {
    let fixture = Fixture::new().await;
    let mut wire = over_a_plain_pipe(&fixture).await;
    let id = call(&mut wire, "on_disconnect_cancel").await;
    fixture.tools.gate.arrived(1).await;
    let ended = Instant::now();
    wire.end_input().await;
    let answer = wire.answer(id).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(ended.elapsed() < Duration::from_secs(1));
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_shares_a_run_leaves_at_the_end_of_its_input() {
    let fixture = Fixture::new().await;
    let first = fixture.client.send("on_disconnect_cancel_coalesce", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    let mut wire = over_a_plain_pipe(&fixture).await;
    let second = call(&mut wire, "on_disconnect_cancel_coalesce").await;
    sleep(Duration::from_secs(1)).await;
    wire.end_input().await;
    sleep(Duration::from_secs(1)).await;
    fixture.tools.gate.open();
    let answer = wire.answer(second).await;
    assert_eq!(answer["result"]["content"][0]["text"], "not alone", "{answer}");
    let first = serde_json::to_value(first.await_response().await.unwrap()).unwrap();
    assert_eq!(first["content"][0]["text"], "not alone");
}

/// The answer of a ticket may not arrive either.
#[tokio::test(start_paused = true)]
async fn the_work_of_a_call_at_the_end_of_the_input_outlives_the_time_for_answers() {
    let jobs = JobManager::in_memory();
    let tools = GatedTools::new();
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = tools.clone().with_jobs(jobs.clone());
    let served = tokio::spawn(async move { server.serve(far).await.unwrap().waiting().await });
    let mut wire = Wire::over(near).await;
    call(&mut wire, "make").await;
    tools.gate.arrived(1).await;
    wire.end_input().await;
    served.await.unwrap().unwrap();
    tools.gate.open();
    let listed = jobs.list(Default::default()).await.unwrap();
    let id = listed.jobs[0].id;
    let waited =
        jobs.wait(&[id], smart_async::manager::WaitFor::any(), Duration::from_secs(9)).await;
    assert_eq!(waited.unwrap().jobs[0].status(), JobStatus::Completed);
}

/// The only job of a house, as the program sees it.
async fn kept(house: &House) -> Value {
    loop {
        let jobs = house.jobs.list(Default::default()).await.unwrap().jobs;
        if let Some(job) = jobs.first() {
            return job.to_json();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_of_a_session_makes_a_job_of_its_open_call() {
    let house = House::in_memory();
    let mut session = house.session(None).await;
    let call = json!({"name": "make", "arguments": {"what": "a chair"}});
    let _stream = session.open("tools/call", call).await;
    house.shop.gate.arrived(1).await;
    session.end_session().await;
    let job = kept(&house).await;
    assert_eq!((&job["tool"], &job["status"]), (&json!("make"), &json!("running")));
    house.shop.gate.open();
}

#[tokio::test]
async fn a_stream_that_breaks_in_a_session_makes_a_job_that_the_same_call_finds() {
    let house = House::in_memory();
    let mut session = house.session(None).await;
    for (number, tool) in ["make", "make_while_watched"].into_iter().enumerate() {
        let call = json!({"name": tool, "arguments": {"what": "a chair"}});
        let stream = session.open("tools/call", call).await;
        house.shop.gate.arrived(number + 1).await;
        drop(stream);
        let mut changes = house.jobs.subscribe();
        let id = match house.jobs.list(Default::default()).await.unwrap().jobs.len() {
            known if known > number => {
                house.jobs.list(Default::default()).await.unwrap().jobs[0].id
            }
            _ => changes.recv().await.unwrap().id,
        };
        let job = json!({"what": "a chair", "async_mode": true});
        assert_eq!(session.job(tool, job).await, id.to_string(), "though it says on_disconnect");
    }
}
