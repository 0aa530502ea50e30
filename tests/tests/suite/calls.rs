//! The way of a call: inline, or a job; and every race on it. Time is paused: it moves only when everybody waits.

use serde_json::{Value, json};
use smart_async::job::{JobQuery, JobStatus};
use smart_async::{JobManager, WithJobs};
use smart_async_tests::{Client, Gate, MoodyStore, Workshop};

struct Bench {
    workshop: Workshop,
    jobs: JobManager,
    client: Client,
}

async fn bench() -> Bench {
    bench_with(JobManager::in_memory()).await
}

async fn bench_with(jobs: JobManager) -> Bench {
    let workshop = Workshop::new();
    let client = Client::connect(workshop.clone().with_jobs(jobs.clone())).await;
    Bench { workshop, jobs, client }
}

impl Bench {
    async fn total(&self) -> usize {
        self.jobs.list(JobQuery::default()).await.unwrap().total
    }

    async fn wait(&self, id: &str) -> Value {
        let waited =
            self.client.ask("wait_job", json!({"job_ids": [id], "timeout_seconds": 20})).await;
        waited["jobs"][0].clone()
    }

    /// The only job there is, once it has ended.
    async fn only_job_ended(&self) -> Value {
        loop {
            let page = self.jobs.list(JobQuery::default()).await.unwrap();
            match page.jobs.as_slice() {
                [job] if job.status().is_terminal() => return job.to_json(),
                [] | [_] => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                more => panic!("{} jobs", more.len()),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn work_within_its_budget_answers_inline_and_leaves_nothing() {
    let bench = bench().await;
    bench.workshop.gate.open();
    let result = bench.client.call("make", json!({"what": "a chair"})).await;
    assert_eq!(result.structured_content, Some(json!({"made": "a chair"})));
    assert_eq!(bench.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn work_beyond_its_budget_becomes_a_job_and_is_never_begun_again() {
    let bench = bench().await;
    let ticket = bench.client.ask("make", json!({"what": "a table"})).await;
    let id = ticket["job_id"].as_str().unwrap();
    assert_eq!(ticket["status"], "running");
    assert_eq!(
        ticket["message"],
        format!(
            "Task exceeded 5.0s time budget; running in background. Do not call make again. \
             Next: wait_job {{\"job_ids\":[\"{id}\"]}}"
        )
    );
    bench.workshop.gate.open();
    let job = bench.wait(id).await;
    assert_eq!(
        (&job["status"], &job["result"]),
        (&json!("completed"), &json!({"made": "a table"}))
    );
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_made_by_time_out_has_its_progress_from_the_first_step() {
    let bench = bench().await;
    let id = bench.client.job("make", json!({})).await;
    let job = bench.client.status(&id).await;
    assert_eq!(job["progress"]["message"], "waiting at the gate");
    assert_eq!(job["progress"]["percentage"], 50.0);
    let (created, started) = (job["created_at"].as_str(), job["started_at"].as_str());
    assert!(started < created, "the work began before it was a job: {started:?} {created:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_neither_freezes_nor_replaces_the_record() {
    let bench = bench().await;
    let id = bench.client.job("make", json!({})).await;
    for _ in 0..3 {
        assert_eq!(bench.client.status(&id).await["progress"]["current"], 1);
    }
    bench.workshop.gate.open();
    let job = bench.wait(&id).await;
    assert_eq!((&job["status"], &job["progress"]["current"]), (&json!("completed"), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn every_status_says_whether_it_is_terminal() {
    let bench = bench().await;
    let ticket = bench.client.ask("make", json!({"async_mode": true})).await;
    assert_eq!(ticket["status"], "pending");
    let id = ticket["job_id"].as_str().unwrap();
    assert_eq!(bench.client.status(id).await["terminal"], false);
    bench.workshop.gate.open();
    assert_eq!(bench.wait(id).await["terminal"], true);
}

#[tokio::test(start_paused = true)]
async fn async_mode_makes_a_job_at_once_with_the_callers_name_for_it() {
    let bench = bench().await;
    let arguments = json!({"what": "a bed", "async_mode": true, "job_label": "the big one"});
    let id = bench.client.job("make", arguments).await;
    assert_eq!(bench.client.status(&id).await["label"], "the big one");
    bench.workshop.gate.open();
    assert_eq!(bench.wait(&id).await["result"], json!({"made": "a bed"}));
}

#[tokio::test(start_paused = true)]
async fn always_job_needs_nobody_to_ask_for_it() {
    let bench = bench().await;
    bench.workshop.gate.open();
    let id = bench.client.job("make_later", json!({"what": "a door"})).await;
    assert_eq!(bench.wait(&id).await["result"], "a door");
}

#[tokio::test(start_paused = true)]
async fn wishes_that_make_no_sense_are_refused_before_the_work_begins() {
    let bench = bench().await;
    for (arguments, complaint) in [
        (json!({"async_mode": "yes"}), "async_mode: give true or false"),
        (json!({"job_label": 7}), "job_label: give a text"),
        (json!({"job_label": " "}), "job_label: give from 1 to 200 characters"),
        (json!({"job_label": "x".repeat(10_000_000)}), "job_label: give from 1 to 200 characters"),
        (
            json!({"job_label": "a\u{7}b"}),
            "job_label: a\\u{7}b has control characters; leave them out",
        ),
    ] {
        assert_eq!(bench.client.complaint("make", arguments).await, complaint);
    }
    assert_eq!(bench.workshop.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tools_own_arguments_of_those_names_are_its_own() {
    let bench = bench().await;
    let result =
        bench.client.call("own_arguments", json!({"async_mode": "own", "job_label": 7})).await;
    assert_eq!(result.content[0].as_text().unwrap().text, "own 7");
    assert_eq!(bench.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_not_annotated_is_passed_on_untouched() {
    let bench = bench().await;
    let result = bench.client.call("plain", json!({"async_mode": true})).await;
    assert_eq!(result.content[0].as_text().unwrap().text, "plain");
}

#[tokio::test(start_paused = true)]
async fn cancelling_an_async_mode_job_stops_the_work() {
    let bench = bench().await;
    let id = bench.client.job("make", json!({"async_mode": true})).await;
    bench.workshop.gate.arrived(1).await;
    let answer = bench.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!(
        answer,
        json!({"job_id": id, "status": "cancelled", "terminal": true, "message": "Job cancelled"})
    );
    bench.workshop.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_listens_is_not_aborted_and_its_last_word_does_not_count() {
    let bench = bench().await;
    let id = bench.client.job("listen", json!({})).await;
    let began = tokio::time::Instant::now();
    bench.client.ask("cancel_job", json!({"job_id": id})).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "no grace was needed");
    let job = bench.client.status(&id).await;
    assert_eq!(job["status"], "cancelled");
    assert!(job.get("result").is_none(), "a cancelled job stays cancelled: {job}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ignores_its_token_is_aborted_after_the_grace() {
    let bench = bench().await;
    let id = bench.client.job("make", json!({})).await;
    let began = tokio::time::Instant::now();
    bench.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    bench.workshop.over.arrived(1).await;
    assert_eq!(bench.client.status(&id).await["status"], "cancelled");
}

#[tokio::test]
async fn a_body_that_cannot_be_stopped_is_shown_as_it_is() {
    let second = std::time::Duration::from_millis(20);
    let jobs = JobManager::builder().cancel_grace(second).cancel_answer(second * 3).in_memory();
    let bench = bench_with(jobs).await;
    let id = bench.client.job("hold", json!({"async_mode": true})).await;
    bench.workshop.gate.arrived(1).await;
    let answer = bench.client.ask("cancel_job", json!({"job_id": id})).await;
    assert_eq!((&answer["status"], &answer["cancel_requested"]), (&json!("running"), &json!(true)));
    let job = bench.client.status(&id).await;
    assert_eq!((&job["status"], &job["cancel_requested"]), (&json!("running"), &json!(true)));
    bench.workshop.gate.open();
    assert_eq!(bench.wait(&id).await["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_ended_job_cannot_be_cancelled() {
    let bench = bench().await;
    bench.workshop.gate.open();
    let id = bench.client.job("make_later", json!({})).await;
    bench.wait(&id).await;
    let answer = bench.client.call("cancel_job", json!({"job_id": id})).await;
    let expected = json!({"error": format!("Job {id} is already completed"), "job_id": id});
    assert_eq!(answer.structured_content, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_never_reads_as_completed() {
    let bench = bench().await;
    for (tool, error, kind) in [
        ("fail", "the wood is rotten", "error"),
        ("fail_politely", "the glue is dry", "error"),
        ("panic", "the work panicked: the saw is broken", "panic"),
        ("make_unwritable", "this cannot be written", "error"),
    ] {
        let id = bench.client.job(tool, json!({"async_mode": true})).await;
        bench.workshop.gate.open();
        for job in [bench.wait(&id).await, bench.client.status(&id).await] {
            assert_eq!(
                (&job["status"], &job["error_kind"]),
                (&json!("failed"), &json!(kind)),
                "{tool}"
            );
            assert!(job["error"].as_str().unwrap().contains(error), "{job}");
            assert!(job.get("result").is_none());
        }
        let listed = bench.client.ask("list_jobs", json!({"status_filter": "failed"})).await;
        assert_eq!(listed["jobs"][0]["id"], id.as_str());
        let result = bench.client.call("job_result", json!({"job_id": id})).await;
        assert_eq!(result.is_error, Some(true));
        assert!(result.content[0].as_text().unwrap().text.contains(error), "{:?}", result.content);
    }
    let completed = bench.client.ask("list_jobs", json!({"status_filter": "completed"})).await;
    assert_eq!(completed["total"], 0);
}

#[tokio::test(start_paused = true)]
async fn failures_within_the_budget_are_told_apart() {
    let bench = bench().await;
    bench.workshop.gate.open();
    let error = bench.client.try_call("fail", json!({})).await.unwrap_err();
    assert_eq!(error.message, "the wood is rotten");
    let polite = bench.client.call("fail_politely", json!({})).await;
    assert_eq!(
        (polite.is_error, polite.content[0].as_text().unwrap().text.as_str()),
        (Some(true), "the glue is dry")
    );
    assert_eq!(
        bench.client.complaint("panic", json!({})).await,
        "panic panicked: the saw is broken"
    );
    assert_eq!(bench.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tools_own_time_out_is_no_end_of_a_budget() {
    let bench = bench().await;
    let result = bench.client.call("lose_patience", json!({})).await;
    assert_eq!(result.is_error, Some(true));
    assert_eq!(result.content[0].as_text().unwrap().text, "deadline has elapsed");
    assert_eq!(bench.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_job_as_failed() {
    let bench = bench().await;
    let id = bench.client.job("hurry", json!({})).await;
    let job = bench.wait(&id).await;
    assert_eq!((&job["status"], &job["error_kind"]), (&json!("failed"), &json!("deadline")));
    bench.workshop.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_holds_its_requests_token_lives_on_when_the_ticket_goes_out() {
    let bench = bench().await;
    let id = bench.client.job("hold_token", json!({})).await;
    assert_eq!(bench.client.status(&id).await["status"], "running");
    bench.workshop.gate.open();
    assert_eq!(bench.wait(&id).await["result"], "lived on");
}

#[tokio::test(start_paused = true)]
async fn a_body_sees_the_cancellation_of_its_job_in_its_requests_token() {
    let bench = bench().await;
    let id = bench.client.job("hold_token", json!({})).await;
    bench.client.ask("cancel_job", json!({"job_id": id})).await;
    bench.workshop.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_during_the_inline_wait_loses_nothing() {
    let bench = bench().await;
    bench.client.send("make", json!({"what": "a boat"})).await;
    bench.workshop.gate.arrived(1).await;
    let (jobs, workshop) = (bench.jobs.clone(), bench.workshop.clone());
    bench.client.leave().await;
    let client = Client::connect(workshop.clone().with_jobs(jobs.clone())).await;
    let bench = Bench { workshop, jobs, client };
    while bench.total().await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bench.workshop.gate.open();
    let job = bench.only_job_ended().await;
    assert_eq!((&job["status"], &job["result"]), (&json!("completed"), &json!({"made": "a boat"})));
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_outlive_its_caller_is_stopped() {
    let bench = bench().await;
    bench.client.send("accompany", json!({})).await;
    bench.workshop.gate.arrived(1).await;
    bench.client.leave().await;
    bench.workshop.over.arrived(1).await;
    assert_eq!(bench.jobs.list(JobQuery::default()).await.unwrap().total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_cancels_stops_the_work() {
    let bench = bench().await;
    let call = bench.client.send("make", json!({})).await;
    bench.workshop.gate.arrived(1).await;
    call.cancel(Some("the user pressed escape".to_owned())).await.unwrap();
    bench.workshop.over.arrived(1).await;
    assert_eq!(bench.total().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_loses_patience_does_not_lose_the_work() {
    let bench = bench().await;
    let call = bench.client.send("make", json!({"what": "a ship"})).await;
    bench.workshop.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while bench.total().await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bench.workshop.gate.open();
    assert_eq!(bench.only_job_ended().await["result"], json!({"made": "a ship"}));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_back_gets_the_running_work_and_no_second_run() {
    let bench = bench().await;
    let call = bench.client.send("make", json!({"what": "a ship"})).await;
    bench.workshop.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while bench.total().await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let ticket = bench.client.ask("make", json!({"what": "a ship"})).await;
    assert_eq!(ticket["status"], "running");
    let other = bench.client.job("make", json!({"what": "another"})).await;
    assert_ne!(ticket["job_id"], other.as_str());
    assert_eq!(bench.workshop.begun(), 2, "the ship once, the other once");
    // Its ticket has reached a caller by now, so the same call means a new ship.
    bench.workshop.gate.open();
    let result = bench.client.call("make", json!({"what": "a ship"})).await;
    assert_eq!(result.structured_content, Some(json!({"made": "a ship"})));
    assert_eq!(bench.workshop.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_back_in_time_gets_the_result_inline() {
    let bench = bench().await;
    let call = bench.client.send("make", json!({"what": "a ship"})).await;
    bench.workshop.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while bench.total().await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let again = bench.client.send("make", json!({"what": "a ship"})).await;
    tokio::task::yield_now().await;
    bench.workshop.gate.open();
    let answer = serde_json::to_value(again.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": "a ship"}));
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_at_the_budgets_end_means_waiting_on() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = bench.client.send("make", json!({"what": "a cart"})).await;
    while store.failures() < 3 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(bench.jobs.health().store_error.is_some());
    bench.workshop.gate.open();
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": "a cart"}), "answered inline after all");
    assert_eq!(store.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_takes_the_job() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = bench.client.send("make", json!({"what": "a cart"})).await;
    while store.failures() < 3 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    store.set_broken(false);
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"]["status"], "running");
    assert_eq!((store.count().await, bench.jobs.health().store_error), (1, None));
    assert_eq!(bench.workshop.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_whose_caller_left_while_the_store_failed_waits_in_memory() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let call = bench.client.send("make", json!({"what": "a cart"})).await;
    bench.workshop.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while store.failures() == 0 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    bench.workshop.gate.open();
    bench.workshop.over.arrived(1).await;
    let result = bench.client.call("make", json!({"what": "a cart"})).await;
    assert_eq!(result.structured_content, Some(json!({"made": "a cart"})));
    assert_eq!(bench.workshop.begun(), 1);
    // The record is made up for when the store is back.
    store.set_broken(false);
    assert_eq!(bench.only_job_ended().await["status"], "completed");
}

/// Who asked for a job is told of the way without one; whose tool always makes one has none but to come later.
#[tokio::test(start_paused = true)]
async fn a_job_at_once_without_a_store_starts_nothing() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    for (tool, way_out) in [
        ("make", "Call it again without async_mode to wait for its result, or later."),
        ("make_later", "Call it again later."),
    ] {
        let result = bench.client.call(tool, json!({"async_mode": tool == "make"})).await;
        let structured = result.structured_content.unwrap();
        assert_eq!(structured["error_kind"], "not_durable");
        let said = structured["error"].as_str().unwrap();
        assert!(said.ends_with(way_out), "{said}");
    }
    assert_eq!((bench.workshop.begun(), store.count().await), (0, 0));
}

/// Its caller was told that there is none, also where the store shows it only later.
#[tokio::test(start_paused = true)]
async fn a_job_that_was_refused_and_stands_all_the_same_is_taken_back() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.hide_next_insert();
    let result = bench.client.call("make", json!({"async_mode": true})).await;
    assert_eq!(result.structured_content.unwrap()["error_kind"], "not_durable");
    let taken_back = async {
        while store.count().await > 0 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let hour = std::time::Duration::from_secs(3600);
    tokio::time::timeout(hour, taken_back).await.expect("it is taken back");
    assert_eq!(bench.workshop.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_while_its_record_is_written_answers_inline_and_leaves_no_job() {
    let (insert, store) = {
        let gate = Gate::new();
        (gate.clone(), MoodyStore::slow(gate))
    };
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    let call = bench.client.send("make", json!({"what": "a stool"})).await;
    insert.arrived(1).await;
    bench.workshop.gate.open();
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], json!({"made": "a stool"}));
    insert.open();
    while store.count().await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn work_whose_start_was_in_doubt_is_begun_once_and_ends() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    store.doubt_next("start");
    let arguments = json!({"what": "a wheel", "async_mode": true});
    let id = bench.client.job("make", arguments).await;
    bench.workshop.gate.open();
    assert_eq!(bench.wait(&id).await["result"], json!({"made": "a wheel"}));
    assert_eq!(store.failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_state_survives_a_store_that_fails_for_a_while() {
    let store = MoodyStore::working();
    let bench = bench_with(JobManager::builder().with_store(store.clone())).await;
    let id = bench.client.job("make", json!({"what": "a wheel"})).await;
    store.set_broken(true);
    bench.workshop.gate.open();
    bench.workshop.over.arrived(1).await;
    while store.failures() < 2 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let status = bench.jobs.status(id.parse().unwrap()).await.unwrap().status();
    assert_eq!(status, JobStatus::Running, "what is not on disk is not reported");
    store.set_broken(false);
    assert_eq!(bench.wait(&id).await["result"], json!({"made": "a wheel"}));
}
