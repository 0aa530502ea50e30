//! What a store answers from its index is what a look at each job would answer: after any sequence of changes, and after
//! the jobs were read from a file all at once. And the sentences that follow from it for files with odd lines.

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use proptest::{collection, option, sample};
use serde_json::{Value, json};
use smart_async::ClientIdentity;
use smart_async::job::{
    Change, JobEvent, JobFailure, JobId, JobOutput, JobQuery, JobRecord, JobScope, JobSpec,
    JobStatus, Prune, Question, Timestamp,
};
use smart_async::store::conformance::helpers::unnumbered;
use smart_async::store::{JobStore, JournalStore, MemoryStore};
use tempfile::TempDir;

#[derive(Debug, Clone)]
enum Step {
    Insert(Box<JobRecord>),
    /// Of the job that was inserted as the n-th, whatever has become of it.
    Update(sample::Index, Box<Change>),
    Withdraw(sample::Index),
    Prune(Prune),
}

/// Few moments, so that many jobs are of the same age; and some that no record keeps to the last digit.
fn moment() -> impl Strategy<Value = Timestamp> {
    let millis = (0..6_i64).prop_map(Timestamp::from_timestamp_millis);
    let nanos = (0..6_i64).prop_map(|nanos| Some(Timestamp::from_timestamp_nanos(nanos)));
    prop_oneof![9 => millis, 1 => nanos].prop_map(Option::unwrap)
}

fn word() -> impl Strategy<Value = String> {
    sample::select(vec!["", "one", "two \"2\"\n🦀"]).prop_map(str::to_owned)
}

fn client() -> impl Strategy<Value = JobScope> {
    sample::select(vec!["alice", "bob"]).prop_map(|name| ClientIdentity::new(name).into())
}

