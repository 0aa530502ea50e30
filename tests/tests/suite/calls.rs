//! The way of a call: inline, or a job; and every race on it. Time is paused: it moves only when everybody waits.

use serde_json::json;
use smart_async::JobManager;
use smart_async::job::{JobQuery, JobStatus};
use smart_async_tests::{Client, FaultyStore, Fixture, Gate};

#[tokio::test(start_paused = true)]
async fn work_within_its_budget_answers_inline_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    fixture.tools.gate.open();
    let result = fixture.client.call("make", json!({"what": "a chair"})).await;
    assert_eq!(result.structured_content, Some(json!({"made": "a chair"})));
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn work_beyond_its_budget_becomes_a_job_and_is_never_begun_again() {
    let fixture = Fixture::new().await;
    let ticket = fixture.client.ask("make", json!({"what": "a table"})).await;
    let id = ticket["job_id"].as_str().unwrap();
    assert_eq!(ticket["status"], "running");
    assert_eq!(
        ticket["message"],
        "Task exceeded 5.0s time budget; running in background. This is normal. Do not call make again. \
         Next: wait_job with job_id"
    );
    fixture.tools.gate.open();
    let job = fixture.wait(id).await;
    assert_eq!(
        (&job["status"], &job["result"]),
        (&json!("completed"), &json!({"made": "a table"}))
    );
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_made_by_time_out_has_its_progress_from_the_first_step() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("make", json!({})).await;
    let job = fixture.client.status(&id).await;
    assert_eq!(job["progress"]["message"], "waiting at the gate");
    assert_eq!(job["progress"]["percentage"], 50.0);
    let (created, started) = (job["created_at"].as_str(), job["started_at"].as_str());
    assert!(started < created, "the work began before it was a job: {started:?} {created:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_neither_freezes_nor_replaces_the_record() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("make", json!({})).await;
    for _ in 0..3 {
        assert_eq!(fixture.client.status(&id).await["progress"]["current"], 1);
    }
    fixture.tools.gate.open();
    fixture.wait(&id).await;
    let job = fixture.client.status(&id).await;
    assert_eq!((&job["status"], &job["progress"]["current"]), (&json!("completed"), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn every_status_says_whether_it_is_terminal() {
    let fixture = Fixture::new().await;
    let ticket = fixture.client.ask("make", json!({"async_mode": true})).await;
    assert_eq!(ticket["status"], "pending");
    let id = ticket["job_id"].as_str().unwrap();
    assert_eq!(fixture.client.status(id).await["terminal"], false);
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(id).await["terminal"], true);
}

#[tokio::test(start_paused = true)]
async fn async_mode_makes_a_job_at_once_with_the_callers_name_for_it() {
    let fixture = Fixture::new().await;
    let arguments = json!({"what": "a bed", "async_mode": true, "job_label": "the big one"});
    let id = fixture.client.job("make", arguments).await;
    assert_eq!(fixture.client.status(&id).await["label"], "the big one");
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(&id).await["result"], json!({"made": "a bed"}));
}

#[tokio::test(start_paused = true)]
async fn always_job_needs_nobody_to_ask_for_it() {
    let fixture = Fixture::new().await;
    fixture.tools.gate.open();
    let id = fixture.client.job("make_always_job", json!({"what": "a door"})).await;
    assert_eq!(fixture.wait(&id).await["result"], "a door");
}

#[tokio::test(start_paused = true)]
async fn invalid_job_arguments_are_refused_before_the_work_begins() {
    let fixture = Fixture::new().await;
    for (arguments, complaint) in [
        (json!({"async_mode": "perhaps"}), "async_mode: must be true or false"),
        (json!({"job_label": 7}), "job_label: must be a string"),
        (
            json!({"job_label": "x".repeat(10_000_000)}),
            "job_label: must be a string from 1 to 200 characters",
        ),
        (
            json!({"job_label": "a\u{7}b"}),
            "job_label: must be without control characters; it is \"a\\u{7}b\"",
        ),
    ] {
        assert_eq!(fixture.client.complaint("make", arguments).await, complaint);
    }
    assert_eq!(fixture.tools.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tools_own_arguments_of_those_names_are_its_own() {
    let fixture = Fixture::new().await;
    let result =
        fixture.client.call("own_arguments", json!({"async_mode": "own", "job_label": 7})).await;
    assert_eq!(result.content[0].as_text().unwrap().text, "own 7");
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_not_annotated_is_passed_on_untouched() {
    let fixture = Fixture::new().await;
    let result = fixture.client.call("not_annotated", json!({"async_mode": true})).await;
    assert_eq!(result.content[0].as_text().unwrap().text, "plain");
}

#[tokio::test(start_paused = true)]
async fn cancelling_an_async_mode_job_stops_the_work() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("make", json!({"async_mode": true})).await;
    fixture.tools.gate.arrived(1).await;
    let answer = fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!(
        answer,
        json!({"job_id": id, "status": "cancelled", "terminal": true, "message": "Job cancelled"})
    );
    fixture.tools.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_listens_is_not_aborted_and_its_last_word_does_not_count() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("until_cancelled", json!({})).await;
    let began = tokio::time::Instant::now();
    fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "no grace was needed");
    let job = fixture.client.status(&id).await;
    assert_eq!(job["status"], "cancelled");
    assert!(job.get("result").is_none(), "a cancelled job stays cancelled: {job}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ignores_its_token_is_aborted_after_the_grace() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("make", json!({})).await;
    let began = tokio::time::Instant::now();
    fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.client.status(&id).await["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_ended_job_cannot_be_cancelled() {
    let fixture = Fixture::new().await;
    fixture.tools.gate.open();
    let id = fixture.client.job("make_always_job", json!({})).await;
    fixture.wait(&id).await;
    let answer = fixture.client.call("cancel_job", json!({"job_id": id})).await;
    let expected = json!({"error": format!("Job {id} is already completed"), "job_id": id});
    assert_eq!(answer.structured_content, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_never_reads_as_completed() {
    let fixture = Fixture::new().await;
    for (tool, error, kind) in [
        ("fail", "the wood is rotten", "error"),
        ("fail_with_text", "the glue is dry", "error"),
        ("panic", "the work panicked: the saw is broken", "panic"),
        ("unserializable", "this cannot be written", "error"),
    ] {
        let id = fixture.client.job(tool, json!({"async_mode": true})).await;
        fixture.tools.gate.open();
        for job in [fixture.wait(&id).await, fixture.client.status(&id).await] {
            assert_eq!(
                (&job["status"], &job["error_kind"]),
                (&json!("failed"), &json!(kind)),
                "{tool}"
            );
            assert!(job["error"].as_str().unwrap().contains(error), "{job}");
            assert!(job.get("result").is_none());
        }
        let listed = fixture.client.ask("list_jobs", json!({"status_filter": "failed"})).await;
        assert_eq!(listed["jobs"][0]["id"], id.as_str());
        let result = fixture.client.call("job_result", json!({"job_id": id})).await;
        assert_eq!(result.is_error, Some(true));
        assert!(result.content[0].as_text().unwrap().text.contains(error), "{:?}", result.content);
    }
    let completed = fixture.client.ask("list_jobs", json!({"status_filter": "completed"})).await;
    assert_eq!(completed["total"], 0);
}

#[tokio::test(start_paused = true)]
async fn failures_within_the_budget_are_told_apart() {
    let fixture = Fixture::new().await;
    fixture.tools.gate.open();
    let error = fixture.client.try_call("fail", json!({})).await.unwrap_err();
    assert_eq!(error.message, "the wood is rotten");
    let polite = fixture.client.call("fail_with_text", json!({})).await;
    assert_eq!(
        (polite.is_error, polite.content[0].as_text().unwrap().text.as_str()),
        (Some(true), "the glue is dry")
    );
    assert_eq!(
        fixture.client.complaint("panic", json!({})).await,
        "panic panicked: the saw is broken"
    );
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tools_own_time_out_is_no_end_of_a_budget() {
    let fixture = Fixture::new().await;
    let result = fixture.client.call("own_timeout", json!({})).await;
    assert_eq!(result.is_error, Some(true));
    assert_eq!(result.content[0].as_text().unwrap().text, "deadline has elapsed");
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_job_as_failed() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("deadline_10s", json!({})).await;
    let job = fixture.wait(&id).await;
    assert_eq!((&job["status"], &job["error_kind"]), (&json!("failed"), &json!("deadline")));
    fixture.tools.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_holds_its_requests_token_lives_on_when_the_ticket_goes_out() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("request_token", json!({})).await;
    assert_eq!(fixture.client.status(&id).await["status"], "running");
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(&id).await["result"], "lived on");
}

#[tokio::test(start_paused = true)]
async fn a_body_sees_the_cancellation_of_its_job_in_its_requests_token() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("request_token", json!({})).await;
    fixture.client.ask("cancel_job", json!({"job_id": id})).await;
    fixture.tools.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_during_the_inline_wait_loses_nothing() {
    let fixture = Fixture::new().await;
    fixture.client.send("make", json!({"what": "a boat"})).await;
    fixture.tools.gate.arrived(1).await;
    let Fixture { tools, jobs, server, client } = fixture;
    client.leave().await;
    let client = Client::connect(server.clone()).await;
    let fixture = Fixture { tools, jobs, server, client };
    fixture.any_job().await;
    fixture.tools.gate.open();
    let job = fixture.only_job_ended().await;
    assert_eq!((&job["status"], &job["result"]), (&json!("completed"), &json!({"made": "a boat"})));
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_outlive_its_caller_is_stopped() {
    let fixture = Fixture::new().await;
    fixture.client.send("on_disconnect_cancel", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    fixture.client.leave().await;
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_cancels_stops_the_work() {
    let fixture = Fixture::new().await;
    let call = fixture.client.send("make", json!({})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    fixture.tools.over.arrived(1).await;
    assert_eq!(fixture.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_loses_patience_does_not_lose_the_work() {
    let fixture = Fixture::new().await;
    let call = fixture.client.send("make", json!({"what": "a ship"})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    fixture.any_job().await;
    fixture.tools.gate.open();
    assert_eq!(fixture.only_job_ended().await["result"], json!({"made": "a ship"}));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_back_gets_the_running_work_and_no_second_run() {
    let fixture = Fixture::new().await;
    let call = fixture.client.send("make", json!({"what": "a ship"})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    fixture.any_job().await;
    let ticket = fixture.client.ask("make", json!({"what": "a ship"})).await;
    assert_eq!(ticket["status"], "running");
    let other = fixture.client.job("make", json!({"what": "another"})).await;
    assert_ne!(ticket["job_id"], other.as_str());
    assert_eq!(fixture.tools.begun(), 2, "the ship once, the other once");
    // Its ticket has reached a caller by now, so the same call means a new ship.
    fixture.tools.gate.open();
    let result = fixture.client.call("make", json!({"what": "a ship"})).await;
    assert_eq!(result.structured_content, Some(json!({"made": "a ship"})));
    assert_eq!(fixture.tools.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_back_in_time_gets_the_result_inline() {
    let fixture = Fixture::new().await;
    let call = fixture.client.send("make", json!({"what": "a ship"})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    fixture.any_job().await;
    let again = fixture.client.send("make", json!({"what": "a ship"})).await;
    tokio::task::yield_now().await;
    fixture.tools.gate.open();
    let answer = serde_json::to_value(again.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": "a ship"}));
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_at_the_budgets_end_means_waiting_on() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = fixture.client.send("make", json!({"what": "a cart"})).await;
    while store.failures() < 3 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(fixture.jobs.health().store_error.is_some());
    fixture.tools.gate.open();
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": "a cart"}), "answered inline after all");
    assert_eq!(store.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_takes_the_job() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = fixture.client.send("make", json!({"what": "a cart"})).await;
    while store.failures() < 3 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    store.set_broken(false);
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"]["status"], "running");
    assert_eq!((store.count().await, fixture.jobs.health().store_error), (1, None));
    assert_eq!(fixture.tools.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_whose_caller_left_while_the_store_failed_waits_in_memory() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = fixture.client.send("make", json!({"what": "a cart"})).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while store.failures() == 0 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    fixture.tools.gate.open();
    fixture.tools.over.arrived(1).await;
    let result = fixture.client.call("make", json!({"what": "a cart"})).await;
    assert_eq!(result.structured_content, Some(json!({"made": "a cart"})));
    assert_eq!(fixture.tools.begun(), 1);
    // The record is made up for when the store is back.
    store.set_broken(false);
    assert_eq!(fixture.only_job_ended().await["status"], "completed");
}

/// Who asked for a job is told of the way without one; whose tool always makes one has none but to come later.
#[tokio::test(start_paused = true)]
async fn a_job_at_once_without_a_store_starts_nothing() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    for (tool, way_out) in [
        ("make", "; try again later. Or call it without async_mode to wait for its result."),
        ("make_always_job", "; try again later."),
    ] {
        let result = fixture.client.call(tool, json!({"async_mode": tool == "make"})).await;
        let structured = result.structured_content.unwrap();
        assert_eq!(structured["error_kind"], "not_durable");
        let said = structured["error"].as_str().unwrap();
        assert!(said.ends_with(way_out) && said.matches("later").count() == 1, "{said}");
    }
    assert_eq!((fixture.tools.begun(), store.count().await), (0, 0));
}

/// Its caller was told that there is none, also where the store shows it only later.
#[tokio::test(start_paused = true)]
async fn a_job_that_was_refused_and_stands_all_the_same_is_taken_back() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.hide_next_insert();
    let result = fixture.client.call("make", json!({"async_mode": true})).await;
    assert_eq!(result.structured_content.unwrap()["error_kind"], "not_durable");
    let taken_back = async {
        while store.count().await > 0 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let hour = std::time::Duration::from_secs(3600);
    tokio::time::timeout(hour, taken_back).await.expect("it is taken back");
    assert_eq!(fixture.tools.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_while_its_record_is_written_answers_inline_and_leaves_no_job() {
    let (insert, store) = {
        let gate = Gate::new();
        (gate.clone(), FaultyStore::slow(gate))
    };
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let call = fixture.client.send("make", json!({"what": "a stool"})).await;
    insert.arrived(1).await;
    fixture.tools.gate.open();
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": "a stool"}));
    insert.open();
    while store.count().await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn work_whose_start_was_in_doubt_is_begun_once_and_ends() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    store.doubt_next("start");
    let arguments = json!({"what": "a wheel", "async_mode": true});
    let id = fixture.client.job("make", arguments).await;
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(&id).await["result"], json!({"made": "a wheel"}));
    assert_eq!(store.failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_state_survives_a_store_that_fails_for_a_while() {
    let store = FaultyStore::working();
    let fixture = Fixture::with_manager(JobManager::builder().with_store(store.clone())).await;
    let id = fixture.client.job("make", json!({"what": "a wheel"})).await;
    store.set_broken(true);
    fixture.tools.gate.open();
    fixture.tools.over.arrived(1).await;
    while store.failures() < 2 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let status = fixture.jobs.status(id.parse().unwrap()).await.unwrap().status();
    assert_eq!(status, JobStatus::Running, "what is not on disk is not reported");
    store.set_broken(false);
    assert_eq!(fixture.wait(&id).await["result"], json!({"made": "a wheel"}));
}
