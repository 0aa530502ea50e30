//! Whose jobs are whose over Streamable HTTP: with an identity, those of that identity; without one, by id what nobody has
//! proved to be theirs, and in lists those of the own session. Everybody else's are answered for like ids that never were.

pub(crate) mod caller;
mod shared_work;
mod shop;

use std::time::Duration;

use caller::{Caller, House};
use serde_json::{Value, json};
use shop::Shop;
use smart_async::job::{JobOutput, JobQuery, JobStatus};
use smart_async::manager::{WaitFor, job_fn};
use smart_async::store::{JobStore, JournalStore};
use smart_async::{ClientIdentity, JobId, JobRecord, JobRequest, WithJobs};
use smart_async_tests::{Client, SUBSCRIPTION};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(3600);

const ALICE: Option<&str> = Some("alice");
const BOB: Option<&str> = Some("bob");

fn chair() -> Value {
    json!({"what": "a chair"})
}

/// Everybody to whom a job of alice's is none of theirs.
async fn strangers(house: &House) -> Vec<Caller> {
    let mut strangers = house.unknown().await.to_vec();
    strangers.extend([house.caller(BOB), house.session(BOB).await]);
    strangers
}

/// What a caller is answered about a job, once for this one and once for one that never was.
async fn compared(caller: &mut Caller, id: &str, method: &str, params: impl Fn(&str) -> Value) {
    let never = JobId::new().to_string();
    let of_theirs = caller.ask(method, params(id)).await.to_string().replace(id, "ID");
    let of_none = caller.ask(method, params(&never)).await.to_string().replace(&never, "ID");
    assert_eq!(of_theirs, of_none, "{method}");
    assert!(of_none.contains("error"), "{of_none}");
}

/// That a job still runs, and nobody wants it stopped.
async fn untouched(house: &House, id: &str) {
    let job = house.jobs.status(id.parse().unwrap()).await.unwrap();
    assert_eq!((job.status(), job.cancel_requested), (JobStatus::Running, false));
}

/// A job of alice's, whose work has begun.
async fn job_of_alice(house: &House) -> String {
    let id = house.caller(ALICE).job("make_later", chair()).await;
    house.shop.gate.arrived(1).await;
    id
}

#[tokio::test]
async fn a_job_tool_answers_a_stranger_as_for_an_unknown_id() {
    let house = House::in_memory();
    let id = job_of_alice(&house).await;
    for mut stranger in strangers(&house).await {
        for tool in ["job_status", "job_result", "cancel_job"] {
            let call = |id: &str| json!({"name": tool, "arguments": {"job_id": id}});
            compared(&mut stranger, &id, "tools/call", call).await;
        }
        let wait = |id: &str| json!({"name": "wait_job", "arguments": {"job_ids": [id]}});
        compared(&mut stranger, &id, "tools/call", wait).await;
    }
    untouched(&house, &id).await;
    house.shop.gate.open();
    let ended = house.caller(ALICE).tool("wait_job", json!({"job_ids": [id]})).await;
    assert_eq!(ended["jobs"][0]["result"], "a chair");
    for mut stranger in strangers(&house).await {
        for tool in ["job_status", "job_result", "cancel_job"] {
            let call = |id: &str| json!({"name": tool, "arguments": {"job_id": id}});
            compared(&mut stranger, &id, "tools/call", call).await;
        }
    }
}