/// Ids all over, so that they are in many parts of the table.
fn job() -> impl Strategy<Value = JobRecord> {
    let rare = |word| option::weighted(0.3, word);
    let marks = (rare(word()), rare(word()), rare(word()), option::of(client()));
    (any::<[u8; 16]>(), word(), word(), moment(), marks).prop_map(
        |(id, server, tool, created_at, (label, session, tag, scope))| {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut job =
                JobRecord::new(hex.parse().unwrap(), JobSpec::new(tool, server, created_at));
            if let Some(label) = label {
                job.spec_mut().label = label;
            }
            (job.spec_mut().session, job.spec_mut().scope) = (session, scope);
            job.spec_mut().tags.extend(tag.map(|value| ("colour".to_owned(), value)));
            job
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let result = prop_oneof![
        Just(Value::Null),
        word().prop_map(Value::from),
        // Longer than what is kept as text.
        Just(Value::from("x".repeat(5000)))
    ];
    let event = prop_oneof![
        3 => Just(JobEvent::Start),
        1 => Just(JobEvent::Ask("name".into(), Box::new(Question::new(Value::Null, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)))),
        3 => result.prop_map(|result| JobEvent::Complete(JobOutput::new(result))),
        1 => word().prop_map(|message| JobEvent::Fail(JobFailure::error(message))),
        1 => Just(JobEvent::Cancel),
    ];
    (event, moment()).prop_map(|(event, at)| Change::new(event, at))
}

fn statuses() -> impl Strategy<Value = Vec<JobStatus>> {
    collection::vec(sample::select(JobStatus::ALL.to_vec()), 0..4)
}

fn query() -> impl Strategy<Value = JobQuery> {
    let rare = |word| option::weighted(0.2, word);
    let tag = rare(word()).prop_flat_map(|value| (Just(value), any::<bool>()));
    let limit = option::of(0..5_usize);
    let whose = (rare(word()), option::weighted(0.2, client()));
    (option::of(word()), statuses(), rare(word()), tag, whose, limit).prop_map(
        |(server, statuses, label, (tag, any_value), (session, scope), limit)| {
            let mut query = JobQuery::default();
            query.with_total = true;
            (query.server, query.statuses, query.label) = (server, statuses, label);
            query.tag = tag.map(|value| ("colour".to_owned(), (!any_value).then_some(value)));
            (query.session, query.scope, query.limit) = (session, scope, limit);
            query
        },
    )
}

fn prune() -> impl Strategy<Value = Prune> {
    let keep_bytes = option::weighted(0.4, 0..8000_u64);
    let whose = (option::of(word()), option::weighted(0.3, client()));
    (whose, statuses(), option::of(moment()), 0..6_usize, keep_bytes).prop_map(
        |((server, scope), statuses, ended_before, keep_newest, keep_bytes)| {
            let mut prune = Prune::default();
            prune.scope = scope;
            (prune.server, prune.statuses, prune.ended_before) = (server, statuses, ended_before);
            (prune.keep_newest, prune.keep_bytes) = (keep_newest, keep_bytes);
            prune
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let one = || any::<sample::Index>();
    prop_oneof![
        6 => job().prop_map(|job| Step::Insert(Box::new(job))),
        12 => (one(), change()).prop_map(|(job, change)| Step::Update(job, Box::new(change))),
        1 => one().prop_map(Step::Withdraw),
        2 => prune().prop_map(Step::Prune),
    ]
}

/// Every job there is, each found by its id.
async fn scan(store: &dyn JobStore, ids: &[JobId]) -> Vec<Arc<JobRecord>> {
    let mut found = Vec::new();
    for id in ids {
        found.extend(store.get(*id).await.unwrap());
    }
    found
}

async fn answers_as_a_scan(
    store: &dyn JobStore,
    jobs: &[Arc<JobRecord>],
    queries: &[JobQuery],
) -> TestCaseResult {
    for query in queries {
        let (found, expected) =
            (store.list(query.clone()).await.unwrap(), query.select(jobs.iter().cloned()));
        prop_assert_eq!(found.total, expected.total, "{:?}", query);
        prop_assert_eq!(found.jobs, expected.jobs, "{:?}", query);
    }
    for server in ["", "one"] {
        let live =
            jobs.iter().filter(|job| !job.status().is_terminal() && job.spec.server == server);
        let mut live: Vec<_> = live.map(|job| job.id).collect();
        let abandoned = store.abandoned(Some(server.to_owned())).await.unwrap();
        let mut abandoned: Vec<_> = abandoned.iter().map(|job| job.id).collect();
        live.sort();
        abandoned.sort();
        prop_assert_eq!(abandoned, live, "nobody owns any of them");
    }
    Ok(())
}

async fn run(steps: Vec<Step>, queries: Vec<JobQuery>) -> TestCaseResult {
    let store = MemoryStore::new();
    let mut ids = Vec::new();
    for step in steps {
        match step {
            Step::Insert(job) => {
                ids.push(job.id);
                store.insert(*job).await.unwrap();
            }
            Step::Update(..) | Step::Withdraw(_) if ids.is_empty() => {}
            Step::Update(job, change) => {
                let _ = store.update(*job.get(&ids), *change).await;
            }
            Step::Withdraw(job) => store.withdraw(*job.get(&ids)).await.unwrap(),
            Step::Prune(prune) => {
                let before = scan(&store, &ids).await;
                let mut doomed = prune.select(before.iter().map(AsRef::as_ref));
                let pruned = store.prune(prune.clone()).await.unwrap();
                let after = scan(&store, &ids).await;
                let gone = before.iter().filter(|job| !after.iter().any(|left| left.id == job.id));
                let mut gone: Vec<_> = gone.map(|job| job.id).collect();
                gone.sort();
                doomed.sort();
                prop_assert_eq!(&gone, &doomed, "{:?}", prune);
                let counts = |job: &&Arc<JobRecord>| {
                    prune.server.as_ref().is_none_or(|server| *server == job.spec.server)
                        && (prune.scope.is_none() || prune.scope == job.spec.scope)
                };
                let left = after.iter().filter(counts);
                prop_assert_eq!((pruned.removed, pruned.remaining), (gone.len(), left.count()));
            }
        }
    }
    let jobs = scan(&store, &ids).await;
    answers_as_a_scan(&store, &jobs, &queries).await?;

    let folder = TempDir::new().unwrap();
    write(&folder, "jobs.json", &json!({"version": 1, "jobs": jobs}).to_string());
    let store = JournalStore::open(folder.path()).await.unwrap();
    let jobs = scan(&store, &ids).await;
    answers_as_a_scan(&store, &jobs, &queries).await
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]
    #[test]
    fn an_index_answers_as_a_look_at_each_job_would(
        steps in collection::vec(step(), 1..60),
        queries in collection::vec(query(), 1..12),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(steps, queries))?;
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let meta = folder.path().join("meta");
    fs::create_dir_all(&meta).unwrap();
    fs::write(meta.join(name), text).unwrap();
}

/// A folder whose journal has these lines after its first one.
fn folder_with(lines: &[String]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let header = json!({"journal": "5f0c1f0e-6a53-4a0e-9a67-2f7f6d1a2b3c", "version": 1});
    write(&folder, "journal.ndjson", &format!("{header}\n{}\n", lines.join("\n")));
    folder
}

fn pending() -> JobRecord {
    JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", Timestamp::UNIX_EPOCH))
}

fn started(job: &JobRecord) -> JobRecord {
    job.apply(Change::new(JobEvent::Start, Timestamp::UNIX_EPOCH)).unwrap()
}

fn completed(job: &JobRecord) -> JobRecord {
    let end = JobEvent::Complete(JobOutput::new(json!({"rows": 3})));
    started(job).apply(Change::new(end, Timestamp::UNIX_EPOCH)).unwrap()
}

fn put(job: &Value) -> String {
    json!({"put": job}).to_string()
}

async fn status(folder: &TempDir, id: JobId) -> Option<JobStatus> {
    let store = JournalStore::open(folder.path()).await.unwrap();
    store.get(id).await.unwrap().map(|job| job.status())
}

#[tokio::test]
async fn the_last_line_that_can_be_read_counts_wherever_the_others_stand() {
    let job = pending();
    let (first, second) = (put(&job.to_json()), put(&started(&job).to_json()));
    let mut later = completed(&job).to_json();
    later["status"] = "paused".into();
    let later = put(&later);
    let torn = second[..second.len() - 20].to_owned();
    let remove = json!({"remove": [job.id]}).to_string();
    let running = Some(JobStatus::Running);
    let cases = [
        (vec![&first, &second], running),
        (vec![&first, &second, &later], running),
        (vec![&first, &later, &second], running),
        (vec![&first, &second, &torn], running),
        (vec![&first, &torn, &second], running),
        (vec![&later, &torn], None),
        (vec![&first, &remove], None),
        (vec![&first, &remove, &second], running),
        (vec![&first, &remove, &later], None),
        (vec![&second, &first], Some(JobStatus::Pending)),
    ];
    for (lines, expected) in cases {
        let lines: Vec<_> = lines.into_iter().cloned().collect();
        assert_eq!(status(&folder_with(&lines), job.id).await, expected, "{lines:#?}");
    }
}

#[tokio::test]
async fn a_record_is_read_however_its_fields_are_written() {
    let job = completed(&pending());
    let mut spaced = serde_json::to_string_pretty(&job).unwrap();
    let twice =
        spaced.replacen("\"server\": \"reactor\"", "\"server\": 7, \"server\": \"reactor\"", 1);
    assert_ne!(spaced, twice);
    spaced.push('\n');
    let mut other = job.to_json();
    other.as_object_mut().unwrap().remove("terminal");
    other["created_at"] = "1970-01-01T02:00:00.0000+02:00".into();
    for text in [spaced, twice, other.to_string()] {
        let folder = TempDir::new().unwrap();
        write(&folder, "jobs.json", &format!("{{\"version\":1,\"jobs\":[{text}]}}"));
        // Twice: from what a person wrote, and from what was made of it.
        for _ in 0..2 {
            let store = JournalStore::open(folder.path()).await.unwrap();
            assert_eq!(*store.get(job.id).await.unwrap().unwrap(), job);
            store.close().await.unwrap();
            let view = fs::read(folder.path().join("meta/jobs.json")).unwrap();
            let view: Value = serde_json::from_slice(&view).unwrap();
            assert_eq!(view["jobs"], json!([job.to_json()]));
        }
        let journal = fs::read_to_string(folder.path().join("meta/journal.ndjson")).unwrap();
        for line in journal.lines().filter(|line| !line.is_empty()) {
            serde_json::from_str::<Value>(line).expect("a record is one line of the journal");
        }
    }
}

#[tokio::test]
async fn what_an_ended_record_holds_is_the_same_however_it_is_kept() {
    let store = MemoryStore::new();
    let texts = ["".to_owned(), "two\nlines \u{0} \u{2028} 🦀".to_owned(), "x".repeat(10_000)];
    for text in texts {
        // Finer than what is written.
        for at in [Timestamp::UNIX_EPOCH, Timestamp::from_timestamp_nanos(1_234_567)] {
            let mut job = JobRecord::new(JobId::new(), JobSpec::new(&*text, &*text, at));
            job.unknown_fields.insert("shoe_size".into(), json!({"eu": 43.5, "uk": null}));
            job.spec_mut().tags.insert(text.clone(), text.clone());
            store.insert(job.clone()).await.unwrap();
            let mut expected = job;
            let mut output = JobOutput::new(text.clone()).with_metadata("", 0.1);
            output.tool_result = Some(Value::Null);
            for event in [JobEvent::Start, JobEvent::Complete(output)] {
                let change = Change::new(event, at);
                expected = expected.apply(change.clone()).unwrap();
                store.update(expected.id, change).await.unwrap();
            }
            assert!(unnumbered(&store.get(expected.id).await.unwrap().unwrap()) == expected);
        }
    }
}
