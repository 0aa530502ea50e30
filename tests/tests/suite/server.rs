//! The server that stands around the author's own: what it adds, what it passes on, and what its tools answer.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    ErrorCode, InitializeRequestParams, InitializeResult, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceError};
use serde_json::{Value, json};
use smart_async::job::{JobOutput, Outcome};
use smart_async::manager::WaitFor;
use smart_async::{JobId, JobManager, JobRequest, WithJobs, job_fn};
use smart_async_tests::{Client, GatedTools, assert_answer};

const LONG: Duration = Duration::from_secs(3600);

async fn connected() -> (Client, GatedTools, JobManager) {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let client = Client::connect(tools.clone().with_jobs(jobs.clone())).await;
    (client, tools, jobs)
}

/// A job that ended with this.
async fn ended(jobs: &JobManager, outcome: Outcome) -> JobId {
    let work = job_fn(move |_| {
        let outcome = outcome.clone();
        async move { outcome }
    });
    let id = jobs.submit(JobRequest::new("bake").label("bread"), work).await.unwrap();
    jobs.wait(&[id], WaitFor::any(), LONG).await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn annotated_tools_get_their_arguments_and_others_stay_as_they_are() {
    let (client, ..) = connected().await;
    let tools = client.tools().await;
    let tool = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap();
    assert_answer!(tool("make"));
    assert_answer!(tool("not_annotated"));
}

#[tokio::test(start_paused = true)]
async fn the_job_tools_come_after_the_servers_own_and_each_once() {
    let (client, ..) = connected().await;
    let names: Vec<_> = client.tools().await.into_iter().map(|tool| tool.name).collect();
    let added = [
        "job_status",
        "wait_job",
        "job_result",
        "answer_job",
        "list_jobs",
        "cancel_job",
        "prune_jobs",
        "job_metrics",
    ];
    assert_eq!(names[names.len() - 8..], added);
    assert!(names[..names.len() - 8].iter().all(|name| !added.contains(&&**name)));
}

#[tokio::test(start_paused = true)]
async fn the_answers_about_a_running_job_are_a_promise() {
    let (client, tools, _) = connected().await;
    let ticket = client.ask("make", json!({"what": "a chair"})).await;
    let id = ticket["job_id"].as_str().unwrap().to_owned();
    assert_answer!(ticket);
    let later = json!({"what": "x", "async_mode": true, "job_label": "later"});
    let accepted = client.ask("make", later).await;
    assert_answer!(accepted);
    assert_answer!(client.ask("job_status", json!({"job_id": id})).await);
    assert_answer!(client.ask("job_status", json!({"job_id": id, "detail": true})).await);
    assert_answer!(client.ask("list_jobs", json!({"limit": 1, "label": "make"})).await);
    assert_answer!(client.ask("job_result", json!({"job_id": id})).await);
    assert_answer!(client.ask("wait_job", json!({"job_ids": [id], "timeout_seconds": 1})).await);
    tools.gate.open();
    assert_answer!(client.ask("wait_job", json!({"job_ids": [id]})).await);
    assert_answer!(client.call("job_result", json!({"job_id": id})).await);
    assert_answer!(client.call("cancel_job", json!({"job_id": id})).await);
    client.ask("wait_job", json!({"job_ids": [accepted["job_id"]]})).await;
    assert_answer!(client.ask("prune_jobs", json!({"max_age_hours": 0})).await);
}

#[tokio::test(start_paused = true)]
async fn complaints_name_the_argument_and_what_is_allowed() {
    let (client, ..) = connected().await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let mut complaints = Vec::new();
    for (tool, arguments) in [
        ("job_status", json!({})),
        ("job_status", json!({"job_id": 7})),
        ("job_status", json!({"job_id": "x\u{0}y"})),
        ("job_status", json!({"job_id": "z".repeat(10_000_000)})),
        ("job_status", json!({"job_id": unknown})),
        ("job_status", json!({"job_id": unknown, "verbose": true})),
        ("job_result", json!({"job_id": unknown})),
        ("job_result", json!({"job_id": unknown, "offset": -1})),
        ("job_result", json!({"job_id": unknown, "max_bytes": 0})),
        ("cancel_job", json!({"job_id": unknown})),
        ("wait_job", json!({})),
        ("wait_job", json!({"job_ids": []})),
        ("wait_job", json!({"job_ids": [unknown]})),
        ("wait_job", json!({"job_ids": unknown, "mode": "some"})),
        ("wait_job", json!({"job_ids": unknown, "timeout_seconds": -1})),
        ("wait_job", json!({"job_ids": unknown, "progress": "yes"})),
        ("list_jobs", json!({"limit": 0})),
        ("list_jobs", json!({"limit": -1})),
        ("list_jobs", json!({"limit": "ten"})),
        ("list_jobs", json!({"limit": 1.5})),
        ("list_jobs", json!({"status_filter": "done"})),
        ("list_jobs", json!({"status_filter": 3})),
        ("list_jobs", json!({"label": 3})),
        ("prune_jobs", json!({"max_age_hours": -1})),
        ("prune_jobs", json!({"max_age_hours": "NaN"})),
        ("prune_jobs", json!({"keep_failed": "no"})),
        ("prune_jobs", json!({"statuses": ["done"]})),
    ] {
        complaints.push(format!("{tool}: {}", client.complaint(tool, arguments).await));
    }
    assert_answer!(complaints);
    assert_eq!(client.ask("list_jobs", json!({})).await["total"], 0, "the server goes on serving");
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_null_or_nearly_right_are_taken() {
    let (client, ..) = connected().await;
    assert_eq!(client.ask("list_jobs", json!({"limit": 20.0, "label": null})).await["total"], 0);
    assert_eq!(client.ask("list_jobs", Value::Null).await["total"], 0);
}

#[tokio::test(start_paused = true)]
async fn keeping_for_very_long_removes_nothing() {
    let (client, _, jobs) = connected().await;
    ended(&jobs, Ok(JobOutput::new(1))).await;
    for arguments in [
        json!({"max_age_hours": 1e10}),
        json!({}),
        json!({"keep_completed": true, "max_age_hours": 0}),
    ] {
        assert_eq!(
            client.ask("prune_jobs", arguments).await,
            json!({"removed": 0, "remaining": 1})
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pruning_keeps_what_it_is_told_to_keep() {
    let (client, _, jobs) = connected().await;
    let failed = || Err(smart_async::job::JobFailure::error("burnt"));
    for outcome in [Ok(JobOutput::new(1)), Ok(JobOutput::new(2)), failed()] {
        ended(&jobs, outcome).await;
    }
    let prune = async |arguments: Value| {
        client.ask("prune_jobs", arguments).await["removed"].as_u64().unwrap()
    };
    assert_eq!(prune(json!({"max_age_hours": 0, "keep_count": 1})).await, 1);
    assert_eq!(
        prune(json!({"max_age_hours": 0})).await,
        1,
        "failed jobs are kept unless told otherwise"
    );
    assert_eq!(prune(json!({"max_age_hours": 0, "statuses": ["completed"]})).await, 0);
    assert_eq!(prune(json!({"max_age_hours": 0, "keep_failed": false})).await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_job_that_is_gone_does_not_hide_the_others() {
    let (client, _, jobs) = connected().await;
    let id = ended(&jobs, Ok(JobOutput::new("crisp"))).await.to_string();
    let gone = JobId::new().to_string();
    let waited = client.ask("wait_job", json!({"job_ids": [gone, id]})).await;
    assert_eq!(
        (&waited["jobs"][0]["result"], &waited["not_found"]),
        (&json!("crisp"), &json!([gone]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_cap_and_says_so() {
    let (client, ..) = connected().await;
    let id = client.job("make", json!({})).await;
    for (asked, stopped_by, waits) in [(600, "cap", 55), (2, "timeout", 2)] {
        let began = tokio::time::Instant::now();
        let arguments = json!({"job_ids": [id], "timeout_seconds": asked});
        let waited = client.ask("wait_job", arguments).await;
        assert_eq!(
            (&waited["stopped_by"], &waited["terminal"]),
            (&json!(stopped_by), &json!(false))
        );
        assert_eq!(waited["next"], format!("wait_job {{\"job_ids\":[\"{id}\"]}}"));
        assert_eq!(began.elapsed().as_secs(), waits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_result_comes_in_pages_that_fit_together_between_characters() {
    let (client, _, jobs) = connected().await;
    let long = "grüße 🙂 ".repeat(5000);
    let id = ended(&jobs, Ok(JobOutput::new(long.as_str()))).await.to_string();
    let status = client.ask("job_status", json!({"job_id": id})).await;
    let job = &status["job"];
    assert_eq!((&job["result_bytes"], job.get("result")), (&json!(long.len()), None));
    assert_eq!(status["next"], format!("job_result {{\"job_id\":\"{id}\"}}"));
    for max_bytes in [1000, 20_000, 32 * 1024] {
        let (mut whole, mut offset) = (String::new(), Some(0));
        while let Some(from) = offset {
            let page = client
                .ask("job_result", json!({"job_id": id, "offset": from, "max_bytes": max_bytes}))
                .await;
            let text = page["text"].as_str().unwrap();
            assert!(!text.is_empty() && text.len() <= max_bytes);
            whole.push_str(text);
            offset = page["next_offset"].as_u64();
        }
        assert!(whole == long, "{max_bytes}");
    }
    let tiny = client.ask("job_result", json!({"job_id": id, "offset": 3, "max_bytes": 1})).await;
    assert_eq!(
        (&tiny["text"], &tiny["offset"]),
        (&json!("ü"), &json!(2)),
        "never empty, never half a character"
    );
    let page = client.call("job_result", json!({"job_id": id, "max_bytes": 10})).await;
    let note = &page.content[1].as_text().unwrap().text;
    assert!(note.starts_with("[bytes 0 to ") && note.contains("next: job_result"), "{note}");
    let complaint =
        client.complaint("job_result", json!({"job_id": id, "offset": long.len()})).await;
    assert_eq!(
        complaint,
        format!("offset: must be less than {}, the size of the result in bytes", long.len())
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_error_is_shortened_in_the_status_and_whole_in_the_result() {
    let (client, _, jobs) = connected().await;
    let long = "ü".repeat(100_000);
    let id =
        ended(&jobs, Err(smart_async::job::JobFailure::error(long.as_str()))).await.to_string();
    let job = client.status(&id).await;
    assert_eq!(job["error_bytes"], 200_000);
    assert!(job["error"].as_str().unwrap().len() < 3000);
    let page = client.call("job_result", json!({"job_id": id, "max_bytes": 1_000_000})).await;
    assert_eq!(page.is_error, Some(true));
    assert_eq!(page.structured_content.unwrap()["error"].as_str().unwrap().len(), 200_000);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_and_hidden_tools_are_kept_to_everywhere() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let server =
        tools.with_jobs(jobs).tool_prefix("bg_").hide_tool("wait_job").hide_tool("prune_jobs");
    let client = Client::connect(server).await;
    let names: Vec<_> = client.tools().await.into_iter().map(|tool| tool.name).collect();
    assert_eq!(
        names[names.len() - 6..],
        [
            "bg_job_status",
            "bg_job_result",
            "bg_answer_job",
            "bg_list_jobs",
            "bg_cancel_job",
            "bg_job_metrics"
        ]
    );
    let ticket = client.ask("make", json!({})).await;
    let message = ticket["message"].as_str().unwrap();
    assert!(message.ends_with("Next: bg_job_status with job_id"), "{ticket}");
    assert!(client.try_call("bg_wait_job", json!({})).await.is_err(), "a hidden tool is not there");
    assert!(
        client.try_call("job_status", json!({})).await.is_err(),
        "nor is one without its prefix"
    );
}

/// A server with a list in pages, no `get_tool`, and an `initialize` of its own.
#[derive(Clone)]
struct OldHouse {
    tools: Vec<&'static str>,
}

impl ServerHandler for OldHouse {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::default())
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut result = InitializeResult::new(ServerCapabilities::default());
        result.protocol_version = request.protocol_version;
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let page: usize =
            request.and_then(|request| request.cursor).map_or(0, |cursor| cursor.parse().unwrap());
        let tool = Tool::new(self.tools[page], "a tool", Arc::new(serde_json::Map::new()));
        let list = ListToolsResult {
            tools: vec![tool],
            next_cursor: (page + 1 < self.tools.len()).then(|| (page + 1).to_string()),
            ..ListToolsResult::default()
        };
        Ok(list)
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_initialize_itself_still_declares_what_is_added() {
    let client =
        Client::connect(OldHouse { tools: vec!["one"] }.with_jobs(JobManager::in_memory())).await;
    assert!(client.peer().peer_info().unwrap().capabilities.tools.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_of_the_newest_protocol_is_served_alike() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let client = Client::discover(tools.clone().with_jobs(jobs)).await.unwrap();
    assert!(client.peer().peer_info().unwrap().capabilities.tools.is_some());
    let ticket = client.ask("make", json!({"what": "a chair"})).await;
    assert_eq!(ticket["status"], "running", "a plain ticket, since no tasks are declared");
    tools.gate.open();
    let waited = client.ask("wait_job", json!({"job_ids": [ticket["job_id"]]})).await;
    assert_eq!(waited["jobs"][0]["result"], json!({"made": "a chair"}));
    // An inner server that declares nothing.
    let client =
        Client::discover(OldHouse { tools: vec!["one"] }.with_jobs(JobManager::in_memory())).await;
    assert!(client.unwrap().peer().peer_info().unwrap().capabilities.tools.is_some());
}

/// A server that implements no method and declares no capability.
#[derive(Clone)]
struct Empty;

impl ServerHandler for Empty {}

#[tokio::test(start_paused = true)]
async fn a_server_without_tools_of_its_own_declares_and_lists_the_job_tools() {
    let server = || Empty.with_jobs(JobManager::in_memory());
    for client in [Client::connect(server()).await, Client::discover(server()).await.unwrap()] {
        let capabilities = client.peer().peer_info().unwrap().capabilities.clone();
        assert!(capabilities.tools.is_some() && capabilities.resources.is_some());
        let names: Vec<_> = client.tools().await.into_iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), 8, "{names:?}");
        assert!(names.contains(&"wait_job".into()));
        assert_eq!(client.ask("list_jobs", json!({})).await["total"], 0);
        assert!(client.peer().list_all_resources().await.unwrap().is_empty());
        assert!(!client.peer().list_all_resource_templates().await.unwrap().is_empty());
        // The SDK refuses a tool that no server has with METHOD_NOT_FOUND.
        let unknown = client.try_call("bake", json!({})).await.unwrap_err();
        assert_eq!(unknown.code, ErrorCode::METHOD_NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_the_jobs_add_nothing_to_is_refused_as_by_the_wrapped_server() {
    let client = Client::connect(Empty.with_jobs(JobManager::in_memory())).await;
    assert!(client.peer().peer_info().unwrap().capabilities.prompts.is_none());
    let refused = client.peer().list_all_prompts().await.unwrap_err();
    let ServiceError::McpError(refused) = refused else { panic!("{refused}") };
    assert_eq!(refused.code, ErrorCode::METHOD_NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_the_inner_list_are_respected() {
    let server = OldHouse { tools: vec!["one", "two", "three"] }.with_jobs(JobManager::in_memory());
    let client = Client::connect(server).await;
    let mut sizes = Vec::new();
    let mut cursor = None;
    loop {
        let request = PaginatedRequestParams::default().with_cursor(cursor);
        let page = client.peer().list_tools(Some(request)).await.unwrap();
        sizes.push(page.tools.len());
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(sizes, [1, 1, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_of_the_same_name_is_an_error_that_says_what_to_do() {
    use rmcp::{tool, tool_handler, tool_router};

    #[derive(Clone)]
    struct Clashing;

    #[tool_router]
    impl Clashing {
        #[tool]
        async fn list_jobs(&self) -> String {
            "vacancies".to_owned()
        }
    }

    #[tool_handler]
    impl ServerHandler for Clashing {}

    let refused =
        Client::try_connect(Clashing.with_jobs(JobManager::in_memory())).await.unwrap_err();
    assert!(
        refused.contains("this server has a tool `list_jobs`, and so has smart-async"),
        "{refused}"
    );
    assert!(refused.contains(".tool_prefix(\"job_\")"), "{refused}");
    let prefixed =
        Client::connect(Clashing.with_jobs(JobManager::in_memory()).tool_prefix("job_")).await;
    assert_eq!(
        prefixed.call("list_jobs", json!({})).await.content[0].as_text().unwrap().text,
        "vacancies"
    );

    // A server that does not tell of single tools shows it in its list.
    let server = OldHouse { tools: vec!["one", "cancel_job"] }.with_jobs(JobManager::in_memory());
    let client = Client::connect(server).await;
    let listed = client.peer().list_all_tools().await;
    assert!(listed.unwrap_err().to_string().contains("this server has a tool `cancel_job`"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_named_has_the_programs_name_and_not_the_sdks() {
    let jobs = JobManager::in_memory();
    let _server = OldHouse { tools: vec!["one"] }.with_jobs(jobs.clone());
    assert!(jobs.server().starts_with("suite-"), "{}", jobs.server());
    let jobs = JobManager::in_memory();
    let _server = GatedTools::new().with_jobs(jobs.clone());
    assert_eq!(jobs.server(), "gated_tools");
}

#[tokio::test(start_paused = true)]
async fn a_server_lists_and_prunes_its_own_jobs_only() {
    let folder = tempfile::TempDir::new().unwrap();
    let open = || JobManager::builder().folder(folder.path());
    let other = open().server("bakery").open().await.unwrap();
    let id = ended(&other, Ok(JobOutput::new("rye"))).await.to_string();
    let client = Client::connect(GatedTools::new().with_jobs(open().open().await.unwrap())).await;
    assert_eq!(client.ask("list_jobs", json!({})).await["total"], 0);
    assert_eq!(client.ask("prune_jobs", json!({"max_age_hours": 0})).await["removed"], 0);
    assert_eq!(
        client.status(&id).await["result"],
        "rye",
        "whoever knows the id may follow the job"
    );
}

#[tokio::test(start_paused = true)]
async fn callers_group_their_jobs_where_the_author_lets_them() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let client = Client::connect(tools.clone().with_jobs(jobs.clone()).group_jobs()).await;
    let shown = client.tools().await;
    let has = |tool: &str, argument: &str| {
        let tool = shown.iter().find(|shown| shown.name == tool).unwrap();
        tool.input_schema["properties"].get(argument).is_some()
    };
    assert!(has("make", "job_tags") && has("make", "job_session"));
    assert!(has("list_jobs", "tag") && has("list_jobs", "session"));
    for (tags, session) in [(json!(["of=may", "night"]), "one"), (json!("of=june"), "two")] {
        let marks = json!({"async_mode": true, "job_tags": tags, "job_session": session});
        client.job("make", marks).await;
    }
    for (filter, total) in [
        (json!({"tag": "of"}), 2),
        (json!({"tag": "of=may"}), 1),
        (json!({"tag": "night"}), 1),
        (json!({"session": "two"}), 1),
        (json!({"session": "three"}), 0),
    ] {
        assert_eq!(client.ask("list_jobs", filter.clone()).await["total"], total, "{filter}");
    }
    let id = client.ask("list_jobs", json!({"tag": "of=may"})).await["jobs"][0]["id"].take();
    let job = client.status(id.as_str().unwrap()).await;
    assert_eq!((&job["tags"]["of"], &job["session"]), (&json!("may"), &json!("one")));
    // A refusal names the filters that the schema of the same server shows, and no others.
    let misspelt = json!({"satus": "failed"});
    let said = client.complaint("list_jobs", misspelt.clone()).await;
    let unknown = "satus: unknown argument; allowed: status_filter, limit, label";
    assert_eq!(said, format!("{unknown}, tag, session"));
    let plain = Client::connect(tools.clone().with_jobs(jobs.clone())).await;
    assert_eq!(plain.complaint("list_jobs", misspelt).await, unknown);
}

#[tokio::test(start_paused = true)]
async fn no_filter_is_shown_that_finds_nothing() {
    let (client, ..) = connected().await;
    let tools = client.tools().await;
    let tool = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap();
    assert_eq!(tool("list_jobs").input_schema["properties"].get("tag"), None);
    assert_eq!(tool("make").input_schema["properties"].get("job_tags"), None);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_leads_to_the_list() {
    let (client, ..) = connected().await;
    for tool in ["job_status", "wait_job", "job_result", "cancel_job", "answer_job"] {
        for id in [JobId::new().to_string(), "of no job".to_owned()] {
            let answer = client.call(tool, json!({"job_id": id})).await;
            assert_eq!(answer.is_error, Some(true));
            assert_eq!(answer.structured_content.unwrap()["next"], "list_jobs {}", "{tool} {id}");
        }
    }
}

/// A client whose server hides `wait_job` follows its jobs by asking.
#[tokio::test(start_paused = true)]
async fn poll_advice_follows_what_the_tool_took_before() {
    let (tools, jobs) = (GatedTools::new(), JobManager::in_memory());
    let polling = tools.clone().with_jobs(jobs.clone()).hide_tool("wait_job");
    let client = Client::connect(polling).await;
    let ticket = client.ask("make", json!({})).await;
    let id = ticket["job_id"].as_str().unwrap();
    assert_eq!(ticket["poll_after_seconds"], 2, "a quarter of five seconds, but at least two");
    assert_eq!(client.status(id).await["poll_after_seconds"], 2);
    let waiting = Client::connect(tools.clone().with_jobs(jobs)).await;
    assert_eq!(
        waiting.status(id).await.get("poll_after_seconds"),
        None,
        "it would contradict `next`"
    );
    tools.gate.open();
    waiting.ask("wait_job", json!({"job_ids": [id]})).await;
    let job = client.status(&client.job("make_always_job", json!({})).await).await;
    assert!(job.get("usual_seconds").is_none(), "another tool");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_answers_open_calls_and_takes_no_new_ones() {
    let (client, tools, jobs) = connected().await;
    let open = client.send("make", json!({})).await;
    tools.gate.arrived(1).await;
    let ending = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.shutdown().await }
    });
    let answer = serde_json::to_value(open.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"]["error_kind"], "stopping");
    ending.await.unwrap().unwrap();
    let refused = client.call("make", json!({})).await;
    assert_eq!(refused.structured_content.unwrap()["error_kind"], "stopping");
    let refused = client.call("make", json!({"async_mode": true})).await;
    assert_eq!(refused.structured_content.unwrap()["error_kind"], "stopping");
    assert_eq!(tools.begun(), 1);
}
