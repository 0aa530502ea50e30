//! Any sequence of operations has the same answers from the file store as from the memory store, whichever of two
//! processes does it, also after a restart, a torn line, or a crash at the end that leaves the journal alone.
//!
//! `SMART_ASYNC_MODEL_CASES` says how many sequences are tried (60; 2,000 in a long run).

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use proptest::{collection, option, sample};
use smart_async::job::{
    Change, ClaimToken, FailureKind, JobEvent, JobFailure, JobId, JobOutput, JobPage, JobQuery,
    JobRecord, JobSpec, JobStatus, OwnerId, PendingReason, Progress, Prune, Question,
    ResultLocation, Timestamp,
};
use smart_async::store::conformance::helpers::unnumbered;
use smart_async::store::{JobStore, JournalStore, MemoryStore, StoreError};
use tempfile::TempDir;

/// So many jobs are there at most: few enough that a sequence comes back to them.
const JOBS: u8 = 6;

#[derive(Debug, Clone)]
enum Operation {
    Insert(Box<JobRecord>),
    Update(JobId, Change),
    Get(JobId),
    List(JobQuery),
    Prune(Prune),
    Withdraw(JobId),
    Abandoned(&'static str),
    /// The process ends, in order or not, and another takes its place.
    Reopen {
        in_order: bool,
    },
    /// A process dies while it appends.
    Tear(&'static str),
}

/// Ids that a failure can be read by.
fn id() -> impl Strategy<Value = JobId> {
    (1..=JOBS).prop_map(|number| {
        format!("0a4c8f5e-0000-4000-8000-0000000000{number:02}").parse().unwrap()
    })
}

/// Moments to the millisecond, which is what a record keeps, and often the same one.
fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0..5_000_i64, (0..5_i64).prop_map(|second| second * 1000)]
        .prop_map(|millis| Timestamp::from_timestamp_millis(1_800_000_000_000 + millis).unwrap())
}

fn server() -> impl Strategy<Value = &'static str> {
    sample::select(vec!["reactor", "forge"])
}

fn label() -> impl Strategy<Value = String> {
    sample::select(vec!["simulate", "", "two\nlines \"and\" \\ \u{0} 🦀"]).prop_map(str::to_owned)
}

fn statuses() -> impl Strategy<Value = Vec<JobStatus>> {
    collection::vec(sample::select(JobStatus::ALL.to_vec()), 0..3)
}

fn tag() -> impl Strategy<Value = (String, String)> {
    (sample::select(vec!["colour", "size"]), sample::select(vec!["red", "blue"]))
        .prop_map(|(key, value)| (key.to_owned(), value.to_owned()))
}

fn progress() -> impl Strategy<Value = Progress> {
    let number = || {
        prop_oneof![
            (-100..200_i32).prop_map(f64::from),
            any::<f64>().prop_filter("numbers are finite", |number| number.is_finite())
        ]
    };
    (number(), option::of(number()), option::of(label()))
        .prop_map(|(current, total, message)| Progress::new(current, total, message))
}

/// An owner that lives no more.
fn dead() -> OwnerId {
    serde_json::from_value("0a4c8f5e-0000-4000-8000-0000000000ff".into()).unwrap()
}

fn rerun() -> impl Strategy<Value = (serde_json::Map<String, serde_json::Value>, u32)> {
    (label(), 1..3_u32).prop_map(|(what, max_reruns)| {
        let arguments = serde_json::json!({"what": what}).as_object().cloned().unwrap();
        (arguments, max_reruns)
    })
}

fn job() -> impl Strategy<Value = JobRecord> {
    let texts = (label(), option::of(label()), option::of(tag()));
    (id(), server(), moment(), texts, any::<bool>(), option::of(rerun())).prop_map(
        |(id, server, created_at, (label, session, tag), owned, rerun)| {
            let mut job = JobRecord::new(id, JobSpec::new("simulate", server, created_at));
            let spec = job.spec_mut();
            (spec.label, spec.session) = (label, session);
            spec.tags.extend(tag);
            if let Some((arguments, max_reruns)) = rerun {
                (spec.arguments, spec.max_reruns) = (Some(arguments), Some(max_reruns));
            }
            job.owner = owned.then(dead);
            job
        },
    )
}

fn key() -> impl Strategy<Value = String> {
    sample::select(vec!["name".to_owned(), "size".to_owned()])
}

