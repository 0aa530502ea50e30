//! What a damaged, torn or lost file costs: no job that another file still has.

use std::fs;
use std::path::Path;

use smart_async::job::{JobEvent, JobId, JobQuery, JobStatus};
use smart_async::store::conformance::helpers::{change, completed, job};
use smart_async::store::{JobStore, JournalStore};
use tempfile::TempDir;

use super::shortening::shorten;
use super::{after_a_crash, ids, jobs_file, journal, lines, view};

/// Opens what is left of a folder after `harm` was done to it.
async fn after(harm: impl Fn(&Path), jobs: i64) -> Vec<JobId> {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let mut written = Vec::new();
    for second in 0..jobs {
        written.push(completed(&store, second).await);
    }
    store.close().await.unwrap();
    drop(store);
    harm(folder.path());
    let store = JournalStore::open(folder.path()).await.unwrap();
    let mut found = ids(&store, JobQuery::default()).await;
    found.reverse();
    assert_eq!(found, written);
    // It goes on from there.
    completed(&store, jobs).await;
    found
}

#[tokio::test]
async fn a_torn_last_line_spoils_nothing() {
    for torn in [
        "{\"put\":{\"id\":\"0a4c",
        "\n{\"put\":",
        "\n",
        "\u{0}\u{0}\u{0}",
        "{}\n",
        "{\"later\":1}\n",
    ] {
        after(
            |folder| {
                let mut text = fs::read(journal(folder)).unwrap();
                text.extend_from_slice(torn.as_bytes());
                fs::write(journal(folder), text).unwrap();
            },
            3,
        )
        .await;
    }
}

#[tokio::test]
async fn a_view_that_is_lost_old_damaged_or_of_another_journal_loses_nothing() {
    let harms: [fn(&Path); 5] = [
        |folder| fs::remove_file(jobs_file(folder)).unwrap(),
        |folder| fs::write(jobs_file(folder), "{").unwrap(),
        |folder| fs::write(jobs_file(folder), "{\"version\":1,\"jobs\":[]}\n").unwrap(),
        |folder| {
            let other = "{\"version\":1,\"journal\":\"0a4c8f5e-0000-4000-8000-000000000000\",\"position\":9,\"jobs\":[]}\n";
            fs::write(jobs_file(folder), other).unwrap();
        },
        |folder| fs::write(folder.join("meta/jobs.json.new"), "half of it").unwrap(),
    ];
    for harm in harms {
        after(harm, 5).await;
    }
}

#[tokio::test]
async fn a_journal_that_is_lost_or_damaged_falls_back_to_the_view() {
    let harms: [fn(&Path); 3] = [
        |folder| fs::remove_file(journal(folder)).unwrap(),
        |folder| fs::write(journal(folder), "").unwrap(),
        |folder| fs::write(journal(folder), "\u{0}\u{0}\u{0}\n").unwrap(),
    ];
    for harm in harms {
        after(harm, 5).await;
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_never_overwritten() {
    for damage in [
        "",
        "{",
        "{\"version\":1,\"jobs\":[{\"id\":",
        "[]",
        "null",
        "\u{0}\u{0}\u{0}",
        "{\"jobs\":[]}",
    ] {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("meta")).unwrap();
        fs::write(jobs_file(folder.path()), damage).unwrap();
        let store = JournalStore::open(folder.path()).await.unwrap();
        store.insert(job(&store, 0)).await.unwrap();
        let meta = fs::read_dir(folder.path().join("meta")).unwrap();
        let aside = meta
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains("jobs.json.damaged-"))
            .unwrap_or_else(|| panic!("{damage:?} was not set aside"));
        assert_eq!(fs::read_to_string(aside).unwrap(), damage);
        assert_eq!(view(folder.path(), &store).await["jobs"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn files_damaged_or_removed_while_in_use_lose_no_job() {
    let harms: [fn(&Path); 5] = [
        |folder| fs::write(jobs_file(folder), "{").unwrap(),
        |folder| fs::write(journal(folder), "{").unwrap(),
        |folder| fs::remove_file(journal(folder)).unwrap(),
        |folder| fs::remove_dir_all(folder.join("meta")).unwrap(),
        |folder| fs::remove_dir_all(folder).unwrap(),
    ];
    for harm in harms {
        let folder = TempDir::new().unwrap();
        let store = JournalStore::open(folder.path()).await.unwrap();
        let id = store.insert(job(&store, 0)).await.unwrap().id;
        harm(folder.path());
        change(&store, id, JobEvent::Start, 1).await;
        assert_eq!(after_a_crash(folder.path(), id).await.unwrap().status(), JobStatus::Running);
        assert_eq!(view(folder.path(), &store).await["jobs"][0]["status"], "running");
    }
}

#[tokio::test]
async fn a_line_whose_checksum_is_wrong_is_passed_over_and_kept() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    change(&store, id, JobEvent::Start, 1).await;
    store.close().await.unwrap();
    drop(store);
    // A byte that leaves the line JSON, and its record a record.
    let line = lines(folder.path()).pop().unwrap();
    let damaged = line.replace("\"reactor\"", "\"reactos\"");
    assert_ne!(line, damaged);
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    fs::write(journal(folder.path()), text.replace(&line, &damaged)).unwrap();
    let _ = fs::remove_file(jobs_file(folder.path()));
    for _ in 0..2 {
        let store = JournalStore::open(folder.path()).await.unwrap();
        let found = store.get(id).await.unwrap().unwrap();
        assert_eq!(
            (found.status(), &*found.to_json()["server"].to_string()),
            (JobStatus::Pending, "\"reactor\"")
        );
        shorten(&store, folder.path()).await;
        assert!(lines(folder.path()).contains(&damaged), "a person may mend it");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_that_a_person_mended_needs_no_checksum() {
    let folder = TempDir::new().unwrap();
    let store = JournalStore::open(folder.path()).await.unwrap();
    let id = store.insert(job(&store, 0)).await.unwrap().id;
    store.close().await.unwrap();
    drop(store);
    let text = fs::read_to_string(journal(folder.path())).unwrap();
    let start = text.rfind(",\"crc\":").unwrap();
    let mended = format!("{}}}\n", &text[..start]).replace("\"reactor\"", "\"another\"");
    fs::write(journal(folder.path()), mended).unwrap();
    let _ = fs::remove_file(jobs_file(folder.path()));
    let store = JournalStore::open(folder.path()).await.unwrap();
    assert_eq!(store.get(id).await.unwrap().unwrap().to_json()["server"], "another");
}
