//! Calls that run again after the end of their server (`restart = "rerun"`): from the arguments that the record kept, under
//! the same id, so often as they may, and by one server.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::service::RequestContext;
use rmcp::{Json, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smart_async::job::{FailureKind, JobRecord, JobState, JobStatus};
use smart_async::manager::{Cancelled, Error, Retention, WaitFor};
use smart_async::store::JournalStore;
use smart_async::{JobId, JobManager, WithJobs, smart_async};
use smart_async_tests::{Client, FaultyStore, Gate, SimulatedProcess};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(3600);

/// One run of a body.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    id: JobId,
    attempt: u32,
    what: String,
}

/// A server whose runs are counted, in all of its lives.
#[derive(Debug, Clone)]
struct Mill {
    gate: Gate,
    runs: Arc<Mutex<Vec<Run>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Grist {
    what: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Flour {
    flour: String,
}

impl Mill {
    fn new() -> Self {
        Self { gate: Gate::new(), runs: Arc::default() }
    }

    fn begin(&self, what: &str) {
        let job = smart_async::current_job().unwrap();
        let run = Run { id: job.id(), attempt: job.attempt(), what: what.to_owned() };
        self.runs.lock().unwrap().push(run);
        self.gate.arrive();
    }

    fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }
}

#[tool_router]
impl Mill {
    #[smart_async(restart = "rerun")]
    #[tool]
    async fn grind(&self, Parameters(Grist { what }): Parameters<Grist>) -> Json<Flour> {
        self.begin(&what);
        smart_async::progress().report(1, 2, "between the stones");
        self.gate.opened().await;
        Json(Flour { flour: what })
    }

    #[smart_async(restart = "rerun", coalesce, always_job)]
    #[tool]
    async fn grind_for_all(&self, Parameters(Grist { what }): Parameters<Grist>) -> String {
        self.begin(&what);
        self.gate.opened().await;
        what
    }

    #[smart_async(restart = "rerun", max_reruns = 3)]
    #[tool(name = "grind_on")]
    async fn persistently(&self) -> String {
        self.begin("persistently");
        self.gate.opened().await;
        "at last".to_owned()
    }

    #[smart_async(restart = "rerun")]
    #[tool]
    async fn consult(&self, context: RequestContext<RoleServer>) -> String {
        self.begin("consult");
        self.gate.opened().await;
        match context.peer.notify_tool_list_changed().await {
            Ok(()) => "somebody is there".to_owned(),
            Err(_) => "nobody is there".to_owned(),
        }
    }

    /// Holds its thread until the gate is open, whatever anybody says.
    #[smart_async(blocking, restart = "rerun")]
    #[tool]
    fn grind_hard(&self) -> String {
        self.begin("hard");
        tokio::runtime::Handle::current().block_on(self.gate.opened());
        "hard".to_owned()
    }

