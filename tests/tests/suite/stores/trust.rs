//! A folder that another user could have filled is refused, with what to do about it; no link in it is followed, and nothing but
//! a regular file is opened, so that no pipe holds a server up.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use smart_async::JobManager;
use smart_async::job::{Change, JobEvent, JobId, JobOutput, StateName};
use smart_async::store::conformance::helpers::{at, running};
use smart_async::store::{HydratedState, JobStore, JournalStore};
use tempfile::TempDir;

const FOLDERS: [&str; 5] = ["", "meta", "meta/owners", "results", "state"];
const FILES: [&str; 7] = [
    "meta/journal.ndjson",
    "meta/jobs.json",
    "meta/journal.lock",
    "meta/journal.turn",
    "meta/jobs.lock",
    "state/latest.json",
    OWNER,
];
const OWNER: &str = "meta/owners/0a4c8f5e-0000-4000-8000-000000000000.lock";

/// A folder that has every kind of file, and the job whose result is in one.
struct Folder {
    home: TempDir,
    job: JobId,
    result: PathBuf,
}

impl Folder {
    async fn new() -> Self {
        let home = TempDir::new().unwrap();
        let store = JournalStore::open(home.path()).await.unwrap();
        let job = running(&store, 0).await;
        let end = JobEvent::Complete(JobOutput::new("hay".repeat(3000)));
        store.update(job, Change::new(end, at(1))).await.unwrap();
        let name = StateName::new("latest").unwrap();
        let state = HydratedState::new(name, job, "reactor", "simulate", at(1), json!(1));
        assert!(store.put_state(state).await.unwrap());
        store.close().await.unwrap();
        fs::write(home.path().join(OWNER), "").unwrap();
        let result = home.path().join(format!("results/{job}.json"));
        for path in FOLDERS.iter().chain(&FILES) {
            assert!(home.path().join(path).exists(), "{path}");
        }
        Self { home, job, result }
    }

    fn path(&self, below: &str) -> PathBuf {
        if below.is_empty() { self.home.path().to_owned() } else { self.home.path().join(below) }
    }

    /// The reason why the folder is not opened.
    async fn refusal(&self) -> String {
        let opened = JobManager::builder().folder(self.home.path()).server("reactor").open();
        // Nothing here waits so long, unless a pipe holds it up.
        let opened = tokio::time::timeout(Duration::from_secs(60), opened).await;
        let error = opened.expect("it is held up").expect_err("it is not trusted");
        let refusal = error.to_string();
        // Once, also where a program shows the whole chain.
        let shown = format!("{:?}", anyhow::Error::new(error));
        assert_eq!(shown.lines().next(), Some(refusal.as_str()), "{shown}");
        assert!(!shown.contains("Caused by"), "{shown}");
        refusal
    }

    /// The folder opens, and has its job.
    async fn opens(&self) {
        let store = JournalStore::open(self.home.path()).await.unwrap();
        assert!(store.get(self.job).await.unwrap().is_some());
        store.close().await.unwrap();
    }

    /// The folder opens, and the result of its job is not read.
    async fn keeps_its_result_back(&self) {
        let store = JournalStore::open(self.home.path()).await.unwrap();
        let found = store.get_with_result(self.job).await.unwrap().unwrap();
        assert!(found.to_json().get("result_file").is_some(), "its result is not read");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn what_others_may_write_to_is_refused_with_the_command_that_mends_it() {
    let folder = Folder::new().await;
    for path in FOLDERS.iter().chain(&FILES).map(|path| folder.path(path)) {
        let before = mode(&path);
        for more in [0o020, 0o002] {
            set_mode(&path, before | more);
            let refusal = folder.refusal().await;
            let parts = [
                format!("other users may write to it (mode {:04o})", before | more),
                format!("chmod go-w '{}'", path.display()),
                "JOB_MCP_TRUST_FOLDER=true".to_owned(),
            ];
            assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
            set_mode(&path, before);
        }
        // Others may read, where the operator made it so.
        set_mode(&path, before | 0o044);
        folder.opens().await;
        set_mode(&path, before);
    }
    set_mode(&folder.result, 0o620);
    folder.keeps_its_result_back().await;
}

/// Only root can give files away; elsewhere the unit tests of the rule have to do.
#[tokio::test]
async fn what_belongs_to_another_user_is_refused() {
    let folder = Folder::new().await;
    let give = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), None);
    if give(folder.home.path(), 12_345).is_err() {
        eprintln!("!!! NOT CHECKED: only root can give a file to another user");
        return;
    }
    give(folder.home.path(), 0).unwrap();
    for path in FOLDERS.iter().chain(&FILES).map(|path| folder.path(path)) {
        give(&path, 12_345).unwrap();
        let refusal = folder.refusal().await;
        assert!(refusal.contains("it belongs to user 12345, and this server runs as"), "{refusal}");
        assert!(refusal.contains(&format!("chown 0 '{}'", path.display())), "{refusal}");
        give(&path, 0).unwrap();
    }
    folder.opens().await;
    give(&folder.result, 12_345).unwrap();
    folder.keeps_its_result_back().await;
}

