//! State files of released formats, which have to load for ever. `formats/1` was written by a demo server: five jobs, of
//! which two completed, one failed, one was cancelled and one was interrupted. `formats/1-results` has two results in
//! files of their own, `formats/1-scope` a job of an identity and one of a session, `formats/1-state` a state of a folder whose
//! journal knew no states. `formats/2` has jobs of every kind of end, a result in a file of its own, and two states. Files are
//! added here, and never changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use smart_async::ClientIdentity;
use smart_async::job::{FailureKind, JobQuery, JobState, JobStatus, ResultLocation, StateName};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

const VIEW: &str = include_str!("formats/1/jobs.json");
const JOURNAL: &str = include_str!("formats/1/journal.ndjson");

/// Copies a file without its mode: a checkout may have made it writable for the group, and the store refuses such files.
fn put(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

async fn check(view: Option<&str>, journal: Option<&str>) {
    let folder = TempDir::new().unwrap();
    let meta = folder.path().join("meta");
    fs::create_dir(&meta).unwrap();
    let put = |name: &str, text: Option<&str>| {
        text.map(|text| fs::write(meta.join(Path::new(name)), text).unwrap())
    };
    put("jobs.json", view);
    put("journal.ndjson", journal);

    let store = JournalStore::open(folder.path()).await.unwrap();
    let page = store.list(JobQuery::default()).await.unwrap();
    let mut counted = BTreeMap::<JobStatus, usize>::new();
    for job in &page.jobs {
        *counted.entry(job.status()).or_default() += 1;
        assert_eq!(job.spec.server, "demo");
    }
    let expected = [(JobStatus::Completed, 2), (JobStatus::Failed, 2), (JobStatus::Cancelled, 1)];
    assert_eq!(counted, BTreeMap::from(expected));
    let results = page.jobs.iter().filter_map(|job| match &job.state {
        JobState::Completed { output, .. } => {
            Some((job.spec.label.as_str(), output.result.clone()))
        }
        _ => None,
    });
    let results: BTreeMap<_, _> = results.collect();
    assert_eq!(
        results,
        BTreeMap::from([("note", json!("noted: grüße")), ("three", json!({"counted": 3}))])
    );
    let failures = page.jobs.iter().filter_map(|job| match &job.state {
        JobState::Failed { failure, .. } => Some((failure.kind.clone(), failure.message.as_str())),
        _ => None,
    });
    let mut failures: Vec<_> = failures.collect();
    failures.sort_by_key(|(_, message)| *message);
    let interrupted = (FailureKind::Interrupted, "the server stopped before the work ended");
    assert_eq!(failures, [(FailureKind::Error, "stumbled at 2"), interrupted]);
}

#[tokio::test]
async fn the_first_format_loads() {
    check(Some(VIEW), Some(JOURNAL)).await;
    check(None, Some(JOURNAL)).await;
    check(Some(VIEW), None).await;
}

#[tokio::test]
async fn a_view_from_before_there_was_a_journal_loads() {
    let mut view: serde_json::Value = serde_json::from_str(VIEW).unwrap();
    let fields = view.as_object_mut().unwrap();
    fields.remove("journal");
    fields.remove("position");
    check(Some(&view.to_string()), None).await;
}

#[tokio::test]
async fn results_in_files_of_their_own_load() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/formats/1-results");
    for view in [true, false] {
        let folder = TempDir::new().unwrap();
        for part in ["meta", "results"] {
            fs::create_dir(folder.path().join(part)).unwrap();
            for file in fs::read_dir(fixture.join(part)).unwrap() {
                let file = Path::new(part).join(file.unwrap().file_name());
                if view || !file.ends_with("jobs.json") {
                    put(&fixture.join(&file), &folder.path().join(&file));
                }
            }
        }
        let store = JournalStore::open(folder.path()).await.unwrap();
        let mut found = BTreeMap::new();
        for job in store.list(JobQuery::default()).await.unwrap().jobs {
            let whole = store.get_with_result(job.id).await.unwrap().unwrap();
            assert_eq!(whole.result_location, ResultLocation::InRecord);
            found.insert(job.spec.label.clone(), (job.result_location, whole.state.clone()));
        }
        let in_file = |bytes, file_bytes| ResultLocation::InFile { bytes, file_bytes };
        match &found["large"] {
            (kept, JobState::Completed { output, .. }) => {
                assert_eq!(*kept, in_file(5000, 5098));
                assert_eq!(output.result, json!("ü".repeat(2500)));
                assert_eq!(output.metadata["letters"], 2500);
            }
            other => panic!("{other:?}"),
        }
        match &found["failed"] {
            (kept, JobState::Failed { failure, .. }) => {
                assert_eq!(*kept, in_file(7011, 7086));
                let details = json!({"lines": vec!["line"; 1000]});
                assert_eq!((&*failure.message, &failure.details), ("no room", &Some(details)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(found["small"].0, ResultLocation::InRecord);
    }
}

#[tokio::test]
async fn whose_a_job_is_loads() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/formats/1-scope");
    for files in [&["jobs.json", "journal.ndjson"][..], &["jobs.json"], &["journal.ndjson"]] {
        let folder = TempDir::new().unwrap();
        let meta = folder.path().join("meta");
        fs::create_dir(&meta).unwrap();
        for file in files {
            put(&fixture.join(file), &meta.join(file));
        }
        let store = JournalStore::open(folder.path()).await.unwrap();
        let mut query = JobQuery::default();
        query.scope = Some(ClientIdentity::new("the one user").into());
        let page = store.list(query).await.unwrap();
        assert_eq!((&*page.jobs[0].spec.label, page.jobs.len()), ("of an identity, one user", 1));
        let all = store.list(JobQuery::default()).await.unwrap();
        let session = all.jobs.iter().find(|job| job.spec.label == "of a session").unwrap();
        // The SHA-256 of 81f0f600-e154-4b8e-9366-930aea622f84, which was the id of the session.
        let mark = "session:7401ae9f6498183af4b24aad64dbdcc2d7a000a14b6cd9051332ae03713309b1";
        assert_eq!(session.spec.scope.as_ref().unwrap().as_str(), mark);
    }
}

/// The name and the value of each state.
async fn states(store: &JournalStore, names: &[&str]) -> Vec<Option<serde_json::Value>> {
    let mut found = Vec::new();
    for name in names {
        let state = store.state(StateName::new(*name).unwrap()).await.unwrap();
        found.push(state.map(|state| state.value.clone()));
    }
    found
}

/// Copies these files of a fixture to a folder of its own.
fn copy(fixture: &str, files: &[&str]) -> TempDir {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/formats").join(fixture);
    let folder = TempDir::new().unwrap();
    for file in files {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        put(&fixture.join(file), &to);
    }
    folder
}

#[tokio::test]
async fn a_state_of_the_first_format_is_taken_into_the_journal() {
    let folder = copy("1-state", &["state/latest.json"]);
    fs::create_dir(folder.path().join("meta")).unwrap();
    fs::write(folder.path().join("meta/journal.ndjson"), JOURNAL).unwrap();
    for _ in 0..2 {
        let store = JournalStore::open(folder.path()).await.unwrap();
        assert_eq!(states(&store, &["latest"]).await, [Some(json!({"counted": 3}))]);
        assert_eq!(store.list(JobQuery::default()).await.unwrap().jobs.len(), 5);
        store.close().await.unwrap();
        // From now on the journal has it.
        fs::remove_dir_all(folder.path().join("state")).unwrap();
    }
}

#[tokio::test]
async fn the_second_format_loads() {
    let (journal, view) = ("meta/journal.ndjson", "meta/jobs.json");
    let (latest, inline) = ("state/latest.json", "state/inline.json");
    let result = "results/22222222-0000-4000-8000-000000000002.json";
    for files in [
        &[journal, view, latest, inline, result][..],
        &[journal, result],
        &[journal, view, result],
        &[view, latest, inline, result],
    ] {
        let folder = copy("2", files);
        let store = JournalStore::open(folder.path()).await.unwrap();
        let page = store.list(JobQuery::default()).await.unwrap();
        let mut found: Vec<_> =
            page.jobs.iter().map(|job| (&*job.spec.label, job.status())).collect();
        found.sort_unstable();
        let expected = [
            ("cancelled", JobStatus::Cancelled),
            ("failed", JobStatus::Failed),
            ("large", JobStatus::Completed),
            ("pending", JobStatus::Pending),
            ("running", JobStatus::Running),
            ("small", JobStatus::Completed),
        ];
        assert_eq!(found, expected, "{files:?}");
        for job in &page.jobs {
            let whole = store.get_with_result(job.id).await.unwrap().unwrap();
            match (&*job.spec.label, &whole.state) {
                ("large", JobState::Completed { output, .. }) => {
                    assert!(job.result_location.is_in_file());
                    assert_eq!(output.result, json!("ü".repeat(2500)));
                }
                ("small", JobState::Completed { output, .. }) => {
                    assert_eq!(output.result, json!({"counted": 3}));
                }
                ("failed", JobState::Failed { failure, .. }) => {
                    assert_eq!(failure.message, "stumbled at 2");
                }
                _ => {}
            }
        }
        let values = [Some(json!({"counted": 3})), Some(json!("inline"))];
        assert_eq!(states(&store, &["latest", "inline"]).await, values, "{files:?}");
        store.close().await.unwrap();
    }
}
