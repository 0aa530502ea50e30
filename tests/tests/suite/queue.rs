//! The queue: how many runs of a tool, jobs of all and jobs of one session are under way at a time, watched from inside the bodies;
//! the order in which the others begin; and what becomes of a place in the line.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{
    JobId, JobOutput, JobQuery, JobRecord, JobSpec, JobState, JobStatus, PendingReason,
};
use smart_async::manager::{JobRequest, WaitFor, job_fn};
use smart_async::store::{JobStore, JournalStore, MemoryStore};
use smart_async::{JobManager, WithJobs, smart_async};
use smart_async_tests::{FaultyStore, Fixture, Gate, SimulatedProcess};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// A server whose bodies count themselves, and go on one by one as the test lets them. Clones are the same server.
#[derive(Debug, Clone)]
struct Yard {
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// The logs that were begun, in order.
    begun: Arc<Mutex<Vec<String>>>,
    /// Where bodies arrive when they begin.
    arrivals: Gate,
    /// Lets one body go on for each permit.
    go: Arc<Semaphore>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Log {
    #[serde(default)]
    log: String,
}

/// Counts a body until it is over, however that ends.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Yard {
    fn new() -> Self {
        Self {
            under_way: Arc::default(),
            most: Arc::default(),
            begun: Arc::default(),
            arrivals: Gate::new(),
            go: Arc::new(Semaphore::new(0)),
        }
    }

    fn begin(&self, log: &str) -> UnderWay {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.begun.lock().unwrap().push(log.to_owned());
        self.arrivals.arrive();
        UnderWay(Arc::clone(&self.under_way))
    }

    async fn work(&self, log: &str) -> String {
        let _under_way = self.begin(log);
        self.go.acquire().await.unwrap().forget();
        format!("sawn {log}")
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().clone()
    }

    /// Lets everything go on that waits or comes.
    fn open(&self) {
        self.go.add_permits(1 << 20);
    }

    /// Submits work of this name.
    async fn submit(&self, jobs: &JobManager, request: JobRequest, log: &str) -> JobId {
        let (yard, log) = (self.clone(), log.to_owned());
        let work = job_fn(move |_| {
            let (yard, log) = (yard.clone(), log.clone());
            async move { Ok(JobOutput::new(yard.work(&log).await)) }
        });
        jobs.submit(request, work).await.unwrap()
    }
}

#[tool_router]
impl Yard {
    #[smart_async(default = "20ms", max_concurrent = 2)]
    #[tool]
    async fn saw(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        self.work(&log).await
    }

    #[smart_async(max_concurrent = 1)]
    #[tool]
    async fn saw_inline(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        self.work(&log).await
    }

    #[smart_async(max_concurrent = 1, coalesce, on_disconnect = "cancel", on_cancel = "cancel")]
    #[tool]
    async fn saw_together(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        self.work(&log).await
    }

    #[smart_async(default = "20ms", max_concurrent = 1, deadline = "80ms")]
    #[tool]
    async fn saw_in_time(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        self.work(&log).await
    }

    #[smart_async(default = "20ms", max_concurrent = 1, restart = "rerun")]
    #[tool]
    async fn saw_again(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        self.work(&log).await
    }

    #[smart_async(default = "20ms", max_concurrent = 1)]
    #[tool]
    async fn break_saw(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        self.work(&log).await;
        panic!("the saw is broken");
    }

    #[smart_async(default = "20ms", max_concurrent = 1, blocking)]
    #[tool]
    fn saw_on_thread(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        let _under_way = self.begin(&log);
        let go = tokio::runtime::Handle::current().block_on(self.go.acquire());
        go.unwrap().forget();
        format!("sawn {log}")
    }

    #[smart_async(max_concurrent = 1)]
    #[tool]
    async fn saw_twice(&self, Parameters(Log { log }): Parameters<Log>) -> String {
        if log == "half" {
            return "sawn half".to_owned();
        }
        let half = Box::pin(self.saw_twice(Parameters(Log { log: "half".to_owned() })));
        half.await.into_inline().unwrap()
    }
}

#[tool_handler(router = Self::tool_router())]
impl ServerHandler for Yard {}

