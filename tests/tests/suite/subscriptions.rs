//! Who is told when a job changes, in both eras, as it stands on the wire. What is told of tasks is in `tasks`.

use std::time::Duration;

use serde_json::{Value, json};
use smart_async::manager::WaitFor;
use smart_async::{Job, JobId, JobManager, JobRequest, WithJobs, job_fn};
use smart_async_tests::{BOOK, Gate, GatedTools, Library, SUBSCRIPTION, Wire};
use tokio::time::{Instant, sleep};

const LONG: Duration = Duration::from_secs(3600);
const METHOD_NOT_FOUND: i64 = -32601;
const UPDATED: &str = "notifications/resources/updated";

/// A job that waits at a gate, and reports every tenth of a second meanwhile, where it is told to.
fn walk(gate: &Gate, reports: bool) -> impl Job + use<> {
    let gate = gate.clone();
    job_fn(move |job| {
        let gate = gate.clone();
        async move {
            gate.arrive();
            let mut step = 0;
            loop {
                tokio::select! {
                    () = gate.opened() => return Ok(smart_async::job::JobOutput::new("there")),
                    () = sleep(Duration::from_millis(100)), if reports => {}
                }
                step += 1;
                job.progress().report(step, 1000, "walking");
            }
        }
    })
}

async fn begun(jobs: &JobManager, gate: &Gate, reports: bool) -> JobId {
    let id = jobs.submit(JobRequest::new("walk"), walk(gate, reports)).await.unwrap();
    gate.arrived(1).await;
    while jobs.status(id).await.unwrap().status() != smart_async::JobStatus::Running {
        tokio::task::yield_now().await;
    }
    id
}

fn uri(id: JobId) -> String {
    format!("job://{id}")
}

async fn subscribe(wire: &mut Wire, uri: &str) {
    assert_eq!(wire.result("resources/subscribe", json!({"uri": uri})).await, json!({}));
}

/// What is told within ten seconds from now.
async fn told_meanwhile(wire: &mut Wire) -> Vec<Value> {
    sleep(Duration::from_secs(10)).await;
    wire.ask("tools/list", json!({})).await;
    wire.unseen()
}

mod up_to_2025_11_25 {
    use super::*;

