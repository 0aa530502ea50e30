//! A server whose files may not grow beyond a limit (`ulimit -f`): the system refuses its writes, as on a full disk. The server
//! goes on, says so, and its process ends with a code that says that something was not written.

use std::process::Command;

use serde_json::json;
use smart_async_tests::{Era, ServerProcess};
use tempfile::TempDir;

/// A server whose files may have so many blocks of 512 or 1,024 bytes, as the shell counts them.
fn start(folder: &TempDir, blocks: u32) -> ServerProcess {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -f {blocks}; exec \"$0\" \"$1\""));
    let server = shell.arg(env!("CARGO_BIN_EXE_folder_server")).arg(folder.path());
    ServerProcess::start(server, Era::Initialize)
}

#[test]
fn a_file_that_reaches_its_limit_is_a_failure_of_the_store_and_not_the_end_of_the_process() {
    let folder = TempDir::new().unwrap();
    let mut server = start(&folder, 40);
    let mut jobs = Vec::new();
    let refusal = loop {
        let answer = server.call("stand", json!({}));
        let Some(id) = answer["structuredContent"]["job_id"].as_str() else { break answer };
        jobs.push(id.to_owned());
        assert!(jobs.len() < 1000, "the journal has no limit");
    };
    assert!(!jobs.is_empty(), "{refusal}");
    assert_eq!(refusal["isError"], true, "{refusal}");
    let said = refusal["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("File too large"), "{said}");

    // It goes on to answer, and a call that needs no job goes through.
    assert!(server.ask("ping", json!({})).get("result").is_some());
    assert_eq!(server.call("look", json!({}))["content"][0]["text"], "all is well");
    let job = server.call("job_status", json!({"job_id": jobs[0]}));
    assert_eq!(job["structuredContent"]["job"]["status"], "running", "{job}");
    assert_eq!(server.call("stand", json!({}))["isError"], true);

    let (status, said) = server.end();
    assert_eq!(status.code(), Some(1), "{status} {said}");
    let ends = match jobs.len() {
        1 => "the end of 1 job".to_owned(),
        jobs => format!("the ends of {jobs} jobs"),
    };
    assert!(said.contains(&format!("{ends} could not be written")), "{said}");
    assert!(said.contains("File too large"), "{said}");

    // The next server, without the limit, accounts for them.
    let mut next = Command::new(env!("CARGO_BIN_EXE_folder_server"));
    let mut next = ServerProcess::start(next.arg(folder.path()), Era::Discover);
    let listed = next.call("list_jobs", json!({"status_filter": "failed"}));
    assert_eq!(listed["structuredContent"]["total"], jobs.len(), "{listed}");
    let (status, said) = next.end();
    assert!(status.success(), "{status} {said}");
}
