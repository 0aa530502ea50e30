use super::*;

async fn inn(client: Value) -> (Wire, Inn, JobManager) {
    let (inn, jobs) = (Inn::new(), JobManager::in_memory());
    let wire = Wire::discover(inn.clone().with_jobs(jobs.clone()), client).await;
    (wire, inn, jobs)
}

/// The call that was asked something, with these answers.
fn with_answers(tool: &str, asked: &Value, answers: Value) -> Value {
    json!({
        "name": tool, "arguments": {}, "inputResponses": answers,
        "requestState": asked["result"]["requestState"]
    })
}

async fn again(wire: &mut Wire, tool: &str, asked: &Value, answers: Value) -> Value {
    wire.ask("tools/call", with_answers(tool, asked, answers)).await
}

#[tokio::test(start_paused = true)]
async fn goes_on_with_the_same_work() {
    let (mut wire, inn, _jobs) = inn(json!({"elicitation": {"form": {}}})).await;
    let asked = wire.call("greet", json!({})).await;
    assert_answer!(asked["result"]);
    let answer = json!({"name": accept(json!({"name": "Ann"}))});
    let answer = again(&mut wire, "greet", &asked, answer).await;
    assert_eq!(text(&answer), "Hello, Ann!");
    inn.gate.arrived(1).await;
    assert_eq!(inn.gate.count(), 1, "the work began once");
}

#[tokio::test(start_paused = true)]
async fn may_be_asked_something_else_and_get_a_ticket_at_last() {
    let (mut wire, inn, jobs) = inn(json!({"elicitation": {}})).await;
    let asked = wire.call("check_out", json!({})).await;
    let answer = json!({"name": accept(json!({"name": "Ann"}))});
    let asked_more = again(&mut wire, "check_out", &asked, answer).await;
    assert!(asked_more["result"]["inputRequests"].get("nights").is_some(), "{asked_more}");
    assert_ne!(asked_more["result"]["requestState"], asked["result"]["requestState"]);
    let answer = json!({"nights": accept(json!({"nights": 2}))});
    let ticket = again(&mut wire, "check_out", &asked_more, answer).await;
    let ticket = &ticket["result"]["structuredContent"];
    assert_eq!(ticket["status"], "running");
    inn.gate.open();
    let id: JobId = ticket["job_id"].as_str().unwrap().parse().unwrap();
    jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    assert_eq!(jobs.result(id).await.unwrap().result, "Ann, 2 nights");
}

