//! A client that gives up without a word and calls again: the call joins the one that has been open for long.

use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::RequestHandle;
use serde_json::{Value, json};
use smart_async::JobStatus;
use smart_async_tests::{Client, Fixture, Wire};
use tokio::time::sleep;

use crate::http_scopes::caller::House;

/// Opens a call, and waits until its body has begun or it has had the time to.
async fn call(wire: &mut Wire, tool: &str, arguments: Value) -> i64 {
    let id = wire.request("tools/call", json!({"name": tool, "arguments": arguments})).await;
    sleep(Duration::from_millis(100)).await;
    id
}

async fn result(wire: &mut Wire, id: i64) -> Value {
    wire.answer(id).await["result"]["structuredContent"].take()
}

#[tokio::test(start_paused = true)]
async fn an_equal_call_joins_one_that_has_been_open_for_ten_seconds_and_both_get_the_result() {
    let fixture = Fixture::new().await;
    let mut wire = Wire::initialize(fixture.server.clone(), json!({})).await;
    let first = call(&mut wire, "make_slowly", json!({"what": "a chair"})).await;
    sleep(Duration::from_secs(10)).await;
    let second = call(&mut wire, "make_slowly", json!({"what": "a chair"})).await;
    let other = call(&mut wire, "make_slowly", json!({"what": "a table"})).await;
    assert_eq!(fixture.tools.begun(), 2, "other arguments are another call");
    fixture.tools.gate.open();
    for id in [first, second] {
        assert_eq!(result(&mut wire, id).await, json!({"made": "a chair"}));
    }
    assert_eq!(result(&mut wire, other).await, json!({"made": "a table"}));
    assert_eq!((fixture.tools.begun(), fixture.total().await), (2, 0), "and nothing is on disk");
}