async fn yard_with(jobs: JobManager) -> Fixture<Yard> {
    Fixture::serve(Yard::new(), jobs).await
}

async fn yard() -> Fixture<Yard> {
    yard_with(JobManager::in_memory()).await
}

/// Waits until `holds`.
async fn until(holds: impl AsyncFn() -> bool) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_queued(fixture: &Fixture<Yard>, id: &str) -> bool {
    fixture.client.status(id).await["waits_for"].is_string()
}

fn log(log: &str) -> Value {
    json!({"log": log})
}

#[tokio::test]
async fn calls_beyond_the_limit_of_their_tool_wait_and_say_their_place() {
    let fixture = yard().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let ticket = fixture.client.ask("saw", log(name)).await;
        ids.push(ticket["job_id"].as_str().unwrap().to_owned());
        let message = ticket["message"].as_str().unwrap().to_owned();
        let (status, said) = match name {
            "a" | "b" => ("running", "Task exceeded 20ms time budget"),
            "c" => ("pending", "Task not begun: saw runs 2 at a time; it is number 1 in the queue"),
            _ => ("pending", "Task not begun: saw runs 2 at a time; it is number 2 in the queue"),
        };
        assert_eq!(ticket["status"], status, "{ticket}");
        assert!(message.starts_with(said), "{message}");
    }
    let waiting = fixture.client.status(&ids[3]).await;
    assert_eq!(waiting["waits_for"], "a free slot: place 2 in the queue");
    fixture.tools.go.add_permits(1);
    fixture.tools.arrivals.arrived(3).await;
    until(async || fixture.client.status(&ids[2]).await["status"] == "running").await;
    let waiting = fixture.client.status(&ids[3]).await;
    assert_eq!(waiting["waits_for"], "a free slot: place 1 in the queue");
    fixture.tools.open();
    for (id, name) in ids.iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(fixture.wait(id).await["result"], format!("sawn {name}"));
    }
    assert_eq!(fixture.tools.most(), 2);
    assert_eq!(fixture.tools.begun(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_call_that_ends_inline_leaves_nothing_behind_and_is_in_no_list_meanwhile() {
    let fixture = yard().await;
    let first = fixture.client.send("saw_inline", log("a")).await;
    fixture.tools.arrivals.arrived(1).await;
    let second = fixture.client.send("saw_inline", log("b")).await;
    let stored = async || {
        let mut all = JobQuery::default();
        all.with_open_calls = true;
        fixture.jobs.list(all).await.unwrap().jobs
    };
    until(async || stored().await.len() == 2).await;
    assert_eq!(fixture.total().await, 0);
    let id = stored().await[0].id;
    let unknown = fixture.client.complaint("job_status", json!({"job_id": id})).await;
    assert!(unknown.contains("not found"), "{unknown}");
    fixture.tools.open();
    for answer in [first, second] {
        answer.await_response().await.unwrap();
    }
    assert_eq!((fixture.tools.most(), fixture.tools.begun().len()), (1, 2));
    until(async || stored().await.is_empty()).await;
}

#[tokio::test]
async fn explicit_jobs_go_by_the_limits_on_all_and_on_those_of_a_session() {
    let jobs =
        JobManager::builder().max_concurrent_jobs(3).max_concurrent_jobs_per_session(2).in_memory();
    let yard = Yard::new();
    let mut ids = Vec::new();
    for (name, session) in [("a", "s"), ("b", "s"), ("c", "s"), ("d", ""), ("e", "t"), ("f", "")] {
        let request = JobRequest::new("saw");
        let request = match session {
            "" => request,
            session => request.session(session),
        };
        ids.push(yard.submit(&jobs, request, name).await);
    }
    yard.arrivals.arrived(3).await;
    until(async || jobs.status(ids[4]).await.unwrap().waits_for_slot()).await;
    let mut begun = yard.begun();
    begun.sort();
    assert_eq!(begun, ["a", "b", "d"], "the third of the session waits, and lets others go first");
    yard.open();
    jobs.wait(&ids, WaitFor::all(), Duration::MAX).await.unwrap();
    assert_eq!(yard.most(), 3);
}

#[tokio::test]
async fn an_ordinary_call_never_waits_behind_explicit_jobs() {
    let jobs = JobManager::builder().max_concurrent_jobs(1).in_memory();
    let fixture = Fixture::with_manager(jobs).await;
    let one = fixture.client.job("make", json!({"async_mode": true})).await;
    fixture.tools.gate.arrived(1).await;
    let other = fixture.client.job("make", json!({"async_mode": true, "what": "b"})).await;
    let call = fixture.client.send("make", json!({"what": "c"})).await;
    fixture.tools.gate.arrived(2).await;
    assert_eq!(fixture.client.status(&other).await["status"], "pending");
    fixture.tools.gate.open();
    call.await_response().await.unwrap();
    for id in [one, other] {
        assert_eq!(fixture.wait(&id).await["status"], "completed");
    }
}

#[tokio::test]
async fn the_urgent_begin_first_whoever_says_so() {
    let jobs = JobManager::builder().max_concurrent_jobs(1).in_memory();
    let tools = Yard::new();
    let server = tools.clone().with_jobs(jobs.clone()).prioritize_jobs();
    let client = smart_async_tests::Client::connect(server).await;
    let mut ids = vec![tools.submit(&jobs, JobRequest::new("saw"), "first").await];
    tools.arrivals.arrived(1).await;
    ids.push(tools.submit(&jobs, JobRequest::new("saw").priority(1), "patient").await);
    ids.push(tools.submit(&jobs, JobRequest::new("saw"), "usual").await);
    ids.push(tools.submit(&jobs, JobRequest::new("saw").priority(9), "urgent").await);
    let most = json!({"log": "most urgent", "async_mode": true, "job_priority": "10"});
    ids.push(client.job("saw", most).await.parse().unwrap());
    let refused = client.complaint("saw", json!({"async_mode": true, "job_priority": 11})).await;
    assert!(refused.contains("job_priority: must be a whole number from 1 to 10"), "{refused}");
    tools.open();
    jobs.wait(&ids, WaitFor::all(), Duration::MAX).await.unwrap();
    assert_eq!(tools.begun(), ["first", "most urgent", "urgent", "usual", "patient"]);
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_waits_never_begins() {
    let fixture = yard().await;
    let running = fixture.client.job("saw_again", log("a")).await;
    let queued = fixture.client.job("saw_again", log("b")).await;
    let last = fixture.client.job("saw_again", log("c")).await;
    let answer = fixture.client.ask("cancel_job", json!({"job_id": queued})).await;
    assert_eq!(answer["status"], "cancelled");
    fixture.tools.open();
    for id in [running, last] {
        assert_eq!(fixture.wait(&id).await["status"], "completed");
    }
    assert_eq!(fixture.tools.begun(), ["a", "c"]);
}

#[tokio::test]
async fn a_slot_comes_back_however_the_work_ends() {
    let fixture = yard().await;
    for tool in ["break_saw", "saw_on_thread"] {
        let one = fixture.client.job(tool, log("a")).await;
        let other = fixture.client.job(tool, log("b")).await;
        assert!(is_queued(&fixture, &other).await);
        fixture.tools.go.add_permits(1);
        assert_eq!(fixture.wait(&one).await["terminal"], true);
        until(async || fixture.client.status(&other).await["status"] == "running").await;
        fixture.tools.go.add_permits(1);
        assert_eq!(fixture.wait(&other).await["terminal"], true);
    }
    let one = fixture.client.job("saw_again", log("a")).await;
    let other = fixture.client.job("saw_again", log("b")).await;
    fixture.client.ask("cancel_job", json!({"job_id": one})).await;
    until(async || fixture.client.status(&other).await["status"] == "running").await;
    assert_eq!(fixture.tools.most(), 1);
}

#[tokio::test]
async fn the_last_caller_of_a_shared_call_that_waits_takes_its_place_along() {
    let fixture = yard().await;
    let running = fixture.client.send("saw_together", log("a")).await;
    fixture.tools.arrivals.arrived(1).await;
    let stored = async || {
        let mut all = JobQuery::default();
        all.with_open_calls = true;
        let jobs = fixture.jobs.list(all).await.unwrap().jobs;
        jobs.iter().filter(|job| !job.status().is_terminal()).count()
    };
    let one = fixture.client.send("saw_together", log("b")).await;
    let same = fixture.client.send("saw_together", log("b")).await;
    until(async || stored().await == 2).await;
    one.cancel(Some("enough".to_owned())).await.unwrap();
    same.cancel(Some("enough".to_owned())).await.unwrap();
    until(async || stored().await == 1).await;
    fixture.tools.open();
    running.await_response().await.unwrap();
    assert_eq!(fixture.tools.begun(), ["a"]);
    assert_eq!(fixture.only_job_ended().await["status"], "cancelled");
}

#[tokio::test]
async fn the_wait_for_a_slot_counts_for_the_budget_and_not_for_the_deadline() {
    let fixture = yard().await;
    let one = fixture.client.job("saw_in_time", log("a")).await;
    let other = fixture.client.job("saw_in_time", log("b")).await;
    assert_eq!(fixture.client.status(&other).await["status"], "pending", "its budget is over");
    assert_eq!(fixture.wait(&one).await["error_kind"], "deadline");
    // The other one has waited for longer than its deadline by now.
    fixture.tools.arrivals.arrived(2).await;
    fixture.tools.open();
    assert_eq!(fixture.wait(&other).await["status"], "completed");
}

#[tokio::test]
async fn a_call_from_within_its_own_slot_needs_no_other() {
    let fixture = yard().await;
    let answer = fixture.client.call("saw_twice", log("whole")).await;
    assert_eq!(answer.content[0].as_text().unwrap().text, "sawn half");
}

#[tokio::test]
async fn while_the_store_fails_the_limit_of_a_tool_holds_in_the_process() {
    let store = FaultyStore::working();
    let fixture = yard_with(JobManager::builder().with_store(store.clone())).await;
    store.set_broken(true);
    let mut calls = Vec::new();
    for name in ["a", "b", "c"] {
        calls.push(fixture.client.send("saw_inline", log(name)).await);
    }
    fixture.tools.arrivals.arrived(1).await;
    fixture.tools.open();
    for call in calls {
        call.await_response().await.unwrap();
    }
    assert_eq!((fixture.tools.most(), fixture.tools.begun().len()), (1, 3));
}

#[tokio::test]
async fn limits_hold_for_all_processes_that_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let open = async || {
        let store = JournalStore::open(folder.path()).await.unwrap();
        JobManager::builder().server("yard").max_concurrent_jobs(2).with_store(store)
    };
    let (one, other) = (open().await, open().await);
    let yard = Yard::new();
    let mut ids = Vec::new();
    for number in 0..12 {
        let jobs = if number % 2 == 0 { &one } else { &other };
        ids.push(yard.submit(jobs, JobRequest::new("saw"), &number.to_string()).await);
    }
    for begun in 2..=12 {
        yard.arrivals.arrived(begun).await;
        assert_eq!(yard.most(), 2);
        yard.go.add_permits(1);
    }
    yard.open();
    one.wait(&ids, WaitFor::all(), Duration::MAX).await.unwrap();
    assert_eq!((yard.most(), yard.begun().len()), (2, 12));
}

#[tokio::test]
async fn the_slots_of_a_process_that_was_killed_come_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let open = async move || {
        let store = JournalStore::open(path).await.unwrap();
        JobManager::builder().server("yard").max_concurrent_jobs(1).with_store(store)
    };
    let yard = Yard::new();
    let process = SimulatedProcess::new();
    let killed = {
        let (yard, open) = (yard.clone(), open.clone());
        process
            .run(async move {
                let jobs = open().await;
                yard.submit(&jobs, JobRequest::new("saw"), "a").await;
                yard.arrivals.arrived(1).await;
                jobs
            })
            .await
    };
    let jobs = open().await;
    let id = yard.submit(&jobs, JobRequest::new("saw"), "b").await;
    until(async || jobs.status(id).await.unwrap().waits_for_slot()).await;
    drop(killed);
    process.kill().await;
    yard.arrivals.arrived(2).await;
    yard.open();
    jobs.wait(&[id], WaitFor::all(), Duration::MAX).await.unwrap();
}

#[tokio::test]
async fn at_the_end_of_the_server_queued_jobs_wait_for_the_next_one_where_they_may() {
    let fixture = yard().await;
    let mut ids = Vec::new();
    for (tool, name) in [("saw_again", "a"), ("saw_again", "b"), ("saw_in_time", "c")] {
        ids.push(fixture.client.job(tool, log(name)).await);
    }
    let submitted = fixture.client.job("saw_in_time", log("d")).await;
    fixture.jobs.shutdown().await.unwrap();
    let status = async |id: &str| fixture.jobs.jobs().status(id.parse().unwrap()).await.unwrap();
    for id in &ids[..2] {
        let job = status(id).await;
        assert!(job.waits_for_server(), "{job:?}");
        assert_eq!(job.false_starts, 0, "it was not about to begin");
    }
    let job = status(&submitted).await;
    assert_eq!(job.status(), JobStatus::Failed);
    assert_eq!(job.to_json()["error_kind"], "interrupted");
}

#[tokio::test]
async fn a_process_that_leaves_its_slot_unused_holds_the_others_up_for_a_moment_only() {
    let folder = TempDir::new().unwrap();
    let idle = JournalStore::open(folder.path()).await.unwrap();
    // A queued job of a living process that never claims.
    let mut queued = JobRecord::new(JobId::new(), JobSpec::new("saw", "yard", idle.now()));
    queued.spec_mut().explicit = true;
    queued.state = JobState::Pending { reason: PendingReason::Queued };
    queued.owner = Some(idle.owner());
    idle.insert(queued).await.unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let jobs = JobManager::builder().server("yard").max_concurrent_jobs(1).with_store(store);
    let yard = Yard::new();
    yard.submit(&jobs, JobRequest::new("saw"), "b").await;
    yard.arrivals.arrived(1).await;
}

#[tokio::test]
async fn a_rerun_waits_neither_for_the_dead_of_other_servers_nor_for_a_slot_that_is_left_unused() {
    let folder = TempDir::new().unwrap();
    let open = async || JournalStore::open(folder.path()).await.unwrap();
    let record = |store: &JournalStore, tool: &str, server: &str, state: JobState| {
        let mut job = JobRecord::new(JobId::new(), JobSpec::new(tool, server, store.now()));
        job.spec_mut().explicit = true;
        (job.owner, job.state) = (Some(store.owner()), state);
        job
    };
    let dying = open().await;
    let running = JobState::Running { started_at: dying.now() };
    dying.insert(record(&dying, "saw", "elsewhere", running)).await.unwrap();
    drop(dying);
    let idle = open().await;
    let queued = JobState::Pending { reason: PendingReason::Queued };
    idle.insert(record(&idle, "saw", "yard", queued)).await.unwrap();
    let waiting = JobState::Pending { reason: PendingReason::WaitingForServer };
    let mut rerun = record(&idle, "saw_again", "yard", waiting);
    rerun.owner = None;
    rerun.spec_mut().max_reruns = Some(1);
    rerun.spec_mut().arguments = Some(serde_json::Map::new());
    idle.insert(rerun).await.unwrap();

    let jobs = JobManager::builder().server("yard").max_concurrent_jobs(1);
    let fixture = yard_with(jobs.with_store(open().await)).await;
    // From now on the server is in use.
    let metrics = fixture.client.ask("job_metrics", json!({})).await;
    assert_eq!(metrics["slots"]["jobs"]["limit"], 1);
    fixture.tools.arrivals.arrived(1).await;
}

#[tokio::test]
async fn a_thousand_jobs_at_once_run_once_each_and_never_more_than_the_limit() {
    let store = MemoryStore::new();
    let jobs = JobManager::builder().with_store(store);
    let yard = Yard::new();
    yard.open();
    let submits = (0..1000).map(|number| {
        let (yard, jobs) = (yard.clone(), jobs.clone());
        async move { yard.submit(&jobs, JobRequest::new("saw"), &number.to_string()).await }
    });
    let ids = futures_util::future::join_all(submits).await;
    for ids in ids.chunks(100) {
        jobs.wait(ids, WaitFor::all(), Duration::MAX).await.unwrap();
    }
    let mut begun = yard.begun();
    begun.sort();
    begun.dedup();
    assert_eq!(begun.len(), 1000);
    assert!(yard.most() <= 10, "{}", yard.most());
}
