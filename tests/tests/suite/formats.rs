//! State files of released formats, which have to load for ever. `formats/1` was written by a demo server: five jobs, of
//! which two completed, one failed, one was cancelled and one was interrupted. `formats/1-results` has two results in
//! files of their own, `formats/1-scope` a job of an identity and one of a session. Files are added here, and never changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use smart_async::ClientIdentity;
use smart_async::job::{FailureKind, JobQuery, JobState, JobStatus, ResultLocation};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

const VIEW: &str = include_str!("formats/1/jobs.json");
const JOURNAL: &str = include_str!("formats/1/journal.ndjson");

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
                    fs::copy(fixture.join(&file), folder.path().join(&file)).unwrap();
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
            fs::copy(fixture.join(file), meta.join(file)).unwrap();
        }
        let store = JournalStore::open(folder.path()).await.unwrap();
        let mut query = JobQuery::default();
        query.scope = Some(ClientIdentity::new("the one user").into());
        let page = store.list(query).await.unwrap();
        assert_eq!((&*page.jobs[0].spec.label, page.total), ("of an identity, one user", 1));
        let all = store.list(JobQuery::default()).await.unwrap();
        let session = all.jobs.iter().find(|job| job.spec.label == "of a session").unwrap();
        // The SHA-256 of 81f0f600-e154-4b8e-9366-930aea622f84, which was the id of the session.
        let mark = "session:7401ae9f6498183af4b24aad64dbdcc2d7a000a14b6cd9051332ae03713309b1";
        assert_eq!(session.spec.scope.as_ref().unwrap().as_str(), mark);
    }
}