#[tokio::test(start_paused = true)]
async fn equal_calls_that_are_made_together_are_calls_of_their_own() {
    let fixture = Fixture::new().await;
    let mut wire = Wire::initialize(fixture.server.clone(), json!({})).await;
    call(&mut wire, "make_slowly", json!({})).await;
    sleep(Duration::from_millis(9700)).await;
    call(&mut wire, "make_slowly", json!({})).await;
    assert_eq!(fixture.tools.begun(), 2);
    // The first of them is the one that a third joins.
    sleep(Duration::from_secs(1)).await;
    call(&mut wire, "make_slowly", json!({})).await;
    assert_eq!(fixture.tools.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_that_joined_get_the_ticket_of_one_job_and_are_joined_while_they_wait() {
    let fixture = Fixture::new().await;
    let mut wire = Wire::initialize(fixture.server.clone(), json!({})).await;
    let first = call(&mut wire, "make_slowly", json!({})).await;
    sleep(Duration::from_secs(15)).await;
    let second = call(&mut wire, "make_slowly", json!({})).await;
    let ticket = result(&mut wire, first).await;
    // The client has given up the second call as well, whose wait goes on.
    sleep(Duration::from_secs(10)).await;
    let third = call(&mut wire, "make_slowly", json!({})).await;
    for id in [second, third] {
        assert_eq!(result(&mut wire, id).await["job_id"], ticket["job_id"]);
    }
    assert_eq!(fixture.tools.begun(), 1);
    // All have a ticket, so that the next call means a run of its own.
    call(&mut wire, "make_slowly", json!({})).await;
    assert_eq!(fixture.tools.begun(), 2);
    fixture.tools.gate.open();
}

#[tokio::test(start_paused = true)]
async fn a_joined_call_gets_progress_on_its_own_token() {
    let fixture = Fixture::new().await;
    let mut wire = Wire::initialize(fixture.server.clone(), json!({})).await;
    call(&mut wire, "make_slowly", json!({})).await;
    sleep(Duration::from_secs(10)).await;
    let again =
        json!({"name": "make_slowly", "arguments": {}, "_meta": {"progressToken": "again"}});
    let id = wire.request("tools/call", again).await;
    let told = wire.told("notifications/progress").await;
    assert_eq!((&told["progressToken"], &told["progress"]), (&json!("again"), &json!(1.0)));
    fixture.tools.gate.open();
    assert_eq!(result(&mut wire, id).await, json!({"made": ""}));
}

#[tokio::test(start_paused = true)]
async fn a_repeatable_tool_a_request_for_a_job_and_another_label_are_calls_of_their_own() {
    let fixture = Fixture::new().await;
    let mut wire = Wire::initialize(fixture.server.clone(), json!({})).await;
    for tool in ["make_slowly_repeatable", "make_slowly"] {
        call(&mut wire, tool, json!({})).await;
    }
    sleep(Duration::from_secs(10)).await;
    call(&mut wire, "make_slowly_repeatable", json!({})).await;
    assert_eq!(fixture.tools.begun(), 3);
    call(&mut wire, "make_slowly", json!({"async_mode": true})).await;
    assert_eq!(fixture.tools.begun(), 4);
    call(&mut wire, "make_slowly", json!({"job_label": "another"})).await;
    assert_eq!(fixture.tools.begun(), 5);
    sleep(Duration::from_secs(11)).await;
    call(&mut wire, "make_slowly", json!({"job_label": "another"})).await;
    assert_eq!(fixture.tools.begun(), 5, "the same label is the same call");
    fixture.tools.gate.open();
}

#[tokio::test(start_paused = true)]
async fn the_call_of_another_connection_is_no_call_made_again() {
    let fixture = Fixture::new().await;
    let _first = fixture.client.send("make_slowly", json!({})).await;
    sleep(Duration::from_secs(11)).await;
    let other = Client::connect(fixture.server.clone()).await;
    let _second = other.send("make_slowly", json!({})).await;
    fixture.tools.gate.arrived(2).await;
    fixture.tools.gate.open();
}

/// The client cancels its first call after it was joined: the work goes on for the second one.
#[tokio::test(start_paused = true)]
async fn a_departure_leaves_the_work_to_the_caller_that_joined() {
    let fixture = Fixture::new().await;
    let first = fixture.client.send("make_slowly", json!({})).await;
    sleep(Duration::from_secs(11)).await;
    let second = fixture.client.send("make_slowly", json!({})).await;
    sleep(Duration::from_secs(1)).await;
    first.cancel(Some("no longer needed".to_owned())).await.unwrap();
    fixture.only_job(JobStatus::Running).await;
    fixture.tools.gate.open();
    let answer = serde_json::to_value(second.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": ""}));
    assert_eq!(fixture.tools.begun(), 1);
}

/// Two equal calls, the second made long after the first.
async fn two_calls(fixture: &Fixture, tool: &str) -> [RequestHandle<RoleClient>; 2] {
    let first = fixture.client.send(tool, json!({})).await;
    sleep(Duration::from_secs(11)).await;
    let second = fixture.client.send(tool, json!({})).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.tools.begun(), 1);
    [first, second]
}

async fn answer(call: RequestHandle<RoleClient>) -> Value {
    serde_json::to_value(call.await_response().await.unwrap()).unwrap()
}

/// The client has given up the first call in silence, and its user presses Esc. Had it made both on purpose, the answer of the
/// first one says why that ended.
#[tokio::test(start_paused = true)]
async fn the_cancel_of_the_call_that_joined_stops_the_work_and_the_first_call_is_told() {
    let fixture = Fixture::new().await;
    let [first, second] = two_calls(&fixture, "make_slowly").await;
    second.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    fixture.tools.over.arrived(1).await;
    let answer = answer(first).await;
    let said = answer["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("made the same call again and cancelled that"), "{answer}");
    assert_eq!((&answer["isError"], fixture.total().await), (&json!(true), 0));
    // The same call is a new one.
    let _third = fixture.client.send("make_slowly", json!({})).await;
    fixture.tools.gate.arrived(2).await;
}

#[tokio::test(start_paused = true)]
async fn the_cancel_of_the_call_that_joined_stops_the_job_whose_ticket_went_to_the_first_call() {
    let fixture = Fixture::new().await;
    let [first, second] = two_calls(&fixture, "make_slowly").await;
    let ticket = answer(first).await;
    assert!(ticket["structuredContent"]["job_id"].is_string(), "{ticket}");
    second.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    fixture.only_job(JobStatus::Cancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_the_call_that_joined_and_on_cancel_keep_leave_the_work_to_the_first_call() {
    for (tool, reason) in
        [("make_slowly", "request timeout"), ("on_cancel_keep", "the user pressed escape")]
    {
        let fixture = Fixture::new().await;
        let [first, second] = two_calls(&fixture, tool).await;
        second.cancel(Some(reason.to_owned())).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        fixture.tools.gate.open();
        assert_eq!(answer(first).await["isError"], false);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_joined_together_do_not_speak_for_one_another() {
    let fixture = Fixture::new().await;
    let [_first, second] = two_calls(&fixture, "on_cancel_cancel").await;
    let third = fixture.client.send("on_cancel_cancel", json!({})).await;
    sleep(Duration::from_secs(1)).await;
    third.cancel(None).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.tools.over.count(), 0, "the second call waits");
    second.cancel(None).await.unwrap();
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_tool_that_coalesces_speak_for_themselves_alone() {
    let fixture = Fixture::new().await;
    let [first, second] = two_calls(&fixture, "on_disconnect_cancel_coalesce").await;
    second.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    fixture.tools.gate.open();
    assert_eq!(answer(first).await["isError"], false);
}

#[tokio::test(start_paused = true)]
async fn over_http_a_session_joins_its_own_call_and_no_other_client_does() {
    let house = House::in_memory();
    let call = json!({"name": "make", "arguments": {"what": "a chair"}});
    let alice = Some("alice");
    let mut session = house.session(None).await;
    let mut open = Vec::new();
    for caller in [&mut session, &mut house.caller(None), &mut house.caller(alice)] {
        open.push(caller.open("tools/call", call.clone()).await);
        house.shop.gate.arrived(open.len()).await;
    }
    sleep(Duration::from_secs(11)).await;
    let mut joined = session.open("tools/call", call.clone()).await;
    for mut other in [
        house.session(None).await,
        house.session(alice).await,
        house.caller(None),
        house.caller(alice),
        house.without_session(),
    ] {
        open.push(other.open("tools/call", call.clone()).await);
        house.shop.gate.arrived(open.len()).await;
    }
    house.shop.gate.open();
    let answer = joined.next().await.unwrap();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    // Only the call that joined another one began no work.
    assert_eq!(house.shop.gate.count(), open.len());
}
