//! State: what a job completes with goes into the slot that its tool names, once, whatever comes in between.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smart_async::job::{JobId, JobOutput, JobQuery, Prune, StateName};
use smart_async::manager::{State, WaitFor};
use smart_async::{JobManager, JobRequest, JobStatus, Reply, job_fn, smart_async};
use smart_async_tests::{FaultyStore, Fixture, Gate, stepping_clock};
use tempfile::TempDir;

/// A server that forecasts what it is told to, once its gate is open.
#[derive(Clone)]
struct Observatory {
    gate: Gate,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Order {
    sky: Value,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, JsonSchema)]
struct Forecast {
    sky: Value,
}

#[tool_router]
impl Observatory {
    async fn look(&self) {
        self.gate.arrive();
        self.gate.opened().await;
    }

    /// Forecast.
    #[smart_async(default = 5, state = "forecast")]
    #[tool]
    async fn forecast(&self, Parameters(order): Parameters<Order>) -> Json<Forecast> {
        self.look().await;
        Json(Forecast { sky: order.sky })
    }

    /// Forecast, of which a part is kept whose name has to be spelled out.
    #[smart_async(default = 5, state = "sky", pointer = "/sky/north~1south/a~0b/1")]
    #[tool]
    async fn forecast_part(&self, Parameters(order): Parameters<Order>) -> Json<Forecast> {
        self.look().await;
        Json(Forecast { sky: order.sky })
    }

    /// Fail to forecast.
    #[smart_async(default = 5, state = "forecast")]
    #[tool]
    async fn fail(&self) -> Result<Json<Forecast>, String> {
        self.look().await;
        Err("it is foggy".to_owned())
    }

    /// Forecast nothing that anybody keeps.
    #[smart_async(default = 5)]
    #[tool]
    async fn glance(&self) -> String {
        self.look().await;
        "clouds".to_owned()
    }
}

#[tool_handler(name = "observatory")]
impl ServerHandler for Observatory {}

async fn observatory_with(jobs: JobManager) -> Fixture<Observatory> {
    Fixture::serve(Observatory { gate: Gate::new() }, jobs).await
}

async fn observatory() -> Fixture<Observatory> {
    observatory_with(JobManager::builder().clock(stepping_clock()).in_memory()).await
}

fn sunny() -> Value {
    json!({"sky": "sunny"})
}

fn forecast(jobs: &JobManager) -> State<Value> {
    jobs.state("forecast").unwrap()
}

async fn standing(jobs: &JobManager) -> Option<Value> {
    forecast(jobs).get().await.unwrap().map(|value| (*value).clone())
}

/// A manager over the folder, as the server has one.
async fn over(folder: &Path) -> JobManager {
    JobManager::builder().folder(folder).server("observatory").open().await.unwrap()
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("state/forecast.json")
}

fn milliseconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_fills_its_state_when_it_completes() {
    let fixture = observatory().await;
    let state = fixture.jobs.state::<Forecast>("forecast").unwrap();
    let id = fixture.client.job("forecast", sunny()).await;
    assert_eq!(state.get().await.unwrap(), None);
    fixture.tools.gate.open();
    assert_eq!(fixture.wait(&id).await["status"], "completed");
    assert_eq!(*state.get().await.unwrap().unwrap(), Forecast { sky: json!("sunny") });
}

