//! What is told of tasks: `notifications/tasks` through `subscriptions/listen`.

use smart_async::{JobRequest, job_fn};
use smart_async_tests::{BOOK, Gate, Library, SUBSCRIPTION};
use tokio::time::{Instant, sleep};

use super::*;

const TOLD: &str = "notifications/tasks";

/// What is told of a task, without what belongs to the subscription.
async fn told(wire: &mut Wire, subscription: i64) -> Value {
    let mut told = wire.told(TOLD).await;
    let meta = told.as_object_mut().unwrap().remove("_meta");
    assert_eq!(meta, Some(json!({SUBSCRIPTION: subscription})));
    told
}

/// What is told within ten seconds from now.
async fn told_meanwhile(wire: &mut Wire) -> Vec<Value> {
    sleep(Duration::from_secs(10)).await;
    wire.ask("tools/list", json!({})).await;
    wire.unseen()
}

/// `tasks/get` without what makes it an answer.
async fn got(wire: &mut Wire, task: &str) -> Value {
    let mut task = wire.get_task(task).await;
    assert_eq!(task.as_object_mut().unwrap().remove("resultType"), Some(json!("complete")));
    task
}

#[tokio::test(start_paused = true)]
async fn the_acknowledgement_comes_first_and_names_the_accepted_tasks() {
    let (mut wire, _tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    let wanted = json!({"taskIds": [task, task]});
    let subscription = wire.request("subscriptions/listen", json!({"notifications": wanted})).await;
    let first = wire.noted().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let meta = json!({SUBSCRIPTION: subscription});
    assert_eq!(first["params"], json!({"notifications": {"taskIds": [task]}, "_meta": meta}));
}

#[tokio::test(start_paused = true)]
async fn unknown_tasks_are_left_out_of_the_acknowledgement() {
    let (mut wire, _tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    let unknown = JobId::new().to_string();
    let (_, accepted) = wire.listen(json!({"taskIds": [unknown, task, "no id", ""]})).await;
    assert_eq!(accepted, json!({"taskIds": [task]}));
    let (_, accepted) = wire.listen(json!({"taskIds": [unknown]})).await;
    assert_eq!(accepted, json!({"taskIds": []}));
    assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_client_without_the_extension_is_refused_and_told_what_it_lacks() {
    let (mut wire, _tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    wire.now_with(json!({}));
    for wanted in [json!({"taskIds": [task]}), json!({"taskIds": 7})] {
        let answer = wire.ask("subscriptions/listen", json!({"notifications": wanted})).await;
        assert_eq!(answer["error"]["code"], MISSING_REQUIRED_CLIENT_CAPABILITY);
        let required = &answer["error"]["data"]["requiredCapabilities"];
        assert_eq!(*required, json!({"extensions": {TASKS: {}}}));
    }
    assert_eq!(wire.unseen(), Vec::<Value>::new(), "nothing was acknowledged");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_list_of_tasks_is_an_invalid_parameter() {
    let (mut wire, _tools, _jobs) = connected().await;
    for wanted in [json!({"taskIds": 7}), json!({"taskIds": [7]}), json!({"taskIds": {}})] {
        let answer = wire.ask("subscriptions/listen", json!({"notifications": wanted})).await;
        assert_eq!(answer["error"]["code"], INVALID_PARAMS, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_notification_is_what_tasks_get_would_answer() {
    for (tool, end) in [("make", "completed"), ("fail", "failed"), ("fail_with_text", "completed")]
    {
        let (mut wire, tools, _jobs) = connected().await;
        let task = id(&wire.task(tool, json!({})).await);
        let (subscription, _) = wire.listen(json!({"taskIds": [task]})).await;
        tools.gate.open();
        let told = told(&mut wire, subscription).await;
        assert_eq!(told["status"], end);
        assert_eq!(told, got(&mut wire, &task).await);
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new(), "nothing after the end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_is_told_of_as_it_is_being_cancelled_and_when_it_is() {
    let (mut wire, tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    let (subscription, _) = wire.listen(json!({"taskIds": [task]})).await;
    wire.result("tasks/cancel", json!({"taskId": task})).await;
    let first = told(&mut wire, subscription).await;
    assert_eq!(
        (&first["status"], &first["statusMessage"]),
        (&json!("working"), &json!("being cancelled"))
    );
    assert_eq!(told(&mut wire, subscription).await["status"], "cancelled");
    tools.over.arrived(1).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_message_is_told_at_most_once_a_second_and_nothing_else_is() {
    let (jobs, gate) = (JobManager::in_memory(), Gate::new());
    let mut wire = Wire::with_tasks(GatedTools::new().with_jobs(jobs.clone())).await;
    let walk = job_fn({
        let gate = gate.clone();
        move |job| {
            gate.arrive();
            async move {
                for step in 0.. {
                    job.progress().report(step, 1000, format!("step {step}"));
                    sleep(Duration::from_millis(100)).await;
                }
                unreachable!()
            }
        }
    });
    let task = jobs.submit(JobRequest::new("walk"), walk).await.unwrap().to_string();
    gate.arrived(1).await;
    let listen = json!({"notifications": {"taskIds": [task]}, "_meta": {"progressToken": "up"}});
    wire.request("subscriptions/listen", listen).await;
    wire.told("notifications/subscriptions/acknowledged").await;
    let told = told_meanwhile(&mut wire).await;
    assert!((5..=11).contains(&told.len()), "{}", told.len());
    for told in &told {
        assert_eq!(told["method"], TOLD, "neither progress nor messages belong here");
        assert!(told["params"]["statusMessage"].as_str().unwrap().starts_with("step "));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ended_before_anybody_listened_is_told_of_at_once() {
    let (mut wire, tools, jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    tools.gate.open();
    ended(&jobs, &task).await;
    let before = Instant::now();
    let (subscription, accepted) = wire.listen(json!({"taskIds": [task]})).await;
    assert_eq!(accepted, json!({"taskIds": [task]}));
    assert_eq!(told(&mut wire, subscription).await, got(&mut wire, &task).await);
    assert!(before.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_subscription_is_told_nothing_more_and_others_are() {
    let (mut wire, tools, _jobs) = connected().await;
    let task = id(&wire.task("make", json!({})).await);
    let (first, _) = wire.listen(json!({"taskIds": [task]})).await;
    let (second, _) = wire.listen(json!({"taskIds": [task]})).await;
    wire.note("notifications/cancelled", json!({"requestId": first})).await;
    wire.ask("tools/list", json!({})).await;
    tools.gate.open();
    assert_eq!(told(&mut wire, second).await["status"], "completed");
    assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_tasks_accepts_tasks_and_jobs_and_leaves_out_the_wrapped_servers_own() {
    let (jobs, gate, library) = (JobManager::in_memory(), Gate::new(), Library::new());
    let mut wire = Wire::with_tasks(library.clone().with_jobs(jobs.clone())).await;
    let work = job_fn({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.arrive();
                gate.opened().await;
                Ok(smart_async::job::JobOutput::new("done"))
            }
        }
    });
    let task = jobs.submit(JobRequest::new("work"), work).await.unwrap().to_string();
    gate.arrived(1).await;
    let job = format!("job://{task}");
    let unknown = format!("job://{}", JobId::new());
    let wanted = json!({
        "taskIds": [task], "resourceSubscriptions": [BOOK, job, unknown], "resourcesListChanged": true
    });
    let (subscription, accepted) = wire.listen(wanted).await;
    assert_eq!(accepted, json!({"taskIds": [task], "resourceSubscriptions": [job]}));
    library.change();
    assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
    gate.open();
    let mut methods = Vec::new();
    for _ in 0..2 {
        let told = wire.noted().await;
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION], subscription);
        methods.push(told["method"].as_str().unwrap().to_owned());
    }
    methods.sort();
    assert_eq!(methods, ["notifications/resources/updated", TOLD]);
}

#[tokio::test]
async fn a_task_that_another_process_runs_is_told_of() {
    let folder = tempfile::TempDir::new().unwrap();
    let open = async || {
        JobManager::builder().folder(folder.path()).server("gated_tools").open().await.unwrap()
    };
    let tools = GatedTools::new();
    let mut runs = Wire::with_tasks(tools.clone().with_jobs(open().await)).await;
    let task = id(&runs.task("make_always_job", json!({"what": "a chair"})).await);
    tools.gate.arrived(1).await;
    let mut looks = Wire::with_tasks(GatedTools::new().with_jobs(open().await)).await;
    let (subscription, _) = looks.listen(json!({"taskIds": [task]})).await;
    tools.gate.open();
    loop {
        let told = told(&mut looks, subscription).await;
        if told["status"] == "completed" {
            assert_eq!(told["result"]["content"][0]["text"], "a chair");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_transport_of_the_sdk_the_acknowledgement_leaves_tasks_out() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let jobs = JobManager::in_memory();
    let server = GatedTools::new().with_jobs(jobs.clone());
    tokio::spawn(async move { server.serve(far).await.unwrap().waiting().await });
    let mut wire = Wire::with_tasks_over(near).await;
    let task = id(&wire.task("make", json!({})).await);
    let (_, accepted) = wire.listen(json!({"taskIds": [task]})).await;
    assert_eq!(accepted, json!({}));
}
