//! A server that loses its folder, or may open no more files, while it runs: what it acknowledged is there for the next server, and
//! its process ends with a code and a message that say what was not written.

use std::fs;
use std::process::Command;

use serde_json::json;
use smart_async_tests::{Era, ServerProcess};
use tempfile::TempDir;

fn start(folder: &TempDir, era: Era) -> ServerProcess {
    let mut server = Command::new(env!("CARGO_BIN_EXE_folder_server"));
    ServerProcess::start(server.arg(folder.path().join("jobs")), era)
}

fn jobs(server: &mut ServerProcess, tool: &str, number: usize) {
    for _ in 0..number {
        let answer = server.call(tool, json!({}));
        assert!(answer["structuredContent"]["job_id"].is_string(), "{answer}");
    }
}

/// How many jobs of this status the next server finds.
fn found(folder: &TempDir, status: &str) -> u64 {
    let mut next = start(folder, Era::Discover);
    let listed = next.call("list_jobs", json!({"status_filter": status}));
    let (ended, said) = next.end();
    assert!(ended.success(), "{ended} {said}");
    listed["structuredContent"]["total"].as_u64().unwrap()
}

/// As where a disk is unmounted, or becomes read-only: which root, who runs some of these tests, would not notice.
#[test]
fn a_server_whose_folder_is_replaced_says_how_many_ends_are_not_written() {
    let folder = TempDir::new().unwrap();
    let mut server = start(&folder, Era::Initialize);
    jobs(&mut server, "stand", 3);
    let (place, aside) = (folder.path().join("jobs"), folder.path().join("aside"));
    fs::rename(&place, &aside).unwrap();
    fs::write(&place, "no folder").unwrap();
    let refused = server.call("stand", json!({}));
    let said = refused["structuredContent"]["error"].as_str().unwrap();
    assert!(
        said.contains("the work was not started") && said.contains("Not a directory"),
        "{said}"
    );
    assert_eq!(server.call("look", json!({}))["content"][0]["text"], "all is well");

    let (status, said) = server.end();
    assert_eq!(status.code(), Some(1), "{status} {said}");
    assert!(said.contains("the ends of 3 jobs could not be written"), "{said}");
    fs::remove_file(&place).unwrap();
    fs::rename(&aside, &place).unwrap();
    assert_eq!(found(&folder, "failed"), 3);
}

/// Lets the process open nothing more.
#[cfg(target_os = "linux")]
fn open_nothing_more(server: &ServerProcess) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let process = Pid::from_raw(server.id().try_into().unwrap());
    let limit = Rlimit { current: Some(3), maximum: Some(3) };
    prlimit(process, Resource::Nofile, limit).unwrap();
}

/// The journal stands open, so that the ends which fit into it are written.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_may_open_no_file_writes_the_ends_that_need_none() {
    let folder = TempDir::new().unwrap();
    let mut server = start(&folder, Era::Initialize);
    jobs(&mut server, "stand", 3);
    open_nothing_more(&server);
    jobs(&mut server, "stand", 3);
    assert_eq!(server.call("look", json!({}))["content"][0]["text"], "all is well");
    let (status, said) = server.end();
    assert!(status.success(), "{status} {said}");
    assert_eq!(found(&folder, "failed"), 6);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_may_open_no_file_says_how_many_results_are_not_written() {
    let folder = TempDir::new().unwrap();
    let mut server = start(&folder, Era::Initialize);
    jobs(&mut server, "stand", 1);
    jobs(&mut server, "write_report", 2);
    let running = json!({"status_filter": "running"});
    while server.call("list_jobs", running.clone())["structuredContent"]["total"] != 3 {}
    open_nothing_more(&server);
    fs::create_dir(folder.path().join("due")).unwrap();
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(1), "{status} {said}");
    // How many ends are refused depends on the moment at which the limit comes.
    assert!(said.contains("could not be written"), "{said}");
    assert!(said.contains("Too many open files"), "{said}");
    assert_eq!(found(&folder, "failed") + found(&folder, "completed"), 3, "no job is lost");
}
