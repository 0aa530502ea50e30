//! The log of a program is full, closed, not read or broken: the library's calls, jobs and threads go on.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A test that would hang fails after this.
const LONGEST: Duration = Duration::from_secs(120);

/// Starts a process that logs all that it does.
fn worker(folder: &TempDir, subscriber: &str, stderr: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_log_worker"))
        .arg(folder.path())
        .arg(subscriber)
        .env("SMART_ASYNC_DEBUG", "true")
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// Waits until the process has ended, while its stderr stays as it is.
fn finish(mut worker: Child) {
    let stderr = worker.stderr.take();
    let began = Instant::now();
    while worker.try_wait().unwrap().is_none() {
        if began.elapsed() > LONGEST {
            worker.kill().unwrap();
            panic!("the process hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = worker.wait_with_output().unwrap();
    assert!(said.status.success(), "{:?}", said.status);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "done\n");
    drop(stderr);
}

#[test]
fn a_host_that_never_reads_stderr_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    finish(worker(&folder, "quiet", Stdio::piped()));
}

#[test]
fn a_host_that_closes_stderr_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = worker(&folder, "quiet", Stdio::piped());
    drop(worker.stderr.take());
    finish(worker);
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_on_a_full_disk_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    finish(worker(&folder, "quiet", full.into()));
}

#[test]
fn a_subscriber_that_panics_at_each_call_ends_no_thread_and_no_job() {
    let folder = tempfile::tempdir().unwrap();
    finish(worker(&folder, "panics", Stdio::null()));
}