#[tokio::test]
async fn a_wait_names_a_strangers_job_among_those_that_are_not_there() {
    let house = House::in_memory();
    let hers = job_of_alice(&house).await;
    for mut caller in [house.caller(BOB), house.session(None).await] {
        let own = caller.ended_job().await;
        let waited = caller.tool("wait_job", json!({"job_ids": [own, hers]})).await;
        assert_eq!((&waited["not_found"], &waited["jobs"][0]["id"]), (&json!([hers]), &json!(own)));
        assert_eq!(waited["jobs"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_task_is_unknown_to_a_stranger() {
    let house = House::in_memory();
    let id = job_of_alice(&house).await;
    for mut stranger in [house.caller(BOB), house.caller(None)] {
        for method in ["tasks/get", "tasks/cancel"] {
            compared(&mut stranger, &id, method, |id| json!({"taskId": id})).await;
        }
        let update = |id: &str| json!({"taskId": id, "inputResponses": {}});
        compared(&mut stranger, &id, "tasks/update", update).await;
    }
    untouched(&house, &id).await;
    let mut alice = house.caller(ALICE);
    assert_eq!(alice.ask("tasks/get", json!({"taskId": id})).await["result"]["status"], "working");
    let updated = alice.ask("tasks/update", json!({"taskId": id, "inputResponses": {}})).await;
    assert!(updated.get("result").is_some(), "{updated}");
    let cancelled = alice.ask("tasks/cancel", json!({"taskId": id})).await;
    assert!(cancelled.get("result").is_some(), "{cancelled}");
    let wait = json!({"job_ids": [id]});
    assert_eq!(alice.tool("wait_job", wait).await["jobs"][0]["status"], "cancelled");
}

#[tokio::test]
async fn a_question_is_answered_by_its_own_client_only() {
    let house = House::in_memory();
    let id = house.caller(ALICE).job("engrave", json!({})).await;
    house.jobs.wait(&[id.parse().unwrap()], WaitFor::any(), LONG).await.unwrap();
    let said = json!({"action": "accept", "content": {"name": "mine"}});
    for mut stranger in strangers(&house).await {
        let answer = |id: &str| json!({"job_id": id, "key": "name", "content": {"name": "mine"}});
        let call = |id: &str| json!({"name": "answer_job", "arguments": answer(id)});
        compared(&mut stranger, &id, "tools/call", call).await;
        let again = |id: &str| {
            json!({
                "name": "engrave", "arguments": {}, "inputResponses": {"name": said},
                "requestState": format!("smart-async:{id}.1.ee22b6d3fb5d53bb45d010faf3dedaf0")
            })
        };
        compared(&mut stranger, &id, "tools/call", again).await;
    }
    for mut stranger in [house.caller(BOB), house.caller(None)] {
        let update = |id: &str| json!({"taskId": id, "inputResponses": {"name": said}});
        compared(&mut stranger, &id, "tasks/update", update).await;
    }
    // Hers are taken, by the very same ways.
    let mut alice = house.caller(ALICE);
    let answers = json!({"taskId": id, "inputResponses": {"name": {"action": "maybe"}}});
    assert_eq!(alice.ask("tasks/update", answers).await["error"]["code"], -32602);
    let again = json!({
        "name": "engrave", "arguments": {}, "inputResponses": {"name": {"action": "decline"}},
        "requestState": format!("smart-async:{id}.1.ee22b6d3fb5d53bb45d010faf3dedaf0")
    });
    let answer = alice.ask("tools/call", again).await;
    assert_eq!(answer["result"]["content"][0]["text"], "without a name", "{answer}");
}

#[tokio::test]
async fn a_resource_is_not_there_for_a_stranger() {
    let house = House::in_memory();
    let running = job_of_alice(&house).await;
    let ended = house.caller(ALICE).ended_job().await;
    for mut stranger in strangers(&house).await {
        for id in [&running, &ended] {
            for part in ["", "/result"] {
                let read = |id: &str| json!({"uri": format!("job://{id}{part}")});
                compared(&mut stranger, id, "resources/read", read).await;
                if !stranger.is_of_today() {
                    compared(&mut stranger, id, "resources/subscribe", read).await;
                }
            }
        }
    }
    let mut alice = house.session(ALICE).await;
    for (id, part) in [(&running, ""), (&ended, ""), (&ended, "/result")] {
        let uri = json!({"uri": format!("job://{id}{part}")});
        for method in ["resources/read", "resources/subscribe"] {
            let answer = alice.ask(method, uri.clone()).await;
            assert!(answer.get("result").is_some(), "{answer}");
        }
    }
}

/// Listens, and returns the stream with what was acknowledged.
async fn listen(caller: &mut Caller, filter: &Value) -> (caller::Stream, Value) {
    let mut stream = caller.open("subscriptions/listen", json!({"notifications": filter})).await;
    let mut acknowledged = stream.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    (stream, acknowledged["params"]["notifications"].take())
}

#[tokio::test]
async fn a_stranger_who_listens_is_told_of_own_jobs_only() {
    let house = House::in_memory();
    let hers = job_of_alice(&house).await;
    for mut stranger in [house.caller(BOB), house.caller(None)] {
        let mut own = Vec::new();
        for what in ["a chair", "a table"] {
            own.push(stranger.job("make_later", json!({"what": what})).await);
        }
        let all: Vec<_> = std::iter::once(&hers).chain(&own).collect();
        let uris: Vec<_> = all.iter().map(|id| format!("job://{id}")).collect();
        let filter = json!({"taskIds": all, "resourceSubscriptions": uris});
        let (mut stream, acknowledged) = listen(&mut stranger, &filter).await;
        assert_eq!(acknowledged["taskIds"], json!(own));
        // An identity of the same jobs, and of those alone, is told of the end; the stranger hears of it before the next.
        let mut alice = house.caller(ALICE);
        let another = alice.job("make_later", json!({"what": "a bed"})).await;
        for (theirs, own) in [(&another, &own[0]), (&hers, &own[1])] {
            let _ = house.jobs.cancel(theirs.parse().unwrap()).await;
            let _ = house.jobs.cancel(own.parse().unwrap()).await;
            // Once by the task and once by the resource.
            let (mut by_task, mut by_resource) = (false, false);
            while !(by_task && by_resource) {
                let told = stream.next().await.unwrap();
                assert!(told["params"]["_meta"][SUBSCRIPTION].is_number(), "{told}");
                let text = told.to_string();
                assert!(!text.contains(hers.as_str()), "{told}");
                by_task |=
                    told["params"]["taskId"] == **own && told["params"]["status"] == "cancelled";
                by_resource |= told["params"]["uri"] == format!("job://{own}");
            }
        }
    }
}

#[tokio::test]
async fn who_listens_is_told_of_own_jobs() {
    let house = House::in_memory();
    let id = job_of_alice(&house).await;
    let mut alice = house.caller(ALICE);
    let filter = json!({"taskIds": [id], "resourceSubscriptions": [format!("job://{id}")]});
    let (mut stream, acknowledged) = listen(&mut alice, &filter).await;
    assert_eq!(acknowledged, filter);
    house.shop.gate.open();
    let (mut by_task, mut by_resource) = (false, false);
    while !(by_task && by_resource) {
        let told = stream.next().await.unwrap();
        by_task |= told["params"]["status"] == "completed";
        by_resource |= told["params"]["uri"] == format!("job://{id}");
    }
}

#[tokio::test]
async fn lists_show_and_count_own_jobs_only() {
    let house = House::in_memory();
    let (mut alice, mut bob) = (house.caller(ALICE), house.session(BOB).await);
    let (mut one, mut two) = (house.session(None).await, house.session(None).await);
    for caller in [&mut alice, &mut bob, &mut one, &mut two] {
        assert_eq!(caller.listed().await, [""; 0]);
    }
    let of_alice = [alice.ended_job().await, alice.ended_job().await];
    let of_bob = bob.ended_job().await;
    let of_one = one.job("make_later", chair()).await;
    for mut unknown in [house.caller(None), house.without_session()] {
        unknown.job("make_later", chair()).await;
        assert_eq!(unknown.listed().await, [""; 0], "nothing tells whose they are");
    }
    assert_eq!(alice.listed().await, [&*of_alice[1], &*of_alice[0]]);
    assert_eq!(bob.listed().await, [of_bob]);
    assert_eq!(one.listed().await, [of_one]);
    assert_eq!(two.listed().await, [""; 0]);
    let limited = alice.tool("list_jobs", json!({"limit": 1})).await;
    assert_eq!(limited["total"], 2);
    let running = alice.tool("list_jobs", json!({"status_filter": "running"})).await;
    assert_eq!(running["total"], 0);
}

#[tokio::test]
async fn a_list_of_resources_goes_on_with_own_jobs_only() {
    let house = House::in_memory();
    let (mut alice, mut bob) = (house.caller(ALICE), house.caller(BOB));
    for number in 0..60 {
        for caller in [&mut alice, &mut bob] {
            caller.job("make_later", json!({"what": number.to_string()})).await;
        }
    }
    let first = alice.ask("resources/list", json!({})).await;
    let cursor = &first["result"]["nextCursor"];
    let mut bob_from_there = bob.ask("resources/list", json!({"cursor": cursor})).await;
    let second = alice.ask("resources/list", json!({"cursor": cursor})).await;
    let count = |page: &Value| page["result"]["resources"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second)), (50, 10));
    assert!(second["result"]["nextCursor"].is_null());
    let hers = second["result"]["resources"].to_string();
    for resource in bob_from_there["result"]["resources"].as_array_mut().unwrap() {
        assert!(!hers.contains(resource["uri"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_prune_removes_and_counts_own_jobs_only() {
    let house = House::in_memory();
    let (mut alice, mut bob) = (house.caller(ALICE), house.caller(BOB));
    let (mut one, mut two) = (house.session(None).await, house.session(None).await);
    for caller in [&mut alice, &mut bob, &mut one, &mut two] {
        caller.ended_job().await;
        caller.job("make_later", chair()).await;
    }
    let everything = json!({"max_age_hours": 0, "keep_failed": false});
    for mut unknown in [house.caller(None), house.without_session()] {
        unknown.ended_job().await;
        let pruned = unknown.tool("prune_jobs", everything.clone()).await;
        assert_eq!(pruned, json!({"removed": 0, "remaining": 0}));
    }
    let mut left = 10;
    for caller in [&mut alice, &mut one] {
        let pruned = caller.tool("prune_jobs", everything.clone()).await;
        assert_eq!(pruned, json!({"removed": 1, "remaining": 1}));
        left -= 1;
        assert_eq!(house.jobs.list(JobQuery::default()).await.unwrap().jobs.len(), left);
    }
    assert_eq!(bob.listed().await.len(), 2);
    assert_eq!(two.listed().await.len(), 2);
}

#[tokio::test]
async fn to_the_unknown_the_id_of_a_job_of_the_unknown_is_what_lets_them_in() {
    let house = House::in_memory();
    let mut owners = house.unknown().await;
    for owner in &mut owners {
        for mut other in house.unknown().await {
            let id = owner.job("make_later", chair()).await;
            let status = other.tool("job_status", json!({"job_id": id})).await;
            assert_eq!(status["job"]["id"], json!(id), "{status}");
            let read = other.ask("resources/read", json!({"uri": format!("job://{id}")})).await;
            assert!(read.get("result").is_some(), "{read}");
            let cancelled = other.tool("cancel_job", json!({"job_id": id})).await;
            assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
            assert!(!other.listed().await.contains(&id));
        }
    }
}

#[tokio::test]
async fn an_identity_sees_no_jobs_of_the_unknown() {
    let house = House::in_memory();
    let mut jobs = Vec::new();
    for mut unknown in house.unknown().await {
        jobs.push(unknown.ended_job().await);
    }
    let work = job_fn(async |_| Ok(JobOutput::new("made by the program")));
    jobs.push(house.jobs.submit(JobRequest::new("own"), work).await.unwrap().to_string());
    for mut caller in [house.caller(ALICE), house.session(ALICE).await] {
        assert_eq!(caller.listed().await, [""; 0]);
        for id in &jobs {
            let call = |id: &str| json!({"name": "job_status", "arguments": {"job_id": id}});
            compared(&mut caller, id, "tools/call", call).await;
        }
    }
    let status = house.caller(None).tool("job_status", json!({"job_id": jobs[3]})).await;
    assert_eq!(status["job"]["tool"], "own", "the program's own are there by their ids");
}

#[tokio::test]
async fn an_identity_is_the_same_in_every_session_and_in_none() {
    let house = House::in_memory();
    let mut everywhere =
        [house.session(ALICE).await, house.session(ALICE).await, house.caller(ALICE)];
    let mut made = Vec::new();
    for caller in &mut everywhere {
        made.insert(0, caller.ended_job().await);
    }
    for caller in &mut everywhere {
        assert_eq!(caller.listed().await, made);
    }
}

#[tokio::test]
async fn an_identity_comes_before_the_session_that_it_is_in() {
    let house = House::in_memory();
    let unknown = house.session(None).await;
    let of_session = unknown.clone().ended_job().await;
    // Two who prove who they are in a session that a third one began, whose id they have got hold of.
    for user in ["alice", "bob"] {
        let mut known = unknown.clone().with("x-user", user);
        assert_eq!(known.listed().await, [""; 0]);
        let own = known.ended_job().await;
        assert_eq!(known.listed().await, [own]);
    }
    assert_eq!(unknown.clone().listed().await, [of_session]);
}

#[tokio::test]
async fn the_name_of_a_session_opens_no_list_outside_of_it() {
    let house = House::in_memory();
    let mut session = house.session(None).await;
    session.ended_job().await;
    let name = session.session_id().to_owned();
    for unknown in [house.caller(None), house.without_session()] {
        for name in [&*name, "made up"] {
            let mut unknown = unknown.clone().with("mcp-session-id", name);
            unknown.ended_job().await;
            assert_eq!(unknown.listed().await, [""; 0]);
        }
    }
    assert_eq!(session.listed().await.len(), 1);
}

#[tokio::test]
async fn over_one_connection_all_jobs_are_there() {
    let house = House::in_memory();
    let mut ids = vec![house.caller(ALICE).ended_job().await, house.caller(BOB).ended_job().await];
    for mut unknown in house.unknown().await {
        ids.push(unknown.ended_job().await);
    }
    let client = Client::connect(house.shop.clone().with_jobs(house.jobs.clone())).await;
    for id in &ids {
        assert_eq!(client.status(id).await["status"], "cancelled");
    }
    assert_eq!(client.ask("list_jobs", json!({})).await["total"], 5);
    let pruned = client.ask("prune_jobs", json!({"max_age_hours": 0})).await;
    assert_eq!(pruned, json!({"removed": 5, "remaining": 0}));
}

#[tokio::test]
async fn a_program_submits_work_for_a_client() {
    let house = House::in_memory();
    let request = JobRequest::new("own").client(ClientIdentity::new("alice"));
    let work = job_fn(async |_| Ok(JobOutput::new(1)));
    let id = house.jobs.submit(request, work).await.unwrap().to_string();
    assert_eq!(house.caller(ALICE).listed().await, [id]);
    assert_eq!(house.caller(BOB).listed().await, [""; 0]);
}

#[tokio::test]
async fn whose_a_job_is_outlives_the_server_and_is_on_disk_as_a_hash() {
    let folder = TempDir::new().unwrap();
    let house = House::over(&folder).await;
    let id = house.caller(ALICE).ended_job().await;
    let session = house.session(None).await;
    session.clone().ended_job().await;
    house.jobs.shutdown().await.unwrap();
    let house = House::over(&folder).await;
    assert_eq!(house.caller(ALICE).listed().await, [&*id]);
    assert_eq!(house.session(ALICE).await.listed().await, [id]);
    assert_eq!(house.caller(BOB).listed().await, [""; 0]);
    for file in ["jobs.json", "journal.ndjson"] {
        let text = std::fs::read_to_string(folder.path().join("meta").join(file)).unwrap();
        let hash = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
        assert!(text.contains(&format!("\"scope\":\"identity:{hash}\"")), "{text}");
        assert!(text.contains("\"scope\":\"session:"), "{text}");
        assert!(!text.contains("alice") && !text.contains(session.session_id()), "{text}");
    }
}

#[tokio::test]
async fn no_answer_says_whose_a_job_is() {
    let house = House::in_memory();
    let mut alice = house.caller(ALICE);
    let id = job_of_alice(&house).await;
    house.shop.gate.open();
    let about = json!({"job_id": id});
    let mut answers = vec![
        alice.call("wait_job", json!({"job_ids": [id]})).await,
        alice.call("job_status", about.clone()).await,
        alice.call("job_result", about.clone()).await,
        alice.call("cancel_job", about).await,
        alice.call("list_jobs", json!({})).await,
        alice.ask("tasks/get", json!({"taskId": id})).await,
        alice.ask("resources/list", json!({})).await,
    ];
    for part in ["", "/result"] {
        let uri = format!("job://{id}{part}");
        answers.push(alice.ask("resources/read", json!({"uri": uri})).await);
    }
    for answer in answers {
        let text = answer.to_string();
        assert!(!text.contains("scope\\\"") && !text.contains("identity:"), "{text}");
        assert!(answer.pointer("/structuredContent/job/scope").is_none(), "{text}");
    }
    let job = house.jobs.status(id.parse().unwrap()).await.unwrap();
    assert!(job.spec.scope.is_some() && !format!("{job:?}").contains("identity"));
}

/// Leaves a job behind, of a server that is gone, that runs again.
async fn left_behind(folder: &TempDir) -> JobId {
    let house = House::over(folder).await;
    let id = house.caller(ALICE).job("make_for_all", chair()).await;
    house.shop.gate.arrived(1).await;
    house.jobs.shutdown().await.unwrap();
    id.parse().unwrap()
}

#[tokio::test]
async fn work_that_runs_again_is_its_clients_as_before() {
    let folder = TempDir::new().unwrap();
    let id = left_behind(&folder).await;
    let house = House::over(&folder).await;
    assert_eq!(house.caller(ALICE).listed().await, [id.to_string()]);
    house.shop.gate.arrived(1).await;
    assert_eq!(house.caller(BOB).listed().await, [""; 0]);
    let mut bob = house.caller(BOB);
    assert_ne!(bob.job("make_for_all", chair()).await, id.to_string());
    assert_eq!(house.caller(ALICE).job("make_for_all", chair()).await, id.to_string());
}

/// A record that a later version marked in its own way is nobody's that this one knows.
#[tokio::test]
async fn a_mark_of_a_later_version_hides_a_job_from_everybody_over_http() {
    let folder = TempDir::new().unwrap();
    let id = JobId::new().to_string();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let job = json!({
        "id": id, "label": "make", "tool": "make", "server": "shop", "status": "pending", "scope": "tenant:one",
        "created_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z"
    });
    store.insert(JobRecord::from_json(job).unwrap()).await.unwrap();
    store.close().await.unwrap();
    let house = House::over(&folder).await;
    let mut callers = strangers(&house).await;
    callers.push(house.caller(ALICE));
    for mut caller in callers {
        assert_eq!(caller.listed().await, [""; 0]);
        let call = |id: &str| json!({"name": "job_status", "arguments": {"job_id": id}});
        compared(&mut caller, &id, "tools/call", call).await;
    }
    let client = Client::connect(Shop::new(house.jobs.clone()).with_jobs(house.jobs.clone())).await;
    assert_eq!(client.status(&id).await["error_kind"], "interrupted");
}
