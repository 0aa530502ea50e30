//! What clients are told where the job store fails: the kind of failure and the error of the system, and no place of the server.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use serde_json::{Value, json};
use smart_async::job::{JobOutput, JobQuery};
use smart_async::manager::{self, WaitFor, job_fn};
use smart_async::store::{JobStore, StoreError};
use smart_async::{JobManager, JobRequest, Reply, WithJobs, smart_async};
use smart_async_tests::{FaultyStore, Fixture, GatedTools, Wire};
use tempfile::TempDir;

use crate::http_scopes::caller::{Caller, House};

/// The place that no answer may name.
const SECRET: &str = "/srv/secret";

const LISTEN: &str = "subscriptions/listen";

/// An error of a store of the program, which tells more than a client may know.
#[derive(Debug)]
struct Telling(Option<io::Error>);

impl fmt::Display for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SECRET}/database refused the password")
    }
}

impl Error for Telling {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}

fn unavailable(action: &'static str, source: impl Error + Send + Sync + 'static) -> StoreError {
    let (place, source) = (format!("{SECRET}/meta/journal.ndjson"), Arc::new(source));
    StoreError::Unavailable { action, place, source, in_doubt: false }
}

/// The failures of a store, each with words of the text that stands for it.
fn failures() -> Vec<(StoreError, &'static str)> {
    let full = || io::Error::from_raw_os_error(28);
    let full_disk = "the job store could not be written: No space left on device (os error 28)";
    let mut in_doubt = unavailable("append to", full());
    if let StoreError::Unavailable { in_doubt, .. } = &mut in_doubt {
        *in_doubt = true;
    }
    let telling = |kind| io::Error::new(kind, Telling(None));
    let place = format!("{SECRET}/meta/jobs.json");
    vec![
        (unavailable("append to", full()), full_disk),
        (in_doubt, "whether the change stands is not known yet"),
        (unavailable("read", full()), "the job store could not be read: No space left"),
        (
            unavailable("lock", telling(io::ErrorKind::PermissionDenied)),
            "could not be used: permission denied; try again",
        ),
        (
            unavailable("write", telling(io::ErrorKind::Other)),
            "the job store could not be written; try again later",
        ),
        (
            unavailable("connect to", Telling(None)),
            "the job store could not be used; try again later",
        ),
        (unavailable("write", Telling(Some(full()))), full_disk),
        (
            StoreError::Stopped { reason: Arc::new(unavailable("sync", full())) },
            "trying to recover (the job store could not be written: No space",
        ),
        (
            StoreError::LaterVersion { place: place.clone(), found: 9, known: 1 },
            "format 9, this one knows up to 1",
        ),
        (
            StoreError::Unusable { place, reason: format!("run chmod go-w {SECRET}") },
            "the operator of this server has to mend it",
        ),
        (StoreError::OwnerLost, "this process counts as dead"),
        (StoreError::Closed, "the job store is closed"),
    ]
}

enum Client {
    Stdio(Wire),
    Http(Caller),
}

impl Client {
    async fn ask(&mut self, method: &str, params: Value) -> String {
        match self {
            Self::Stdio(wire) => wire.ask(method, params).await,
            Self::Http(caller) => caller.ask(method, params).await,
        }
        .to_string()
    }
}

/// A client of each kind.
async fn clients(house: &House) -> Vec<Client> {
    let server = || house.shop.clone().with_jobs(house.jobs.clone());
    let alice = Some("alice");
    vec![
        Client::Stdio(Wire::with_tasks(server()).await),
        Client::Stdio(Wire::initialize(server(), json!({})).await),
        Client::Http(house.caller(alice)),
        Client::Http(house.session(alice).await),
    ]
}