fn event() -> impl Strategy<Value = JobEvent> {
    let value = || {
        sample::select(vec![
            serde_json::Value::Null,
            serde_json::json!({"rows": [1, "two", null, 0.25], "": {}}),
            "x".repeat(5000).into(),
        ])
    };
    prop_oneof![
        4 => Just(JobEvent::Start),
        2 => Just(JobEvent::Progress),
        2 => (key(), value()).prop_map(|(key, request)| {
            let question = Question::new(request, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
            JobEvent::Ask(key, Box::new(question))
        }),
        1 => (key(), value()).prop_map(|(key, answer)| JobEvent::Answer(key, answer)),
        1 => key().prop_map(JobEvent::GiveUp),
        1 => Just(JobEvent::RequestCancel),
        2 => (value(), option::of(label())).prop_map(|(result, note)| {
            let output = JobOutput::new(result);
            JobEvent::Complete(match note {
                Some(note) => output.with_metadata("note", note),
                None => output,
            })
        }),
        1 => (label(), value()).prop_map(|(message, details)| {
            let failure = JobFailure::new(FailureKind::from("lost"), message);
            JobEvent::Fail(failure.with_details(details))
        }),
        1 => Just(JobEvent::Cancel),
        2 => label().prop_map(|reason| {
            JobEvent::Interrupt(JobFailure::new(FailureKind::Interrupted, reason))
        }),
        1 => Just(JobEvent::Requeue(PendingReason::WaitingForServer)),
        1 => Just(JobEvent::Claim(dead(), ClaimToken::new())),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let owner = option::weighted(0.3, option::of(Just(dead())));
    (event(), moment(), option::of(progress()), owner).prop_map(|(event, at, progress, owner)| {
        let change = Change::new(event, at).with_progress(progress);
        match owner {
            Some(owner) => change.owned_by(owner),
            None => change,
        }
    })
}

fn query() -> impl Strategy<Value = JobQuery> {
    let tag = tag().prop_flat_map(|(key, value)| (Just(key), option::of(Just(value))));
    let (server, limit) = (option::of(server()), option::of(0..8_usize));
    let rare = |label| option::weighted(0.2, label);
    (server, statuses(), rare(label()), option::weighted(0.2, tag), rare(label()), limit).prop_map(
        |(server, statuses, label, tag, session, limit)| {
            let mut query = JobQuery::default();
            query.with_total = true;
            query.server = server.map(str::to_owned);
            (query.statuses, query.label) = (statuses, label);
            (query.tag, query.session, query.limit) = (tag, session, limit);
            query
        },
    )
}

fn prune() -> impl Strategy<Value = Prune> {
    // A large result takes a little more where it has a file of its own, and does not fit in either store.
    let bytes = option::weighted(0.2, 0..4096_u64);
    (option::of(server()), statuses(), option::of(moment()), 0..3_usize, bytes).prop_map(
        |(server, statuses, ended_before, keep_newest, keep_bytes)| {
            let mut prune = Prune::default();
            prune.server = server.map(str::to_owned);
            prune.statuses = statuses;
            (prune.ended_before, prune.keep_newest) = (ended_before, keep_newest);
            prune.keep_bytes = keep_bytes;
            prune
        },
    )
}

/// An operation, and which of the two processes does it.
fn step() -> impl Strategy<Value = (usize, Operation)> {
    let torn = [
        "{\"put\":{\"id\":\"0a4c8f5e-",
        "\n{\"put\":",
        "\n",
        "\u{0}\u{0}",
        "{\"remove\":[\"0a4c8f5e-0000-4000-8000-000000000001\"",
        "ü{}\n",
    ];
    let operation = prop_oneof![
        8 => job().prop_map(|job| Operation::Insert(Box::new(job))),
        20 => (id(), change()).prop_map(|(id, change)| Operation::Update(id, change)),
        3 => id().prop_map(Operation::Get),
        4 => query().prop_map(Operation::List),
        2 => prune().prop_map(Operation::Prune),
        1 => id().prop_map(Operation::Withdraw),
        1 => server().prop_map(Operation::Abandoned),
        1 => any::<bool>().prop_map(|in_order| Operation::Reopen { in_order }),
        1 => sample::select(torn.to_vec()).prop_map(Operation::Tear),
    ];
    (0..2_usize, operation)
}

/// A record that a failure shows whole: its own debug output hides what may be secret.
#[derive(PartialEq)]
struct Whole(JobRecord);

impl Whole {
    /// Without the numbers: a store that is opened again counts on from those of the jobs that are left.
    fn of(job: &JobRecord) -> Self {
        Self(unnumbered(job))
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_json().fmt(f)
    }
}

/// What a store said to an operation.
#[derive(Debug, PartialEq)]
enum Answer {
    Job(Whole),
    MaybeJob(Option<Whole>),
    Page(Vec<Whole>, Option<usize>),
    Ids(Vec<JobId>),
    Pruned(usize, usize),
    Done,
    /// The error's kind, and the job and the transition that it names, as its text has them.
    Refused(String),
}

/// The record with its result, which a store may keep apart.
async fn whole(store: &dyn JobStore, job: Arc<JobRecord>) -> Whole {
    if job.result_location == ResultLocation::InRecord {
        return Whole::of(&job);
    }
    let found = store.get_with_result(job.id).await.unwrap().unwrap();
    assert_eq!(found.result_location, ResultLocation::InRecord, "its result is lost");
    Whole::of(&found)
}

async fn page(store: &dyn JobStore, page: JobPage) -> Answer {
    let mut jobs = Vec::new();
    for job in page.jobs {
        jobs.push(whole(store, job).await);
    }
    Answer::Page(jobs, page.total)
}

async fn answer(store: &dyn JobStore, operation: Operation) -> Answer {
    let answer = match operation {
        Operation::Insert(job) => match store.insert(*job).await {
            Ok(job) => Ok(Answer::Job(whole(store, job).await)),
            Err(error) => Err(error),
        },
        Operation::Update(id, change) => match store.update(id, change).await {
            Ok(job) => Ok(Answer::Job(whole(store, job).await)),
            Err(error) => Err(error),
        },
        Operation::Get(id) => {
            let found = store.get_with_result(id).await;
            found.map(|found| Answer::MaybeJob(found.map(|found| Whole::of(&found))))
        }
        Operation::List(query) => match store.list(query).await {
            Ok(found) => Ok(page(store, found).await),
            Err(error) => Err(error),
        },
        Operation::Prune(prune) => {
            let pruned = store.prune(prune).await;
            pruned.map(|pruned| Answer::Pruned(pruned.removed, pruned.remaining))
        }
        Operation::Withdraw(id) => store.withdraw(id).await.map(|()| Answer::Done),
        Operation::Abandoned(server) => {
            let abandoned = store.abandoned(Some(server.to_owned())).await;
            abandoned.map(|jobs| {
                let mut ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
                ids.sort();
                Answer::Ids(ids)
            })
        }
        Operation::Reopen { .. } | Operation::Tear(_) => Ok(Answer::Done),
    };
    answer.unwrap_or_else(|error| match error {
        StoreError::Duplicate(_)
        | StoreError::NotFound(_)
        | StoreError::NotOwner(_)
        | StoreError::Illegal { .. } => Answer::Refused(error.to_string()),
        error => panic!("the store failed: {error}"),
    })
}

/// Everything that there is.
async fn everything(store: &dyn JobStore) -> Answer {
    answer(store, Operation::List(JobQuery::default())).await
}

async fn open(folder: &Path) -> JournalStore {
    JournalStore::open(folder).await.unwrap()
}

/// Everything that is found by whoever opens what a crash at this moment would leave.
async fn after_a_crash(folder: &Path, with_view: bool) -> Answer {
    let left = TempDir::new().unwrap();
    fs::create_dir_all(left.path().join("meta")).unwrap();
    let copy = |file: &str| fs::copy(folder.join(file), left.path().join(file));
    copy("meta/journal.ndjson").unwrap();
    if folder.join("results").is_dir() {
        fs::create_dir(left.path().join("results")).unwrap();
        for file in fs::read_dir(folder.join("results")).unwrap() {
            copy(Path::new("results").join(file.unwrap().file_name()).to_str().unwrap()).unwrap();
        }
    }
    if with_view && let Err(error) = copy("meta/jobs.json") {
        // It was not yet written.
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
    everything(&open(left.path()).await).await
}

async fn agree(steps: Vec<(usize, Operation)>) -> TestCaseResult {
    let folder = TempDir::new().unwrap();
    let model = MemoryStore::new();
    let mut processes = [open(folder.path()).await, open(folder.path()).await];
    for (number, (process, operation)) in steps.into_iter().enumerate() {
        match operation {
            Operation::Reopen { in_order } => {
                if in_order {
                    processes[process].close().await.unwrap();
                }
                processes[process] = open(folder.path()).await;
            }
            Operation::Tear(torn) => {
                let journal = folder.path().join("meta/journal.ndjson");
                let mut journal = File::options().append(true).open(journal).unwrap();
                journal.write_all(torn.as_bytes()).unwrap();
            }
            _ => {}
        }
        let expected = answer(&model, operation.clone()).await;
        let found = answer(&processes[process], operation.clone()).await;
        prop_assert_eq!(&found, &expected, "step {}: process {} {:?}", number, process, operation);
        prop_assert_eq!(
            everything(&processes[1 - process]).await,
            everything(&model).await,
            "step {}: the other process after {:?}",
            number,
            operation
        );
    }
    let expected = everything(&model).await;
    for with_view in [false, true] {
        let found = after_a_crash(folder.path(), with_view).await;
        prop_assert_eq!(&found, &expected, "after a crash, with the view: {}", with_view);
    }
    for process in &processes {
        prop_assert_eq!(&everything(process).await, &expected);
        process.close().await.unwrap();
    }
    let found = after_a_crash(folder.path(), true).await;
    prop_assert_eq!(&found, &expected, "after an orderly end");
    Ok(())
}

fn cases() -> u32 {
    u32::try_from(smart_async_tests::figure("SMART_ASYNC_MODEL_CASES", 60, 2_000)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_file_store_answers_as_the_memory_store_does(
        steps in collection::vec(step(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agree(steps))?;
    }
}