    #[smart_async]
    #[tool]
    async fn grind_once(&self) -> String {
        self.begin("once");
        self.gate.opened().await;
        "once".to_owned()
    }
}

#[tool_handler(name = "mill")]
impl ServerHandler for Mill {}

/// What became of the mill in a later version.
#[derive(Debug, Clone)]
struct WindMill;

#[derive(Debug, Deserialize, JsonSchema)]
struct Weight {
    #[expect(dead_code, reason = "asked for, and not used")]
    weight: u32,
}

#[tool_router]
impl WindMill {
    #[smart_async(restart = "rerun")]
    #[tool]
    async fn grind(&self, Parameters(_): Parameters<Weight>) -> String {
        "by weight".to_owned()
    }
}

#[tool_handler(name = "mill")]
impl ServerHandler for WindMill {}

/// One whose calls run again no more.
#[derive(Debug, Clone)]
struct WaterMill;

#[tool_router]
impl WaterMill {
    #[smart_async]
    #[tool]
    async fn grind(&self) -> String {
        "by water".to_owned()
    }
}

#[tool_handler(name = "mill")]
impl ServerHandler for WaterMill {}

async fn open(folder: &Path) -> JobManager {
    JobManager::builder().folder(folder).open().await.unwrap()
}

async fn serve(folder: &Path, server: impl ServerHandler + Clone) -> (Client, JobManager) {
    let jobs = open(folder).await;
    (serve_over(&jobs, server).await, jobs)
}

/// Serves a client that asks for something: a server that is not asked leaves what waits to others.
async fn serve_over(jobs: &JobManager, server: impl ServerHandler + Clone) -> Client {
    let client = Client::connect(server.with_jobs(jobs.clone())).await;
    client.ask("list_jobs", json!({})).await;
    client
}

/// A job whose process died while its body waited at the gate.
async fn left_behind(folder: &TempDir, mill: &Mill, tool: &'static str, arguments: Value) -> JobId {
    let process = SimulatedProcess::new();
    let (folder, mill) = (folder.path().to_owned(), mill.clone());
    let before = mill.runs().len();
    let id = process
        .run(async move {
            let (client, _jobs) = serve(&folder, mill.clone()).await;
            let mut arguments = arguments;
            arguments["async_mode"] = true.into();
            let id = client.job(tool, arguments).await;
            mill.gate.arrived(before + 1).await;
            id
        })
        .await;
    process.kill().await;
    id.parse().unwrap()
}

async fn ended(jobs: &JobManager, id: JobId) -> Arc<JobRecord> {
    let waited = jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    waited.jobs.into_iter().next().unwrap()
}

fn failure(job: &JobRecord) -> (FailureKind, String) {
    match &job.state {
        JobState::Failed { failure, .. } => (failure.kind.clone(), failure.message.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_interrupted_call_runs_again_from_its_arguments_under_its_id() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let (client, jobs) = serve(folder.path(), mill.clone()).await;
    mill.gate.arrived(2).await;
    let run = |attempt| Run { id, attempt, what: "rye".to_owned() };
    assert_eq!(mill.runs(), [run(1), run(2)]);
    mill.gate.open();
    let job = ended(&jobs, id).await;
    assert_eq!((job.status(), job.attempt), (JobStatus::Completed, 2));
    let result = client.ask("job_result", json!({"job_id": id})).await;
    assert_eq!(result["result"], json!({"flour": "rye"}));
}

#[tokio::test]
async fn who_took_a_job_on_though_the_store_said_otherwise_runs_it_once() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let store = FaultyStore::over(JournalStore::open(folder.path()).await.unwrap());
    store.doubt_next("claim");
    let jobs = JobManager::builder().with_store(store.clone());
    let _client = serve_over(&jobs, mill.clone()).await;
    mill.gate.arrived(2).await;
    mill.gate.open();
    let job = ended(&jobs, id).await;
    assert_eq!((job.status(), job.attempt), (JobStatus::Completed, 2));
    assert_eq!((mill.runs().len(), store.failures()), (2, 1));
}

#[tokio::test]
async fn a_call_that_others_share_is_shared_again_once_it_runs_again() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let rye = json!({"what": "rye"});
    let id = left_behind(&folder, &mill, "grind_for_all", rye.clone()).await;
    let (client, _jobs) = serve(folder.path(), mill.clone()).await;
    mill.gate.arrived(2).await;
    assert_eq!(client.job("grind_for_all", rye).await, id.to_string());
    assert_eq!(mill.runs().len(), 2);
}

#[tokio::test]
async fn a_crash_loop_ends() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let process = SimulatedProcess::new();
    let (path, miller) = (folder.path().to_owned(), mill.clone());
    process
        .run(async move {
            let _served = serve(&path, miller.clone()).await;
            miller.gate.arrived(2).await;
        })
        .await;
    process.kill().await;
    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    let job = jobs.status(id).await.unwrap();
    let reason = "the server that ran this job ended before the work did; it has run 2 times";
    assert_eq!(failure(&job), (FailureKind::Interrupted, reason.to_owned()));
    assert_eq!(mill.runs().len(), 2);
}

#[tokio::test]
async fn a_tool_says_how_often_it_may_run_again() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind_on", json!({})).await;
    for run in 2..=3 {
        let process = SimulatedProcess::new();
        let (path, miller) = (folder.path().to_owned(), mill.clone());
        process
            .run(async move {
                let _served = serve(&path, miller.clone()).await;
                miller.gate.arrived(run).await;
            })
            .await;
        process.kill().await;
    }
    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    mill.gate.open();
    let job = ended(&jobs, id).await;
    assert_eq!((job.status(), job.attempt), (JobStatus::Completed, 4));
}