#[tokio::test(start_paused = true)]
async fn without_a_fitting_answer_is_asked_again() {
    let (mut wire, _inn, _jobs) = inn(json!({"elicitation": {}})).await;
    let asked = wire.call("greet", json!({})).await;
    for answers in [
        json!({}),
        json!({"nome": accept(json!({"name": "Ann"}))}),
        json!({"name": accept(json!({"nome": "Ann"}))}),
        json!({"name": 12345}),
    ] {
        let answer = again(&mut wire, "greet", &asked, answers).await;
        assert_eq!(answer["result"], asked["result"]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_answers_at_once_is_not_asked() {
    let (mut wire, _inn, jobs) = inn(json!({"elicitation": {}})).await;
    let params = json!({
        "name": "greet", "arguments": {},
        "inputResponses": {"name": accept(json!({"name": "Ann"})), "else": accept(json!({}))}
    });
    assert_eq!(text(&wire.ask("tools/call", params).await), "Hello, Ann!");
    assert_eq!(jobs.list(Default::default()).await.unwrap().jobs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_a_state_that_names_no_work_of_this_tool_is_refused() {
    let (mut wire, _inn, _jobs) = inn(json!({"elicitation": {}})).await;
    let asked = wire.call("greet", json!({})).await;
    let state = asked["result"]["requestState"].as_str().unwrap();
    let other = wire.call("greet", json!({"table": 7})).await;
    let other = other["result"]["requestState"].as_str().unwrap();
    let wrong = [
        ("greet", format!("{state}-TAMPERED")),
        ("greet", format!("smart-async:{}", JobId::new())),
        ("greet", format!("smart-async:{}.1", JobId::new())),
        ("check_in", state.to_owned()),
        // With other arguments, which this tool does not even look at.
        ("greet", other.to_owned()),
    ];
    for (tool, state) in wrong {
        let asked = json!({"result": {"requestState": state}});
        let answer = again(&mut wire, tool, &asked, json!({})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn and_cancelled_stops_the_work_or_keeps_it_for_the_next_as_any_call_does() {
    for (reason, keeps) in [("the user pressed Esc", false), ("request timed out", true)] {
        let (mut wire, inn, jobs) = inn(json!({"elicitation": {}})).await;
        let asked = wire.call("check_out", json!({})).await;
        let name = json!({"name": accept(json!({"name": "Ann"}))});
        let asked = again(&mut wire, "check_out", &asked, name).await;
        let nights = json!({"nights": accept(json!({"nights": 2}))});
        let params = with_answers("check_out", &asked, nights);
        let mut changes = jobs.subscribe();
        let retry = wire.request("tools/call", params).await;
        while changes.recv().await.unwrap().status != JobStatus::Running {}
        let told = json!({"requestId": retry, "reason": reason});
        wire.note("notifications/cancelled", told).await;
        if keeps {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let call = json!({"name": "check_out", "arguments": {}});
            let call = wire.request("tools/call", call).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            inn.gate.open();
            assert_eq!(text(&wire.answer(call).await), "Ann, 2 nights");
            assert_eq!(inn.gate.count(), 1, "the work began once");
        } else {
            while changes.recv().await.unwrap().status != JobStatus::Cancelled {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn is_answered_when_its_server_ends() {
    let (mut wire, _inn, jobs) = inn(json!({"elicitation": {}})).await;
    let asked = wire.call("check_out", json!({})).await;
    let name = json!({"name": accept(json!({"name": "Ann"}))});
    let asked = again(&mut wire, "check_out", &asked, name).await;
    let nights = json!({"nights": accept(json!({"nights": 2}))});
    let params = with_answers("check_out", &asked, nights);
    let mut changes = jobs.subscribe();
    let retry = wire.request("tools/call", params).await;
    while changes.recv().await.unwrap().status != JobStatus::Running {}
    let end = tokio::spawn(async move { jobs.shutdown().await });
    let answer = tokio::time::timeout(LONG, wire.answer(retry)).await.unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    end.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn is_not_expected_of_a_client_that_cannot_be_asked() {
    for client in [json!({}), json!({"elicitation": {"url": {}}})] {
        let (mut wire, _inn, _jobs) = inn(client).await;
        let answer = wire.call("greet", json!({})).await;
        assert_eq!(answer["result"]["resultType"], "complete");
        assert_eq!(answer["result"]["structuredContent"]["status"], "input_required");
    }
}

#[tokio::test(start_paused = true)]
async fn by_two_callers_who_share_it_is_asked_of_both_and_done_once() {
    let (inn, jobs) = (Inn::new(), JobManager::in_memory());
    let server = inn.clone().with_jobs(jobs);
    let client = || json!({"elicitation": {}});
    let mut first = Wire::discover(server.clone(), client()).await;
    let mut second = Wire::discover(server, client()).await;
    let asked = first.call("greet", json!({})).await;
    let same = second.call("greet", json!({})).await;
    assert_eq!(same["result"], asked["result"]);
    let answer = json!({"name": accept(json!({"name": "Ann"}))});
    assert_eq!(text(&again(&mut second, "greet", &same, answer).await), "Hello, Ann!");
    assert_eq!(text(&again(&mut first, "greet", &asked, json!({})).await), "Hello, Ann!");
    assert_eq!(inn.gate.count(), 1);
}