/// Requests that each need the store, about jobs that run, that have ended, and that ask something.
fn requests(ids: &[String]) -> Vec<(&'static str, Value)> {
    let call = |tool: &str, arguments: Value| {
        ("tools/call", json!({"name": tool, "arguments": arguments}))
    };
    let mut requests = vec![
        call("wait_job", json!({"job_ids": ids, "timeout_seconds": 1})),
        call("list_jobs", json!({})),
        call("make", json!({"what": "a chair", "async_mode": true})),
        call("make_later", json!({"what": "a table"})),
        call("make_for_all", json!({"what": "a bed"})),
        ("resources/list", json!({})),
        (LISTEN, json!({"notifications": {"taskIds": ids}})),
    ];
    for id in ids {
        requests.extend([
            call("job_status", json!({"job_id": id})),
            call("job_result", json!({"job_id": id})),
            call("answer_job", json!({"job_id": id, "content": {"what": "Ann"}})),
            call("cancel_job", json!({"job_id": id})),
            ("tasks/get", json!({"taskId": id})),
            (
                "tasks/update",
                json!({"taskId": id, "inputResponses": {"name": {"action": "decline"}}}),
            ),
            ("tasks/cancel", json!({"taskId": id})),
            ("resources/read", json!({"uri": format!("job://{id}")})),
            ("resources/read", json!({"uri": format!("job://{id}/result")})),
            ("resources/subscribe", json!({"uri": format!("job://{id}")})),
        ]);
    }
    requests.push(call("prune_jobs", json!({"max_age_hours": 0})));
    requests
}

/// A way in which a person or a fault spoils the folder of a server that runs.
struct Spoiled {
    name: &'static str,
    spoil: fn(&Path, &str),
    words: &'static str,
}

fn result_file(folder: &Path, id: &str) -> PathBuf {
    folder.join("results").join(format!("{id}.json"))
}

const SPOILED: &[Spoiled] = &[
    Spoiled {
        name: "a result is damaged",
        spoil: |folder, id| fs::write(result_file(folder, id), "no result").unwrap(),
        words: "missing or damaged",
    },
    Spoiled {
        name: "a result is gone",
        spoil: |folder, id| fs::remove_file(result_file(folder, id)).unwrap(),
        words: "missing or damaged",
    },
    Spoiled {
        name: "a result is of a later version",
        spoil: |folder, id| {
            let later = json!({"version": 99, "id": id, "payload": {}}).to_string();
            fs::write(result_file(folder, id), later).unwrap();
        },
        words: "missing or damaged",
    },
    Spoiled {
        name: "a folder stands in the place of a result",
        spoil: |folder, id| {
            fs::remove_file(result_file(folder, id)).unwrap();
            fs::create_dir(result_file(folder, id)).unwrap();
        },
        words: "missing or damaged",
    },
    Spoiled {
        name: "a folder stands in the place of the journal",
        spoil: |folder, _| {
            fs::remove_file(folder.join("meta/journal.ndjson")).unwrap();
            fs::create_dir(folder.join("meta/journal.ndjson")).unwrap();
        },
        words: "the job store could not be",
    },
    Spoiled {
        name: "a link stands in the place of the lock",
        spoil: |folder, _| {
            fs::remove_file(folder.join("meta/journal.lock")).unwrap();
            symlink(folder.join("lock"), folder.join("meta/journal.lock")).unwrap();
        },
        words: "permission denied",
    },
];

#[tokio::test]
async fn no_answer_names_the_folder_however_it_is_spoiled() {
    for Spoiled { name, spoil, words } in SPOILED {
        let folder = TempDir::new().unwrap();
        let jobs =
            JobManager::builder().folder(folder.path()).cancel_answer(Duration::from_millis(100));
        let jobs = jobs.open().await.unwrap();
        let fixture = Fixture::with_manager(jobs).await;
        let mut wire = Wire::with_tasks(fixture.server.clone()).await;
        fixture.tools.gate.open();
        let large = "x".repeat(100_000);
        let made = wire.task("make_always_job", json!({"what": large})).await;
        let id = made["taskId"].as_str().unwrap().to_owned();
        fixture.wait(&id).await;
        let running = wire.task("until_cancelled", json!({"async_mode": true})).await;
        let ids = [id.clone(), running["taskId"].as_str().unwrap().to_owned()];
        spoil(folder.path(), &id);
        let place = folder.path().to_str().unwrap();
        let mut said = Vec::new();
        // A subscription that is accepted has no answer.
        for (method, params) in requests(&ids).into_iter().filter(|(method, _)| *method != LISTEN) {
            let answer = wire.ask(method, params.clone()).await.to_string();
            assert!(!answer.contains(place), "{name}: {method} {params}: {answer}");
            said.push(answer);
        }
        assert!(said.iter().any(|said| said.contains(words)), "{name}: {said:#?}");
    }
}