#[tokio::test]
async fn a_tool_that_says_nothing_does_not_run_again() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind_once", json!({})).await;
    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    assert_eq!(failure(&jobs.status(id).await.unwrap()).0, FailureKind::Interrupted);
    assert_eq!(mill.runs().len(), 1);
}

#[tokio::test]
async fn a_rerun_waits_for_a_server_that_has_the_tool() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let bare = JobManager::builder().folder(folder.path()).server("mill").open().await.unwrap();
    for _ in 0..3 {
        let job = bare.status(id).await.unwrap();
        assert!(job.waits_for_server(), "{job:?}");
        assert_eq!((job.attempt, &job.progress), (2, &None));
    }
    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    mill.gate.arrived(2).await;
    mill.gate.open();
    assert_eq!(ended(&jobs, id).await.status(), JobStatus::Completed);
    assert_eq!(ended(&bare, id).await.status(), JobStatus::Completed);
}

#[tokio::test]
async fn a_job_that_waits_is_cancelled_at_once() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let bare = JobManager::builder().folder(folder.path()).server("mill").open().await.unwrap();
    let cancelled = bare.cancel(id).await.unwrap();
    assert!(matches!(cancelled, Cancelled::Stopped(_)), "{cancelled:?}");
    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    assert_eq!(jobs.status(id).await.unwrap().status(), JobStatus::Cancelled);
    assert_eq!(mill.runs().len(), 1);
}

#[tokio::test]
async fn of_two_servers_one_runs_it_again() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let (one, other) =
        tokio::join!(serve(folder.path(), mill.clone()), serve(folder.path(), mill.clone()));
    mill.gate.arrived(2).await;
    mill.gate.open();
    for (_client, jobs) in [&one, &other] {
        assert_eq!(ended(jobs, id).await.status(), JobStatus::Completed);
    }
    assert_eq!(mill.runs().len(), 2);
}

#[tokio::test]
async fn a_living_server_runs_again_what_another_one_left_when_somebody_asks() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let (client, jobs) = serve(folder.path(), mill.clone()).await;
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    assert_eq!(client.status(&id.to_string()).await["status"], "pending");
    mill.gate.arrived(2).await;
    mill.gate.open();
    assert_eq!(ended(&jobs, id).await.attempt, 2);
}

#[tokio::test]
async fn an_orderly_end_leaves_it_to_the_next_life() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let builder = || JobManager::builder().folder(folder.path()).drain_grace(Duration::ZERO);
    let jobs = builder().open().await.unwrap();
    let client = Client::connect(mill.clone().with_jobs(jobs.clone())).await;
    let id = client.job("grind", json!({"what": "rye", "async_mode": true})).await;
    mill.gate.arrived(1).await;
    jobs.shutdown().await.unwrap();
    let view = std::fs::read(folder.path().join("meta/jobs.json")).unwrap();
    let view: Value = serde_json::from_slice(&view).unwrap();
    assert_eq!(view["jobs"][0]["status"], "pending");
    assert_eq!(view["jobs"][0]["arguments"], json!({"what": "rye"}));

    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    mill.gate.arrived(2).await;
    mill.gate.open();
    assert_eq!(ended(&jobs, id.parse().unwrap()).await.status(), JobStatus::Completed);
}

#[tokio::test]
async fn arguments_are_kept_while_the_job_lives_and_shown_to_nobody() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let (client, jobs) = serve(folder.path(), mill.clone()).await;
    let arguments = json!({"what": "rye", "async_mode": true, "job_label": "bread"});
    let id = client.job("grind", arguments).await;
    mill.gate.arrived(1).await;
    let kept = |job: &JobRecord| job.spec.arguments.clone().map(Value::Object);
    let job = jobs.status(id.parse().unwrap()).await.unwrap();
    assert_eq!(kept(&job), Some(json!({"what": "rye"})));
    let shown = client.status(&id).await;
    assert!(shown.get("arguments").is_none() && shown.get("max_reruns").is_none(), "{shown}");
    mill.gate.open();
    let job = ended(&jobs, id.parse().unwrap()).await;
    assert_eq!(kept(&job), None);

    let once = client.job("grind_once", json!({"async_mode": true})).await;
    let job = ended(&jobs, once.parse().unwrap()).await;
    assert_eq!(kept(&job), None);
}

