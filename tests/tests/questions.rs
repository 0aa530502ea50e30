//! Questions that running work asks, for every kind of client: the caller of an open call, tasks, calls made again, the job
//! tools, other processes, later runs.

use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{Change, JobEvent, JobStatus, Timestamp};
use smart_async::manager::{AnswerError, WaitFor};
use smart_async::{AskError, JobId, JobManager, WithJobs, ask_for, smart_async};
use smart_async_tests::{Client, Gate, Life, Wire};

const LONG: Duration = Duration::from_secs(3600);

/// A server that wants to know more.
#[derive(Debug, Clone)]
struct Inn {
    gate: Gate,
}

/// A guest.
#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

/// How long somebody stays.
#[derive(Debug, Deserialize, JsonSchema)]
struct Stay {
    #[schemars(range(min = 1, max = 30))]
    nights: u32,
}

/// What is asked in a moment.
#[derive(Debug, Deserialize, JsonSchema)]
struct Patience {
    seconds: u64,
}

async fn name() -> Result<String, AskError> {
    Ok(match ask_for("name", "What is your name?").await?.accepted() {
        Some(Name { name }) => name,
        None => "nobody".to_owned(),
    })
}

async fn nights() -> Result<u32, AskError> {
    let answer = ask_for("nights", "How long do you stay?").await?;
    Ok(answer.accepted().map_or(0, |Stay { nights }| nights))
}

#[tool_router]
impl Inn {
    fn new() -> Self {
        Self { gate: Gate::new() }
    }

    /// Asks one thing.
    #[smart_async(default = 20, restart = "rerun", coalesce)]
    #[tool]
    async fn greet(&self) -> Result<String, ErrorData> {
        self.gate.arrive();
        Ok(format!("Hello, {}!", name().await?))
    }

    /// Asks two things at once.
    #[smart_async(default = 20)]
    #[tool]
    async fn check_in(&self) -> Result<String, ErrorData> {
        let (name, nights) = tokio::try_join!(name(), nights())?;
        Ok(format!("{name}, {nights} nights"))
    }

    /// Asks, and asks again, and goes on for a while.
    #[smart_async(default = 20, restart = "rerun")]
    #[tool]
    async fn check_out(&self) -> Result<String, ErrorData> {
        self.gate.arrive();
        let (name, nights) = (name().await?, nights().await?);
        self.gate.opened().await;
        Ok(format!("{name}, {nights} nights"))
    }