#[tokio::test(start_paused = true)]
async fn whoever_is_told_of_the_end_finds_the_state() {
    let fixture = observatory().await;
    let id = fixture.client.job("forecast", sunny()).await;
    let mut changes = fixture.jobs.subscribe();
    fixture.tools.gate.open();
    loop {
        let change = changes.recv().await.unwrap();
        if change.id.to_string() == id && change.status == JobStatus::Completed {
            break;
        }
    }
    // Looked at without a pause.
    let state = fixture.jobs.store().state(StateName::new("forecast").unwrap()).await.unwrap();
    assert_eq!(state.unwrap().value, sunny());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_inline_fills_its_state_before_its_answer() {
    let fixture = observatory().await;
    fixture.tools.gate.open();
    assert_eq!(fixture.client.ask("forecast", sunny()).await, sunny());
    let state = fixture.jobs.store().state(StateName::new("forecast").unwrap()).await.unwrap();
    let state = state.unwrap();
    assert_eq!((&*state.server, &*state.tool, &state.value), ("observatory", "forecast", &sunny()));
    assert_eq!(fixture.total().await, 0, "it became no job");
    fixture.client.ask("forecast", json!({"sky": "rainy"})).await;
    assert_eq!(standing(&fixture.jobs).await, Some(json!({"sky": "rainy"})));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_arrives_while_the_record_is_written_fills_the_state_once() {
    let written = Gate::new();
    let store = FaultyStore::slow(written.clone());
    let jobs = JobManager::builder().server("observatory").with_store(store.clone());
    let fixture = observatory_with(jobs).await;
    let call = fixture.client.send("forecast", sunny()).await;
    written.arrived(1).await;
    fixture.tools.gate.open();
    let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"], sunny());
    assert_eq!(standing(&fixture.jobs).await, Some(sunny()));
    written.open();
    while store.count().await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(standing(&fixture.jobs).await, Some(sunny()));
}

#[tokio::test(start_paused = true)]
async fn work_whose_caller_has_left_fills_its_state() {
    let fixture = observatory().await;
    let call = fixture.client.send("forecast", sunny()).await;
    fixture.tools.gate.arrived(1).await;
    call.cancel(Some("request timeout".to_owned())).await.unwrap();
    while fixture.total().await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fixture.tools.gate.open();
    while standing(&fixture.jobs).await.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(standing(&fixture.jobs).await, Some(sunny()));
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_names_no_state_leaves_it_as_it_was() {
    let fixture = observatory().await;
    fixture.tools.gate.open();
    fixture.client.ask("forecast", sunny()).await;
    for tool in ["fail", "glance"] {
        fixture.client.call(tool, json!({})).await;
        let id = fixture.client.job(tool, json!({"async_mode": true})).await;
        fixture.wait(&id).await;
        assert_eq!(standing(&fixture.jobs).await, Some(sunny()), "{tool}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pointer_names_the_part_that_is_kept() {
    let fixture = observatory().await;
    fixture.tools.gate.open();
    let sky = json!({"sky": {"north/south": {"a~b": ["clear", "cloudy"]}}});
    let cloudy = fixture.jobs.state::<String>("sky").unwrap();
    fixture.client.ask("forecast_part", sky.clone()).await;
    assert_eq!(*cloudy.get().await.unwrap().unwrap(), "cloudy");
    // The same as a job, and then one that has no such part: it completes all the same.
    for (sky, kept) in [
        (json!({"north/south": {"a~b": [1, "starry"]}}), "starry"),
        (json!({"north/south": {"a~b": ["only one"]}}), "starry"),
    ] {
        let id = fixture.client.job("forecast_part", json!({"sky": sky, "async_mode": true})).await;
        let job = fixture.wait(&id).await;
        assert_eq!((&job["status"], &job["result"]["sky"]), (&json!("completed"), &sky));
        assert_eq!(*cloudy.get().await.unwrap().unwrap(), kept);
    }
    let answer = fixture.client.ask("forecast_part", json!({"sky": "none"})).await;
    assert_eq!(answer["sky"], "none", "a call answers as ever, too");
    assert_eq!(*cloudy.get().await.unwrap().unwrap(), "starry");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_holds_no_inline_call_up_and_is_tried_again() {
    let store = FaultyStore::working();
    let fixture =
        observatory_with(JobManager::builder().server("observatory").with_store(store.clone()))
            .await;
    store.set_states_broken(true);
    fixture.tools.gate.open();
    let rainy = json!({"sky": "rainy"});
    assert_eq!(fixture.client.ask("forecast", rainy.clone()).await, rainy);
    assert_eq!(standing(&fixture.jobs).await, None);
    assert!(fixture.jobs.health().store_error.is_some());
    store.set_states_broken(false);
    while standing(&fixture.jobs).await != Some(rainy.clone()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.failures() >= 1);
}

/// The store says that the end failed, and has taken it all the same.
#[tokio::test(start_paused = true)]
async fn an_end_that_was_in_doubt_is_announced_and_fills_its_state() {
    let store = FaultyStore::working();
    let fixture =
        observatory_with(JobManager::builder().server("observatory").with_store(store.clone()))
            .await;
    let id = fixture.client.job("forecast", sunny()).await;
    let mut changes = fixture.jobs.subscribe();
    store.doubt_next("complete");
    fixture.tools.gate.open();
    while changes.recv().await.unwrap().status != JobStatus::Completed {}
    assert_eq!(standing(&fixture.jobs).await, Some(sunny()));
    assert_eq!(fixture.wait(&id).await["status"], "completed");
    assert_eq!(store.failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_completions_the_later_one_stands_though_it_is_put_first() {
    let store = FaultyStore::working();
    let fixture =
        observatory_with(JobManager::builder().server("observatory").with_store(store.clone()))
            .await;
    fixture.tools.gate.open();
    let held = Gate::new();
    store.hold_next_state(held.clone());
    let first = fixture.client.send("forecast", json!({"sky": "old"})).await;
    held.arrived(1).await;
    // The next one ends in a later millisecond.
    let ended = milliseconds();
    while milliseconds() <= ended {}
    let second = json!({"sky": "new", "async_mode": true});
    let second = fixture.client.job("forecast", second).await;
    assert_eq!(fixture.wait(&second).await["status"], "completed");
    assert_eq!(standing(&fixture.jobs).await, Some(json!({"sky": "new"})));
    held.open();
    first.await_response().await.unwrap();
    assert_eq!(standing(&fixture.jobs).await, Some(json!({"sky": "new"})));
}

/// Opens the folder as a kill at this moment would leave it: without the files that come with an orderly end.
fn after_a_crash(folder: &Path) -> TempDir {
    let left = TempDir::new().unwrap();
    for part in ["meta", "results"] {
        fs::create_dir(left.path().join(part)).unwrap();
    }
    fs::copy(folder.join("meta/journal.ndjson"), left.path().join("meta/journal.ndjson")).unwrap();
    for file in fs::read_dir(folder.join("results")).into_iter().flatten() {
        let name = Path::new("results").join(file.unwrap().file_name());
        fs::copy(folder.join(&name), left.path().join(&name)).unwrap();
    }
    left
}

#[tokio::test]
async fn an_end_and_its_state_survive_a_crash_together() {
    for sky in ["sunny".to_owned(), "sunny ".repeat(2000)] {
        let folder = TempDir::new().unwrap();
        let fixture = observatory_with(over(folder.path()).await).await;
        fixture.tools.gate.open();
        let id = fixture.client.job("forecast", json!({"sky": sky, "async_mode": true})).await;
        assert_eq!(fixture.wait(&id).await["status"], "completed");
        let left = after_a_crash(folder.path());
        let jobs = over(left.path()).await;
        let job = jobs.status(id.parse().unwrap()).await.unwrap();
        assert_eq!(job.status(), JobStatus::Completed);
        assert_eq!(standing(&jobs).await, Some(json!({"sky": sky})));
    }
}

#[tokio::test]
async fn an_end_and_its_state_are_one_line_of_the_journal() {
    let folder = TempDir::new().unwrap();
    let fixture = observatory_with(over(folder.path()).await).await;
    fixture.tools.gate.open();
    let id = fixture.client.job("forecast", json!({"sky": "sunny", "async_mode": true})).await;
    fixture.wait(&id).await;
    let text = fs::read_to_string(folder.path().join("meta/journal.ndjson")).unwrap();
    let line = text.lines().find(|line| line.contains(",\"state\":{"));
    let line = line.expect("the state stands in the line of the end");
    assert!(line.contains(&id) && line.contains("\"status\":\"completed\""), "{line}");
}

#[tokio::test]
async fn a_state_outlives_its_server_and_its_job() {
    let folder = TempDir::new().unwrap();
    let fixture = observatory_with(over(folder.path()).await).await;
    fixture.tools.gate.open();
    let id = fixture.client.job("forecast", json!({"sky": "sunny", "async_mode": true})).await;
    fixture.wait(&id).await;
    fixture.jobs.prune(Prune::default()).await.unwrap();
    fixture.jobs.shutdown().await.unwrap();
    let jobs = JobManager::builder().folder(folder.path()).server("another").open().await.unwrap();
    assert_eq!(jobs.list(JobQuery::default()).await.unwrap().jobs.len(), 0);
    assert_eq!(standing(&jobs).await, Some(sunny()));
}

#[tokio::test]
async fn servers_over_one_folder_see_each_others_states() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (
        observatory_with(over(folder.path()).await).await,
        observatory_with(over(folder.path()).await).await,
    );
    one.tools.gate.open();
    two.tools.gate.open();
    let (at_one, at_two) = (forecast(&one.jobs), forecast(&two.jobs));
    for day in 0..10 {
        let fixture = if day % 2 == 0 { &one } else { &two };
        fixture.client.ask("forecast", json!({"sky": day})).await;
        for state in [&at_one, &at_two] {
            assert_eq!(*state.get().await.unwrap().unwrap(), json!({"sky": day}));
        }
        let ended = milliseconds();
        while milliseconds() <= ended {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_is_parsed_once_for_each_value() {
    let fixture = observatory().await;
    fixture.tools.gate.open();
    let state = fixture.jobs.state::<Forecast>("forecast").unwrap();
    fixture.client.ask("forecast", sunny()).await;
    let first = state.get().await.unwrap().unwrap();
    let again = state.clone().get().await.unwrap().unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again));
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_type_is_refused_by_name() {
    let fixture = observatory().await;
    fixture.tools.gate.open();
    fixture.client.ask("forecast", sunny()).await;
    let name = StateName::new("forecast").unwrap();
    let id = fixture.jobs.store().state(name).await.unwrap().unwrap().job_id;
    let error = fixture.jobs.state::<Vec<u32>>("forecast").unwrap().get().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to read the state `forecast`: what job {id} completed with does not fit the type that is asked \
             for: invalid type: map, expected a sequence; ask for the type that the tool returns, or run the tool again"
        )
    );
    // Who asks for what it is gets it all the same.
    assert!(fixture.jobs.state::<Forecast>("forecast").unwrap().get().await.unwrap().is_some());
}

#[test]
fn a_state_is_asked_for_by_a_name_and_never_by_a_path() {
    let jobs = JobManager::in_memory();
    for name in ["../meta/jobs", "/etc/passwd", "", "Forecast", "con", "a.b"] {
        assert!(jobs.state::<Value>(name).is_err(), "{name}");
    }
    assert_eq!(jobs.state::<Value>("forecast").unwrap().field().as_str(), "forecast");
}

/// No tool, and called by no client: only what becomes a job fills a state.
#[smart_async(default = 5, state = "plain")]
async fn plain(gate: Gate) -> u32 {
    gate.opened().await;
    7
}

#[tokio::test(start_paused = true)]
async fn outside_of_a_server_only_jobs_fill_states() {
    let jobs = JobManager::in_memory();
    let state = jobs.state::<u32>("plain").unwrap();
    let gate = Gate::new();
    let (opened, closed) = (Gate::new(), gate.clone());
    opened.open();
    // The calls are made within work of this manager, so that their jobs are its own.
    let caller = job_fn(move |_| {
        let (opened, closed) = (opened.clone(), closed.clone());
        async move {
            assert!(matches!(plain(opened).await, Reply::Inline(7)));
            let Reply::Job(ticket) = plain(closed).await else { panic!("it outlives its budget") };
            Ok(JobOutput::new(ticket.job_id.to_string()))
        }
    });
    let id = jobs.submit(JobRequest::new("caller"), caller).await.unwrap();
    jobs.wait(&[id], WaitFor::any(), Duration::from_secs(20)).await.unwrap();
    assert_eq!(state.get().await.unwrap(), None);
    let inner: JobId = jobs.result(id).await.unwrap().result.as_str().unwrap().parse().unwrap();
    gate.open();
    jobs.wait(&[inner], WaitFor::any(), Duration::from_secs(20)).await.unwrap();
    assert_eq!(*state.get().await.unwrap().unwrap(), 7);
}

/// Fills the state, closes the folder, harms the file of the state, and opens the folder again.
async fn after(harm: impl FnOnce(&Path)) -> (TempDir, JobManager) {
    let folder = TempDir::new().unwrap();
    let fixture = observatory_with(over(folder.path()).await).await;
    fixture.tools.gate.open();
    fixture.client.ask("forecast", sunny()).await;
    fixture.jobs.shutdown().await.unwrap();
    harm(&file(folder.path()));
    let jobs = over(folder.path()).await;
    (folder, jobs)
}

fn exported(folder: &Path) -> Value {
    let document: Value = serde_json::from_slice(&fs::read(file(folder)).unwrap()).unwrap();
    document["value"].clone()
}

#[tokio::test]
async fn a_file_that_is_damaged_or_gone_is_written_anew_from_the_journal() {
    let harms: [fn(&Path); 5] = [
        |file| fs::write(file, "").unwrap(),
        |file| fs::write(file, "{\"version\":1,").unwrap(),
        |file| fs::write(file, "{\"version\":1,\"value\":3}").unwrap(),
        |file| fs::remove_file(file).unwrap(),
        |file| fs::remove_dir_all(file.parent().unwrap()).unwrap(),
    ];
    for harm in harms {
        let (folder, jobs) = after(harm).await;
        assert_eq!(standing(&jobs).await, Some(sunny()));
        jobs.shutdown().await.unwrap();
        assert_eq!(exported(folder.path()), sunny());
    }
    let (folder, _jobs) = after(|file| fs::write(file, "[1]").unwrap()).await;
    let names = fs::read_dir(folder.path().join("state")).unwrap();
    let mut names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.starts_with("forecast.json.damaged-")));
}

#[tokio::test]
async fn a_file_that_the_journal_does_not_know_is_taken_in() {
    let file_of = |second: u32, sky: &str| {
        json!({
            "version": 1, "field": "forecast", "job_id": JobId::new(), "server": "another", "tool": "forecast",
            "completed_at": format!("2025-12-17T14:25:{second:02}.123Z"), "value": {"sky": sky}
        })
        .to_string()
    };
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    for (second, sky, stands) in
        [(5, "first", "first"), (7, "second", "second"), (6, "late", "second")]
    {
        fs::write(file(folder.path()), file_of(second, sky)).unwrap();
        let jobs = over(folder.path()).await;
        assert_eq!(standing(&jobs).await, Some(json!({"sky": stands})));
        jobs.shutdown().await.unwrap();
        assert_eq!(exported(folder.path()), json!({"sky": stands}));
        let left = after_a_crash(folder.path());
        assert_eq!(standing(&over(left.path()).await).await, Some(json!({"sky": stands})));
    }
}

#[tokio::test]
async fn a_later_versions_file_is_left_alone() {
    let later = "{\"version\":2,\"whatever\":true}";
    let (folder, jobs) = after(|file| fs::write(file, later).unwrap()).await;
    assert_eq!(standing(&jobs).await, Some(sunny()), "the journal has the value");
    let fixture = observatory_with(jobs).await;
    fixture.tools.gate.open();
    let rainy = json!({"sky": "rainy"});
    assert_eq!(fixture.client.ask("forecast", rainy.clone()).await, rainy);
    fixture.jobs.shutdown().await.unwrap();
    assert_eq!(fs::read_to_string(file(folder.path())).unwrap(), later);
}

#[tokio::test]
async fn the_file_follows_by_itself() {
    let folder = TempDir::new().unwrap();
    let fixture = observatory_with(over(folder.path()).await).await;
    fixture.tools.gate.open();
    fixture.client.ask("forecast", sunny()).await;
    while !file(folder.path()).exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_cleared_away() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    let half = folder.path().join("state/forecast.json.new");
    fs::write(&half, "{\"version\":1,\"fie").unwrap();
    let jobs = over(folder.path()).await;
    assert!(!half.exists());
    assert_eq!(standing(&jobs).await, None);
}

#[tokio::test]
async fn the_file_is_one_document_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let fixture = observatory_with(over(folder.path()).await).await;
    fixture.tools.gate.open();
    fixture.client.ask("forecast", sunny()).await;
    fixture.jobs.shutdown().await.unwrap();
    let document: Value = serde_json::from_slice(&fs::read(file(folder.path())).unwrap()).unwrap();
    let id: JobId = document["job_id"].as_str().unwrap().parse().unwrap();
    let completed_at = document["completed_at"].as_str().unwrap();
    assert!(completed_at.ends_with('Z') && completed_at.len() == 24, "{completed_at}");
    let expected = json!({
        "version": 1,
        "field": "forecast",
        "job_id": id,
        "server": "observatory",
        "tool": "forecast",
        "completed_at": completed_at,
        "value": {"sky": "sunny"},
    });
    assert_eq!(document, expected);
    #[cfg(unix)]
    for (path, mode) in [(file(folder.path()), 0o600), (folder.path().join("state"), 0o700)] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
}