#[tokio::test]
async fn no_link_in_the_folder_is_followed() {
    let folder = Folder::new().await;
    let aside = TempDir::new().unwrap();
    let target = aside.path().join("target");
    for path in FOLDERS[1..].iter().chain(&FILES).map(|path| folder.path(path)) {
        fs::rename(&path, &target).unwrap();
        symlink(&target, &path).unwrap();
        let refusal = folder.refusal().await;
        assert!(refusal.contains("it is a symbolic link"), "{}: {refusal}", path.display());
        fs::remove_file(&path).unwrap();
        // Nor is a file made where a link leads to nothing.
        symlink(aside.path().join("nothing"), &path).unwrap();
        folder.refusal().await;
        assert!(!aside.path().join("nothing").exists());
        fs::remove_file(&path).unwrap();
        fs::rename(&target, &path).unwrap();
    }
    fs::rename(&folder.result, &target).unwrap();
    symlink(&target, &folder.result).unwrap();
    folder.keeps_its_result_back().await;
}

#[tokio::test]
async fn the_folder_itself_may_be_a_link_to_one_that_is_trusted() {
    let folder = Folder::new().await;
    let aside = TempDir::new().unwrap();
    let link = aside.path().join("jobs");
    symlink(folder.home.path(), &link).unwrap();
    let store = JournalStore::open(&link).await.unwrap();
    assert!(store.get(folder.job).await.unwrap().is_some());
    drop(store);
    set_mode(folder.home.path(), 0o777);
    let refusal = JournalStore::open(&link).await.unwrap_err().to_string();
    assert!(refusal.contains("other users may write to it (mode 0777)"), "{refusal}");
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_holds_no_server_up() {
    let folder = Folder::new().await;
    let replace = |path: &Path| {
        fs::rename(path, path.with_extension("kept")).unwrap();
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    for path in FILES.iter().map(|path| folder.path(path)) {
        replace(&path);
        let refusal = folder.refusal().await;
        assert!(refusal.contains("it is not a regular file"), "{}: {refusal}", path.display());
        fs::rename(path.with_extension("kept"), &path).unwrap();
    }
    replace(&folder.result);
    folder.keeps_its_result_back().await;
}

#[tokio::test]
async fn a_pipe_that_comes_while_the_folder_is_in_use_holds_no_server_up() {
    let folder = Folder::new().await;
    let store = JournalStore::open(folder.home.path()).await.unwrap();
    for name in ["journal.ndjson", "journal.lock", "jobs.json", "jobs.lock"] {
        let path = folder.path("meta").join(name);
        fs::rename(&path, path.with_extension("kept")).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let request = store.withdraw(JobId::new());
        let answered = tokio::time::timeout(Duration::from_secs(60), request).await;
        // The journal and its lock are refused; nothing waits for the view.
        assert_eq!(
            answered.expect("it is held up").is_err(),
            name.starts_with("journal"),
            "{name}"
        );
        fs::rename(path.with_extension("kept"), &path).unwrap();
        store.withdraw(JobId::new()).await.unwrap();
    }
}
