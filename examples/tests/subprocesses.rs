//! The functions of `docs/guide/migrating.md` that run another program: with a cancelled job its program ends.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{Error, Result};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// For an `async fn`.
async fn run(mut program: tokio::process::Command) -> Result<Output> {
    let output = program.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::select! {
        output = output => output,
        () = smart_async::cancelled() => Err(Error::other("stopped")), // drops the child
    }
}

/// For a `blocking` one.
fn run_blocking(mut program: Command) -> Result<ExitStatus> {
    let mut child = program.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if smart_async::is_cancelled() {
            child.kill()?;
            return child.wait();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

use std::fs;
use std::path::{Path, PathBuf};

use smart_async::job::JobStatus;
use smart_async::manager::Cancelled;
use smart_async::{JobManager, Reply, smart_async};

/// A program that writes down its id and would run for ten minutes.
fn program(id_file: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep 600"#]).arg(id_file);
    shell
}

#[smart_async(always_job)]
async fn convert(id_file: PathBuf) -> Result<bool> {
    Ok(run(program(&id_file).into()).await?.status.success())
}

#[smart_async(always_job, blocking)]
fn convert_blocking(id_file: PathBuf) -> Result<bool> {
    Ok(run_blocking(program(&id_file))?.success())
}

/// Whether a process is there and has not ended.
fn lives(id: &str) -> bool {
    Command::new("kill").args(["-0", id]).stderr(Stdio::null()).status().unwrap().success()
}

async fn until(happened: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap();
}

#[tokio::test]
async fn with_a_cancelled_job_its_program_ends() {
    let jobs = JobManager::in_memory();
    jobs.clone().make_global().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("async"), folder.path().join("blocking"));
    for (id_file, reply) in
        [(&one, convert(one.clone()).await), (&other, convert_blocking(other.clone()).await)]
    {
        let Reply::Job(ticket) = reply else { panic!("{reply:?}") };
        until(|| id_file.exists()).await;
        let id = fs::read_to_string(id_file).unwrap();
        assert!(lives(id.trim()));
        let Cancelled::Stopped(job) = jobs.cancel(ticket.job_id).await.unwrap() else {
            panic!("{id_file:?} goes on")
        };
        assert_eq!(job.status(), JobStatus::Cancelled);
        until(|| !lives(id.trim())).await;
    }
}