    /// Gives up soon.
    #[smart_async(default = 20)]
    #[tool]
    async fn hurry(&self, Parameters(Patience { seconds }): Parameters<Patience>) -> String {
        let asked =
            ask_for::<Name>("name", "Quick, your name!").within(Duration::from_secs(seconds));
        match asked.await {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// May take two minutes of its own time.
    #[smart_async(default = 20, deadline = 120)]
    #[tool]
    async fn work(&self) -> Result<String, ErrorData> {
        let name = name().await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(name)
    }

    /// Asks from a thread of its own.
    #[smart_async(default = 20, blocking)]
    #[tool]
    fn ring(&self) -> Result<String, ErrorData> {
        let answer = ask_for("name", "What is your name?").blocking()?;
        Ok(answer.accepted().map_or_else(String::new, |Name { name }| name))
    }

    /// Asks what nobody else may know.
    #[smart_async(default = 20, redact)]
    #[tool]
    async fn whisper(&self) -> Result<String, ErrorData> {
        Ok(name().await?)
    }
}

#[tool_handler]
impl ServerHandler for Inn {}

fn accept(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// What a call with a question in it is answered with, as a snapshot shows it.
macro_rules! assert_answer {
    ($answer:expr) => {
        let answer = &$answer;
        insta::with_settings!({filters => vec![
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[id]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]"),
        ]}, { insta::assert_json_snapshot!(answer) });
    };
}

mod the_caller {
    use super::*;

    async fn inn() -> (Wire, Inn, JobManager) {
        let (inn, jobs) = (Inn::new(), JobManager::in_memory());
        let server = inn.clone().with_jobs(jobs.clone());
        (Wire::initialize(server, json!({"elicitation": {}})).await, inn, jobs)
    }

    #[tokio::test(start_paused = true)]
    async fn is_asked_while_its_call_is_open() {
        let (mut wire, _inn, jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
        let question = wire.noted().await;
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(question["params"]["message"], "What is your name?");
        wire.respond(&question, accept(json!({"name": "Ann"}))).await;
        assert_eq!(text(&wire.answer(call).await), "Hello, Ann!");
        assert_eq!(jobs.list(Default::default()).await.unwrap().total, 0, "no job was made");
    }

    #[tokio::test(start_paused = true)]
    async fn is_asked_several_things_at_once() {
        let (mut wire, _inn, _jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "check_in", "arguments": {}})).await;
        let (name, nights) = (wire.noted().await, wire.noted().await);
        wire.respond(&nights, accept(json!({"nights": 3}))).await;
        wire.respond(&name, accept(json!({"name": "Ann"}))).await;
        assert_eq!(text(&wire.answer(call).await), "Ann, 3 nights");
    }

    #[tokio::test(start_paused = true)]
    async fn may_decline() {
        let (mut wire, _inn, _jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
        let question = wire.noted().await;
        wire.respond(&question, json!({"action": "decline"})).await;
        assert_eq!(text(&wire.answer(call).await), "Hello, nobody!");
    }

    #[tokio::test(start_paused = true)]
    async fn whose_answer_does_not_fit_gets_a_job_that_asks_on() {
        let (mut wire, _inn, _jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
        let question = wire.noted().await;
        wire.respond(&question, accept(json!({"nome": "Ann"}))).await;
        let ticket = wire.answer(call).await;
        assert_eq!(ticket["result"]["structuredContent"]["status"], "input_required");
    }

    #[tokio::test(start_paused = true)]
    async fn that_has_not_answered_when_its_budget_ends_leaves_the_question_to_the_job() {
        let (mut wire, _inn, jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
        let question = wire.noted().await;
        let ticket = wire.answer(call).await;
        assert_answer!(ticket["result"]["structuredContent"]);
        let id = ticket["result"]["structuredContent"]["job_id"].clone();
        let status = wire.call("job_status", json!({"job_id": id})).await;
        assert_answer!(status["result"]["structuredContent"]["job"]["questions"]);
        let answered = json!({"job_id": id, "content": {"name": "Ann"}});
        let answer = wire.call("answer_job", answered).await;
        assert_answer!(answer["result"]["structuredContent"]);
        let withdrawn = wire.noted().await;
        assert_eq!(withdrawn["method"], "notifications/cancelled");
        assert_eq!(withdrawn["params"]["requestId"], question["id"]);
        let job: JobId = id.as_str().unwrap().parse().unwrap();
        jobs.wait(&[job], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(job).await.unwrap().result, "Hello, Ann!");
    }

    #[tokio::test(start_paused = true)]
    async fn may_answer_after_its_budget_has_ended() {
        let (mut wire, _inn, jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
        let question = wire.noted().await;
        let ticket = wire.answer(call).await;
        let id = ticket["result"]["structuredContent"]["job_id"].as_str().unwrap();
        wire.respond(&question, accept(json!({"name": "Ann"}))).await;
        let id: JobId = id.parse().unwrap();
        loop {
            let job = &jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap().jobs[0];
            if job.status().is_terminal() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(jobs.result(id).await.unwrap().result, "Hello, Ann!");
    }

    #[tokio::test(start_paused = true)]
    async fn that_cannot_be_asked_after_all_gets_a_job() {
        let (mut wire, _inn, _jobs) = inn().await;
        let call = wire.request("tools/call", json!({"name": "greet", "arguments": {}})).await;
        let question = wire.noted().await;
        wire.refuse(&question, -32601, "no such method").await;
        let ticket = wire.answer(call).await;
        assert_eq!(ticket["result"]["structuredContent"]["status"], "input_required");
    }

    #[tokio::test(start_paused = true)]
    async fn that_cannot_be_asked_gets_a_job_at_once() {
        let inn = Inn::new();
        let client = Client::connect(inn.with_jobs(JobManager::in_memory())).await;
        let before = tokio::time::Instant::now();
        let id = client.job("greet", json!({})).await;
        assert!(before.elapsed() < Duration::from_secs(1), "no budget was waited for");
        let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
        assert_eq!(waited["stopped_by"], "change", "a question ends the wait");
        client.ask("answer_job", json!({"job_id": id, "key": "name", "action": "decline"})).await;
        let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
        assert_eq!(waited["jobs"][0]["result"], "Hello, nobody!");
    }
}

mod a_task {
    use super::*;

    async fn inn() -> (Wire, Inn, JobManager) {
        let (inn, jobs) = (Inn::new(), JobManager::in_memory());
        let wire = Wire::with_tasks(inn.clone().with_jobs(jobs.clone())).await;
        (wire, inn, jobs)
    }

    async fn update(wire: &mut Wire, task: &Value, answers: Value) -> Value {
        let params = json!({"taskId": task["taskId"], "inputResponses": answers});
        wire.ask("tasks/update", params).await
    }

    async fn get(wire: &mut Wire, task: &Value) -> Value {
        wire.get_task(task["taskId"].as_str().unwrap()).await
    }

    async fn ended(jobs: &JobManager, task: &Value) {
        let id: JobId = task["taskId"].as_str().unwrap().parse().unwrap();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn that_asks_is_input_required_at_once() {
        let (mut wire, _inn, _jobs) = inn().await;
        let before = tokio::time::Instant::now();
        let task = wire.task("greet", json!({})).await;
        assert!(before.elapsed() < Duration::from_secs(1), "no budget was waited for");
        assert_eq!(task["status"], "input_required");
        assert_answer!(get(&mut wire, &task).await);
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_when_it_is_answered() {
        let (mut wire, _inn, jobs) = inn().await;
        let task = wire.task("greet", json!({})).await;
        let ack = update(&mut wire, &task, json!({"name": accept(json!({"name": "Ann"}))})).await;
        assert_eq!(ack["result"], json!({"resultType": "complete"}));
        ended(&jobs, &task).await;
        let task = get(&mut wire, &task).await;
        assert_eq!(task["result"]["content"][0]["text"], "Hello, Ann!");
        assert!(task.get("inputRequests").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn stays_input_required_until_everything_is_answered() {
        let (mut wire, _inn, jobs) = inn().await;
        let task = wire.task("check_in", json!({})).await;
        let keys = |task: &Value| {
            task["inputRequests"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(keys(&get(&mut wire, &task).await), ["name", "nights"]);
        update(&mut wire, &task, json!({"name": accept(json!({"name": "Ann"}))})).await;
        let half = get(&mut wire, &task).await;
        assert_eq!(
            (&half["status"], keys(&half)),
            (&json!("input_required"), vec!["nights".into()])
        );
        update(&mut wire, &task, json!({"nights": accept(json!({"nights": 2}))})).await;
        ended(&jobs, &task).await;
    }

    #[tokio::test(start_paused = true)]
    async fn ignores_answers_that_are_unknown_late_or_doubled() {
        let (mut wire, inn, jobs) = inn().await;
        let task = wire.task("check_out", json!({})).await;
        for name in ["Ann", "Bob"] {
            let answers =
                json!({"name": accept(json!({"name": name})), "shoe_size": accept(json!({}))});
            let ack = update(&mut wire, &task, answers).await;
            assert_eq!(ack["result"], json!({"resultType": "complete"}));
        }
        let id: JobId = task["taskId"].as_str().unwrap().parse().unwrap();
        jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
        update(&mut wire, &task, json!({"nights": accept(json!({"nights": 2}))})).await;
        inn.gate.open();
        ended(&jobs, &task).await;
        let late = update(&mut wire, &task, json!({"name": accept(json!({"name": "Carl"}))})).await;
        assert_eq!(late["result"], json!({"resultType": "complete"}));
        let task = get(&mut wire, &task).await;
        assert_eq!(task["result"]["content"][0]["text"], "Ann, 2 nights");
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_an_answer_that_does_not_fit_and_takes_none_with_it() {
        let (mut wire, _inn, _jobs) = inn().await;
        let task = wire.task("check_in", json!({})).await;
        let answers = json!({"name": accept(json!({"name": "Ann"})), "nights": accept(json!({"nights": 99}))});
        let error = update(&mut wire, &task, answers).await["error"].take();
        assert_eq!(error["code"], -32602);
        assert_eq!(
            error["message"],
            "the answer to `nights` does not fit: content.nights: give a whole number, 30 or less"
        );
        let task = get(&mut wire, &task).await;
        assert_eq!(task["inputRequests"].as_object().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn is_told_of_when_it_asks() {
        let (mut wire, _inn, _jobs) = inn().await;
        let task = wire.task("check_out", json!({})).await;
        let listen = json!({"notifications": {"taskIds": [task["taskId"]]}});
        wire.request("subscriptions/listen", listen).await;
        let mut told = Vec::new();
        while told.len() < 2 {
            let note = wire.noted().await;
            if note["method"] != "notifications/tasks" {
                continue;
            }
            let asked = note["params"]["inputRequests"].as_object();
            if let Some(key) = asked.and_then(|asked| asked.keys().next()) {
                if told.last() != Some(key) {
                    told.push(key.clone());
                }
                let answers = json!({"name": accept(json!({"name": "Ann"}))});
                update(&mut wire, &task, answers).await;
            }
        }
        assert_eq!(told, ["name", "nights"]);
    }
}

mod a_call_made_again {
    use super::*;

    async fn inn(client: Value) -> (Wire, Inn, JobManager) {
        let (inn, jobs) = (Inn::new(), JobManager::in_memory());
        let wire = Wire::discover(inn.clone().with_jobs(jobs.clone()), client).await;
        (wire, inn, jobs)
    }

    async fn again(wire: &mut Wire, tool: &str, asked: &Value, answers: Value) -> Value {
        let params = json!({
            "name": tool, "arguments": {}, "inputResponses": answers,
            "requestState": asked["result"]["requestState"]
        });
        wire.ask("tools/call", params).await
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
        assert_eq!(jobs.list(Default::default()).await.unwrap().total, 0);
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
            let params = json!({
                "name": "check_out", "arguments": {},
                "inputResponses": {"nights": accept(json!({"nights": 2}))},
                "requestState": asked["result"]["requestState"]
            });
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
        let params = json!({
            "name": "check_out", "arguments": {},
            "inputResponses": {"nights": accept(json!({"nights": 2}))},
            "requestState": asked["result"]["requestState"]
        });
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
}

mod the_clock {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_a_question_up_when_its_time_is_over() {
        let client = Client::connect(Inn::new().with_jobs(JobManager::in_memory())).await;
        let id = client.job("hurry", json!({"seconds": 90})).await;
        let began = tokio::time::Instant::now();
        loop {
            let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
            if waited["jobs"][0]["terminal"] == true {
                let said = "nobody answered the question `name` in time";
                assert_eq!(waited["jobs"][0]["result"], said);
                break;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(89), "not earlier");
        let late = client.complaint("answer_job", json!({"job_id": id, "key": "name"})).await;
        assert_eq!(late, format!("Job {id} asks nothing; it is completed"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_record_decides_whether_an_answer_came_in_time() {
        let jobs = JobManager::in_memory();
        let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
        let id = client.job("hurry", json!({"seconds": 90})).await;
        let id: JobId = id.parse().unwrap();
        // As another process would: past the work, which learns of it later.
        let said = accept(json!({"name": "Ann"}));
        tokio::time::sleep(Duration::from_millis(89_990)).await;
        let change = Change::new(JobEvent::Answer("name".into(), said), Timestamp::UNIX_EPOCH);
        jobs.store().update(id, change).await.unwrap();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap().result, "Accepted(Name { name: \"Ann\" })");
    }

    #[tokio::test(start_paused = true)]
    async fn stands_still_for_a_deadline_while_a_question_is_open() {
        let jobs = JobManager::in_memory();
        let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
        let id = client.job("work", json!({})).await;
        tokio::time::sleep(Duration::from_secs(1000)).await;
        client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
        let id: JobId = id.parse().unwrap();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap().result, "Ann");
    }
}

mod an_answer {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn that_comes_with_the_call_is_no_question_any_more() {
        let client = json!({"elicitation": {}});
        let mut wire = Wire::discover(Inn::new().with_jobs(JobManager::in_memory()), client).await;
        let params = json!({
            "name": "greet", "arguments": {"async_mode": true},
            "inputResponses": {"name": accept(json!({"name": "Ann"}))}
        });
        let ticket = wire.ask("tools/call", params).await;
        let id = &ticket["result"]["structuredContent"]["job_id"];
        let waited = wire.call("wait_job", json!({"job_ids": [id]})).await;
        assert_eq!(waited["result"]["structuredContent"]["jobs"][0]["result"], "Hello, Ann!");
    }

    #[tokio::test(start_paused = true)]
    async fn may_spell_a_whole_number_as_it_likes() {
        let jobs = JobManager::in_memory();
        let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
        let id = client.job("check_in", json!({})).await;
        let answer = json!({"job_id": id, "key": "nights", "content": {"nights": 9.0}});
        client.ask("answer_job", answer).await;
        client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
        let waited = client.ask("wait_job", json!({"job_ids": [id]})).await;
        assert_eq!(waited["jobs"][0]["result"], "Ann, 9 nights");
    }

    #[tokio::test(start_paused = true)]
    async fn that_cannot_be_taken_is_told_why() {
        let jobs = JobManager::in_memory();
        let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
        let id = client.job("check_in", json!({})).await;
        let complaint = async |arguments: Value| {
            let mut arguments = arguments;
            arguments["job_id"] = json!(id);
            client.complaint("answer_job", arguments).await
        };
        assert_eq!(complaint(json!({})).await, "key: give one of name, nights");
        let unknown = complaint(json!({"key": "shoe_size"})).await;
        assert_eq!(
            unknown,
            format!("Job {id} asks no question `shoe_size`; it waits for: name, nights")
        );
        let unfit = complaint(json!({"key": "nights", "content": {"nights": "two"}})).await;
        assert_eq!(
            unfit,
            "the answer to `nights` does not fit: content.nights: give a whole number"
        );
        let action = complaint(json!({"key": "name", "action": "maybe"})).await;
        assert_eq!(action, "action: maybe is not known; allowed: accept, decline, cancel");
        client.ask("answer_job", json!({"job_id": id, "key": "name", "action": "cancel"})).await;
        let doubled = complaint(json!({"key": "name", "action": "cancel"})).await;
        assert_eq!(doubled, "the question `name` has been answered already");
    }

    #[tokio::test(start_paused = true)]
    async fn reaches_a_blocking_body() {
        let jobs = JobManager::in_memory();
        let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
        let id = client.job("ring", json!({})).await;
        client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
        let id: JobId = id.parse().unwrap();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap().result, "Ann");
    }

    #[tokio::test]
    async fn to_work_of_another_process_reaches_it() {
        let folder = tempfile::tempdir().unwrap();
        let open = async || JobManager::builder().folder(folder.path()).open().await.unwrap();
        let (asks, answers) = (open().await, open().await);
        let client = Client::connect(Inn::new().with_jobs(asks.clone())).await;
        let id: JobId = client.job("greet", json!({})).await.parse().unwrap();
        assert_eq!(answers.status(id).await.unwrap().status(), JobStatus::InputRequired);
        let wrong = answers.answer(id, "name", accept(json!({}))).await;
        assert!(matches!(wrong, Err(AnswerError::Unfit { .. })), "{wrong:?}");
        answers.answer(id, "name", accept(json!({"name": "Ann"}))).await.unwrap();
        asks.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(asks.result(id).await.unwrap().result, "Hello, Ann!");
    }

    #[tokio::test]
    async fn to_a_retry_through_another_server_reaches_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let open = async || {
            JobManager::builder().folder(folder.path()).server("inn").open().await.unwrap()
        };
        let inn = Inn::new();
        let client = || json!({"elicitation": {}});
        let mut first = Wire::discover(inn.clone().with_jobs(open().await), client()).await;
        let mut second = Wire::discover(inn.clone().with_jobs(open().await), client()).await;
        let asked = first.call("greet", json!({})).await;
        let params = json!({
            "name": "greet", "arguments": {},
            "inputResponses": {"name": accept(json!({"name": "Ann"}))},
            "requestState": asked["result"]["requestState"]
        });
        assert_eq!(text(&second.ask("tools/call", params).await), "Hello, Ann!");
        assert_eq!(inn.gate.count(), 1);
    }

    #[tokio::test]
    async fn to_a_redacted_tool_stays_off_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let open = async || {
            JobManager::builder().folder(folder.path()).server("inn").open().await.unwrap()
        };
        let (jobs, other) = (open().await, open().await);
        let client = Client::connect(Inn::new().with_jobs(jobs.clone())).await;
        let id = client.job("whisper", json!({})).await;
        let job: JobId = id.parse().unwrap();
        assert_eq!(client.status(&id).await["questions"]["name"]["message"], "What is your name?");
        let follower = Client::connect(Inn::new().with_jobs(other.clone())).await;
        assert!(follower.status(&id).await.get("questions").is_none());
        let elsewhere = other.answer(job, "name", accept(json!({"name": "Ann"}))).await;
        assert!(matches!(elsewhere, Err(AnswerError::Elsewhere { .. })), "{elsewhere:?}");
        client.ask("answer_job", json!({"job_id": id, "content": {"name": "Ann"}})).await;
        jobs.wait(&[job], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(job).await.unwrap().result, "Ann");
        let journal = std::fs::read_to_string(folder.path().join("meta/journal.ndjson")).unwrap();
        assert!(!journal.contains("Ann") && !journal.contains("your name"), "{journal}");
    }
}

mod a_later_run {
    use std::path::Path;

    use super::*;

    async fn open(folder: &Path) -> JobManager {
        JobManager::builder().folder(folder).server("inn").open().await.unwrap()
    }

    /// A job that waits for an answer when its process dies, after these were given.
    async fn left_behind(folder: &Path, inn: &Inn, tool: &'static str, given: Value) -> JobId {
        let life = Life::new();
        let (folder, inn) = (folder.to_owned(), inn.clone());
        let id = life
            .run(async move {
                let jobs = open(&folder).await;
                let client = Client::connect(inn.with_jobs(jobs.clone())).await;
                let id = client.job(tool, json!({})).await;
                for (key, content) in given.as_object().unwrap() {
                    let answer = json!({"job_id": id, "key": key, "content": content});
                    client.ask("answer_job", answer).await;
                    let id = id.parse().unwrap();
                    jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
                }
                id
            })
            .await;
        life.dies().await;
        id.parse().unwrap()
    }

    async fn asks(jobs: &JobManager, id: JobId) -> Vec<String> {
        let waited = jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
        waited.jobs[0].open_questions().map(|(key, _)| key.to_owned()).collect()
    }

    #[tokio::test]
    async fn asks_again_what_was_open() {
        let (folder, inn) = (tempfile::tempdir().unwrap(), Inn::new());
        let id = left_behind(folder.path(), &inn, "greet", json!({})).await;
        let jobs = open(folder.path()).await;
        let server = inn.clone().with_jobs(jobs.clone());
        assert_eq!(asks(&jobs, id).await, ["name"]);
        assert_eq!(inn.gate.count(), 2);
        jobs.answer(id, "name", accept(json!({"name": "Ann"}))).await.unwrap();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap().result, "Hello, Ann!");
        drop(server);
    }

    #[tokio::test]
    async fn has_the_answers_that_an_earlier_one_was_given() {
        let (folder, inn) = (tempfile::tempdir().unwrap(), Inn::new());
        let given = json!({"name": {"name": "Ann"}});
        let id = left_behind(folder.path(), &inn, "check_out", given).await;
        let jobs = open(folder.path()).await;
        let server = inn.clone().with_jobs(jobs.clone());
        assert_eq!(asks(&jobs, id).await, ["nights"]);
        inn.gate.open();
        jobs.answer(id, "nights", accept(json!({"nights": 2}))).await.unwrap();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap().result, "Ann, 2 nights");
        drop(server);
    }

    #[tokio::test]
    async fn has_the_answer_that_came_while_nobody_ran_the_work() {
        let (folder, inn) = (tempfile::tempdir().unwrap(), Inn::new());
        let id = left_behind(folder.path(), &inn, "greet", json!({})).await;
        let jobs = open(folder.path()).await;
        assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Pending);
        jobs.answer(id, "name", accept(json!({"name": "Ann"}))).await.unwrap();
        assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Pending);
        let server = inn.clone().with_jobs(jobs.clone());
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        assert_eq!(jobs.result(id).await.unwrap().result, "Hello, Ann!");
        assert_eq!(inn.gate.count(), 2, "the second run was not asked");
        drop(server);
    }
}