    async fn wire(jobs: &JobManager) -> Wire {
        Wire::initialize(Library::new().with_jobs(jobs.clone()), json!({})).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_is_told_once_when_the_job_ends() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, false).await;
        subscribe(&mut wire, &uri(id)).await;
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new(), "nothing has changed");
        gate.open();
        assert_eq!(wire.noted().await["params"], json!({"uri": uri(id)}));
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_at_most_once_a_second() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, true).await;
        subscribe(&mut wire, &uri(id)).await;
        let told = told_meanwhile(&mut wire).await;
        assert!((5..=10).contains(&told.len()), "{}", told.len());
        assert!(told.iter().all(|told| told["method"] == UPDATED));
        gate.open();
        let before = Instant::now();
        wire.told(UPDATED).await;
        assert!(before.elapsed() < Duration::from_secs(1), "the end waits for no second");
    }

    #[tokio::test(start_paused = true)]
    async fn the_result_is_told_of_when_it_is_there_and_not_before() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, true).await;
        let result = format!("{}/result", uri(id));
        subscribe(&mut wire, &result).await;
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
        gate.open();
        assert_eq!(wire.told(UPDATED).await["uri"], result);
        let read = wire.result("resources/read", json!({"uri": result})).await;
        assert_eq!(read["contents"][0]["text"], "there");
    }

    #[tokio::test(start_paused = true)]
    async fn who_unsubscribes_is_told_nothing_more() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, true).await;
        for uri in [uri(id), format!("{}/result", uri(id))] {
            subscribe(&mut wire, &uri).await;
            assert_eq!(wire.result("resources/unsubscribe", json!({"uri": uri})).await, json!({}));
        }
        wire.unseen();
        gate.open();
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
        let unknown = json!({"uri": uri(JobId::new())});
        assert_eq!(wire.result("resources/unsubscribe", unknown).await, json!({}));
    }

    #[tokio::test(start_paused = true)]
    async fn subscriptions_are_of_one_connection() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let server = Library::new().with_jobs(jobs.clone());
        let mut one = Wire::initialize(server.clone(), json!({})).await;
        let mut other = Wire::initialize(server, json!({})).await;
        let id = begun(&jobs, &gate, false).await;
        subscribe(&mut one, &uri(id)).await;
        subscribe(&mut one, &uri(id)).await;
        gate.open();
        one.told(UPDATED).await;
        assert_eq!(
            told_meanwhile(&mut one).await,
            Vec::<Value>::new(),
            "told twice for one subscription"
        );
        assert_eq!(told_meanwhile(&mut other).await, Vec::<Value>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_ends_with_its_connection() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn({
            let server = Library::new().with_jobs(jobs.clone());
            async move { server.serve(far).await.unwrap() }
        });
        let mut wire = Wire::over(near).await;
        // Somebody holds on to the service for longer than the connection lives.
        let running = server.await.unwrap();
        let id = begun(&jobs, &gate, true).await;
        subscribe(&mut wire, &uri(id)).await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let with_subscription = tasks();
        drop(wire);
        sleep(Duration::from_secs(10)).await;
        assert!(tasks() < with_subscription - 1, "{} of {with_subscription} tasks", tasks());
        drop(running);
    }

    #[tokio::test(start_paused = true)]
    async fn every_other_resource_is_the_wrapped_servers_to_tell_of() {
        let library = Library::new();
        let mut wire =
            Wire::initialize(library.clone().with_jobs(JobManager::in_memory()), json!({})).await;
        subscribe(&mut wire, BOOK).await;
        library.change();
        assert_eq!(wire.told(UPDATED).await, json!({"uri": BOOK}));
        wire.result("resources/unsubscribe", json!({"uri": BOOK})).await;
        assert!(library.subscribed.lock().unwrap().is_empty());
        let mut wire =
            Wire::initialize(GatedTools::new().with_jobs(JobManager::in_memory()), json!({})).await;
        let answer = wire.ask("resources/subscribe", json!({"uri": BOOK})).await;
        assert_eq!(answer["error"]["code"], METHOD_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_job_that_another_process_runs_is_told_of() {
        let folder = tempfile::TempDir::new().unwrap();
        let open = async || {
            JobManager::builder().folder(folder.path()).server("walker").open().await.unwrap()
        };
        let (runs, looks, gate) = (open().await, open().await, Gate::new());
        let id = begun(&runs, &gate, false).await;
        let mut wire = wire(&looks).await;
        subscribe(&mut wire, &uri(id)).await;
        gate.open();
        assert_eq!(wire.told(UPDATED).await, json!({"uri": uri(id)}));
        let read = wire.result("resources/read", json!({"uri": uri(id)})).await;
        assert!(read["contents"][0]["text"].as_str().unwrap().contains("completed"));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_listening() {
        let mut wire = wire(&JobManager::in_memory()).await;
        for filter in [json!({"resourceSubscriptions": [BOOK]}), json!({"taskIds": []})] {
            let answer = wire.ask("subscriptions/listen", json!({"notifications": filter})).await;
            assert_eq!(answer["error"]["code"], METHOD_NOT_FOUND, "{answer}");
        }
    }
}

mod from_2026_07_28 {
    use super::*;

    async fn wire(jobs: &JobManager) -> Wire {
        Wire::discover(Library::new().with_jobs(jobs.clone()), json!({})).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_is_told_of_its_jobs_under_the_id_of_its_subscription() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, false).await;
        let filter = json!({"resourceSubscriptions": [uri(id), format!("{}/result", uri(id))]});
        let (subscription, accepted) = wire.listen(filter.clone()).await;
        assert_eq!(accepted, filter);
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
        gate.open();
        for uri in [uri(id), format!("{}/result", uri(id))] {
            let told = wire.told(UPDATED).await;
            assert_eq!(told, json!({"uri": uri, "_meta": {SUBSCRIPTION: subscription}}));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wrapped_server_tells_of_its_own_on_the_same_stream() {
        let (jobs, gate, library) = (JobManager::in_memory(), Gate::new(), Library::new());
        let mut wire = Wire::discover(library.clone().with_jobs(jobs.clone()), json!({})).await;
        let id = begun(&jobs, &gate, false).await;
        let filter =
            json!({"resourceSubscriptions": [BOOK, uri(id)], "resourcesListChanged": true});
        let (subscription, accepted) = wire.listen(filter.clone()).await;
        assert_eq!(accepted, filter);
        sleep(Duration::from_secs(1)).await;
        library.change();
        assert_eq!(wire.told(UPDATED).await["uri"], BOOK);
        gate.open();
        assert_eq!(
            wire.told(UPDATED).await,
            json!({"uri": uri(id), "_meta": {SUBSCRIPTION: subscription}})
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_wrapped_server_does_not_serve_is_left_out_of_the_acknowledgement() {
        let jobs = JobManager::in_memory();
        let mut wire = Wire::discover(GatedTools::new().with_jobs(jobs.clone()), json!({})).await;
        let job = uri(begun(&jobs, &Gate::new(), false).await);
        let filter = json!({"resourceSubscriptions": [BOOK, job], "toolsListChanged": true, "resourcesListChanged": true});
        let (_, accepted) = wire.listen(filter).await;
        assert_eq!(accepted, json!({"resourceSubscriptions": [job]}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_ended_before_anybody_listened_is_told_of_at_once() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, false).await;
        gate.open();
        jobs.wait(&[id], WaitFor::all(), LONG).await.unwrap();
        wire.listen(json!({"resourceSubscriptions": [uri(id)]})).await;
        assert_eq!(wire.told(UPDATED).await["uri"], uri(id));
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_subscription_is_told_nothing_more_and_the_next_one_is() {
        let (jobs, gate) = (JobManager::in_memory(), Gate::new());
        let mut wire = wire(&jobs).await;
        let id = begun(&jobs, &gate, true).await;
        let (first, _) = wire.listen(json!({"resourceSubscriptions": [uri(id)]})).await;
        wire.told(UPDATED).await;
        wire.note("notifications/cancelled", json!({"requestId": first})).await;
        wire.ask("tools/list", json!({})).await;
        wire.unseen();
        assert_eq!(told_meanwhile(&mut wire).await, Vec::<Value>::new());
        let (second, _) = wire.listen(json!({"resourceSubscriptions": [uri(id)]})).await;
        assert_eq!(wire.told(UPDATED).await["_meta"][SUBSCRIPTION], second);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_subscribing() {
        let jobs = JobManager::in_memory();
        let mut wire = wire(&jobs).await;
        let job = uri(begun(&jobs, &Gate::new(), false).await);
        for method in ["resources/subscribe", "resources/unsubscribe"] {
            let answer = wire.ask(method, json!({"uri": job})).await;
            assert_eq!(answer["error"]["code"], METHOD_NOT_FOUND);
        }
    }
}