#[tokio::test]
async fn a_folder_that_is_refused_at_the_start_is_named_to_the_operator_alone() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let jobs = JobManager::builder().folder(folder.path()).open_or_memory().await;
    let place = folder.path().to_str().unwrap();
    let told = jobs.health().store_error.unwrap();
    assert!(told.contains(place), "{told}");
    let mut wire = Wire::initialize(GatedTools::new().with_jobs(jobs), json!({})).await;
    let answer = wire.call("make", json!({"async_mode": true})).await.to_string();
    assert!(
        answer.contains("jobs cannot be kept on disk") && answer.contains("the operator"),
        "{answer}"
    );
    assert!(!answer.contains(place), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn no_answer_names_a_place_whatever_fails() {
    for (failure, words) in failures() {
        let store = FaultyStore::working();
        let house = House::open(JobManager::builder().with_store(store.clone()));
        let mut alice = house.caller(Some("alice"));
        let running = alice.job("make_later", json!({"what": "a stool"})).await;
        let asking = alice.job("engrave", json!({})).await;
        let ended = alice.call("order_delivery", json!({})).await;
        let ended = ended["content"][0]["text"].as_str().unwrap().to_owned();
        let mut clients = clients(&house).await;
        store.fail_all(Some(failure.clone()));
        for client in &mut clients {
            for (method, params) in requests(&[running.clone(), asking.clone(), ended.clone()]) {
                let answer = client.ask(method, params.clone()).await;
                assert!(!answer.contains(SECRET), "{failure}: {method} {params}: {answer}");
                // Some methods are those of the other era.
                let is_other_era = answer.contains("-32601") || answer.contains("-32021");
                // The work of this process was told to stop all the same.
                let was_told =
                    params["name"] == "cancel_job" && answer.contains("a restart may not know");
                assert!(
                    is_other_era || was_told || answer.contains(words),
                    "{method} {params}: {answer}"
                );
            }
        }
        store.fail_all(None);
        for job in store.list(JobQuery::default()).await.unwrap().jobs {
            assert!(!job.to_json().to_string().contains(SECRET), "{}", job.to_json());
        }
    }
}

#[smart_async(always_job)]
async fn read_plan() -> Result<String, manager::Error> {
    Err(manager::Error::Store(unavailable("read", io::Error::from_raw_os_error(5))))
}

/// Clients read the record of such a job.
#[tokio::test(start_paused = true)]
async fn the_record_of_a_function_that_fails_with_an_error_of_this_library_names_no_place() {
    let jobs = JobManager::in_memory();
    let work = job_fn(async |_| match read_plan().await {
        Reply::Job(ticket) => Ok(JobOutput::new(ticket.job_id.to_string())),
        other => panic!("{other:?}"),
    });
    let id = jobs.submit(JobRequest::new("plan"), work).await.unwrap();
    jobs.wait(&[id], WaitFor::any(), Duration::MAX).await.unwrap();
    let plan = jobs.result(id).await.unwrap().result.as_str().unwrap().parse().unwrap();
    let plan = jobs.wait(&[plan], WaitFor::any(), Duration::MAX).await.unwrap().jobs[0].to_json();
    assert!(plan["error"].as_str().unwrap().contains("(os error 5)"), "{plan}");
    assert!(!plan.to_string().contains(SECRET), "{plan}");
}
