//! Inputs that are made to mislead: ids that are spelled otherwise or are no ids, labels that show as something else, and a record
//! that names a file outside of the job folder. `docs/design/security.md` names the tests of the other entries.

use std::fs;

use serde_json::json;
use smart_async::job::{Change, JobEvent, JobId, JobOutput, JobRecord, JobSpec};
use smart_async::store::conformance::helpers::at;
use smart_async::store::{JobStore, JournalStore};
use smart_async_tests::Fixture;
use tempfile::TempDir;

#[tokio::test(start_paused = true)]
async fn an_id_in_another_spelling_is_the_same_job_or_none() {
    let fixture = Fixture::new().await;
    let id = fixture.client.job("make", json!({"async_mode": true})).await;
    for other in
        [id.to_uppercase(), format!("{{{id}}}"), format!("urn:uuid:{id}"), id.replace('-', "")]
    {
        let asked = fixture.client.call("job_status", json!({"job_id": other})).await;
        let answer = asked.structured_content.unwrap();
        let is_the_same = answer["job"]["id"] == id;
        assert!(is_the_same || asked.is_error == Some(true), "{other}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_id_is_refused_by_each_tool_in_a_few_words() {
    let fixture = Fixture::new().await;
    let no_ids = [
        "../../meta/jobs.json".to_owned(),
        "results/../../secret".to_owned(),
        "x".repeat(1 << 20),
        "\u{202e}1\u{0}2".to_owned(),
        "00000000-0000-0000-0000-000000000000' or '1'='1".to_owned(),
    ];
    for no_id in no_ids {
        for tool in ["job_status", "job_result", "cancel_job", "answer_job", "wait_job"] {
            let argument = if tool == "wait_job" { "job_ids" } else { "job_id" };
            let complaint = fixture.client.complaint(tool, json!({argument: [&no_id]})).await;
            assert!(complaint.len() < 400, "{tool}: {complaint}");
            assert!(!complaint.contains(['\u{202e}', '\u{0}']), "{tool}: {complaint:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_that_shows_as_something_else_is_refused() {
    let fixture = Fixture::new().await;
    for hidden in
        ["\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "\u{ad}", "\u{e0041}", "\u{2028}"]
    {
        let label = format!("pay{hidden}roll");
        let complaint = fixture.client.complaint("make", json!({"job_label": label})).await;
        assert!(complaint.starts_with("job_label: must be without"), "{complaint}");
        assert!(!complaint.contains(hidden), "{complaint:?}");
    }
    assert_eq!(fixture.tools.begun(), 0);
    // Words of any language, and emoji that are made of several characters, are labels.
    for label in ["\u{645}\u{6cc}\u{200c}\u{62e}", "\u{1f469}\u{200d}\u{1f4bb}", "e\u{301}"] {
        let id = fixture.client.job("make", json!({"job_label": label, "async_mode": true})).await;
        assert_eq!(fixture.client.status(&id).await["label"], label);
    }
}

#[tokio::test]
async fn a_record_that_names_a_file_elsewhere_is_read_from_its_own() {
    let folder = TempDir::new().unwrap();
    let (home, secret) = (folder.path().join("jobs"), folder.path().join("secret.json"));
    let store = JournalStore::open(&home).await.unwrap();
    let mut job = JobRecord::new(JobId::new(), JobSpec::new("simulate", "reactor", at(0)));
    job.owner = Some(store.owner());
    store.insert(job.clone()).await.unwrap();
    store.update(job.id, Change::new(JobEvent::Start, at(1))).await.unwrap();
    let end = JobEvent::Complete(JobOutput::new("x".repeat(10_000)));
    store.update(job.id, Change::new(end, at(2))).await.unwrap();
    store.close().await.unwrap();

    fs::write(&secret, json!({"version": 1, "id": job.id, "result": "secret"}).to_string())
        .unwrap();
    let own = format!("results/{}.json", job.id);
    for file in ["meta/journal.ndjson", "meta/jobs.json"] {
        let text = fs::read_to_string(home.join(file)).unwrap();
        assert!(text.contains(&own), "{file}");
        // A line that a person changed has no checksum.
        let changed = text.lines().map(|line| {
            let line = line.replace(&own, "../secret.json");
            match line.split_once(",\"crc\":") {
                Some((before, _)) => format!("{before}}}"),
                None => line,
            }
        });
        let changed: Vec<_> = changed.collect();
        fs::write(home.join(file), changed.join("\n") + "\n").unwrap();
    }
    let store = JournalStore::open(&home).await.unwrap();
    let found = store.get_with_result(job.id).await.unwrap().unwrap().to_json();
    assert_eq!(found["result"], "x".repeat(10_000), "{found}");
}

#[tokio::test(start_paused = true)]
async fn an_argument_that_is_no_argument_is_named_in_a_few_words() {
    let fixture = Fixture::new().await;
    let name = "\u{202e}x\n".repeat(100_000);
    let complaint = fixture.client.complaint("list_jobs", json!({name: 1})).await;
    assert!(complaint.len() < 400 && !complaint.contains(['\u{202e}', '\n']), "{complaint:?}");
}