#[tokio::test]
async fn a_call_that_cannot_be_made_again_fails_and_says_why() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let (_client, jobs) = serve(folder.path(), WindMill).await;
    let job = ended(&jobs, id).await;
    let (kind, message) = failure(&job);
    assert_eq!(kind, FailureKind::Interrupted);
    assert!(
        message.contains("the call could not be made again") && message.contains("weight"),
        "{message}"
    );
}

#[tokio::test]
async fn a_rerun_that_asks_its_peer_is_refused_at_once() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "consult", json!({})).await;
    mill.gate.open();
    let (_client, jobs) = serve(folder.path(), mill.clone()).await;
    ended(&jobs, id).await;
    assert_eq!(jobs.result(id).await.unwrap().result, json!("nobody is there"));
}

#[tokio::test]
async fn a_tool_whose_calls_run_again_no_more_gives_up_what_waits() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let (_client, jobs) = serve(folder.path(), WaterMill).await;
    let job = ended(&jobs, id).await;
    let (kind, message) = failure(&job);
    assert_eq!(kind, FailureKind::Interrupted);
    assert!(message.contains("do not run again any more"), "{message}");
}

#[tokio::test]
async fn what_nobody_came_for_is_given_up_after_the_time_that_ended_jobs_are_kept() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    let builder = || JobManager::builder().folder(folder.path()).server("mill");
    let jobs = builder().open().await.unwrap();
    assert!(jobs.status(id).await.unwrap().waits_for_server());
    jobs.shutdown().await.unwrap();
    let retention = Retention::new(Duration::ZERO, 1000);
    let jobs = builder().retention(retention).open().await.unwrap();
    let job = ended(&jobs, id).await;
    assert!(failure(&job).1.contains("no server came"), "{job:?}");
}

#[tokio::test]
async fn who_waits_is_told_for_what_the_job_waits() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let id = left_behind(&folder, &mill, "grind", json!({"what": "rye"})).await;
    #[derive(Debug, Clone)]
    struct Empty;
    impl ServerHandler for Empty {}
    let jobs = JobManager::builder().folder(folder.path()).server("mill").open().await.unwrap();
    let client = Client::connect(Empty.with_jobs(jobs)).await;
    let shown = client.status(&id.to_string()).await;
    assert_eq!(shown["waits_for"], "a server in use that has the tool, to run it again");
}

/// A body that holds its thread cannot be stopped: as long as it runs, nobody is told that the work may run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_does_not_stop_with_its_server_is_not_run_again_beside_itself() {
    let (folder, mill) = (TempDir::new().unwrap(), Mill::new());
    let builder = || JobManager::builder().folder(folder.path()).drain_grace(Duration::ZERO);
    let jobs = builder().open().await.unwrap();
    let client = Client::connect(mill.clone().with_jobs(jobs.clone())).await;
    let id: JobId = client.job("grind_hard", json!({"async_mode": true})).await.parse().unwrap();
    mill.gate.arrived(1).await;
    let Err(Error::StillRunning(work)) = jobs.shutdown().await else { panic!("it does not stop") };
    assert_eq!(
        work,
        format!(
            "grind_hard (job {id}) did not stop; a blocking body must ask smart_async::is_cancelled() now and then, and return"
        )
    );
    client.leave().await;
    drop(jobs);

    let (_client, next) = serve(folder.path(), mill.clone()).await;
    assert_eq!(next.status(id).await.unwrap().status(), JobStatus::Running);
    assert_eq!(mill.runs().len(), 1);
    // It ends after all, and what it made counts.
    mill.gate.open();
    let job = ended(&next, id).await;
    assert_eq!((job.status(), job.attempt), (JobStatus::Completed, 1));
}
