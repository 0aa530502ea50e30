//! A process whose log goes wrong: makes calls and jobs over a folder that a person spoils meanwhile, so that each part of the
//! library has something to say, and ends with `done` on stdout where all of them went on.
//!
//! `log_worker <folder> <quiet|panics>`; with `panics`, the program's subscriber panics at each call.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use smart_async::manager::WaitFor;
use smart_async::{JobManager, NotInline, smart_async};
use smart_async_tests::PanickingSubscriber;

/// More than the lines of that many calls fit into a pipe that is not read.
const CALLS: u32 = 600;

#[smart_async(default = 20)]
async fn count(to: u32) -> u32 {
    to
}

#[smart_async(always_job)]
async fn job(number: u32) -> u32 {
    smart_async::progress().count(number, number);
    number
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().expect("the test gives a folder and a subscriber");
    let folder = PathBuf::from(argument());
    if argument() == "panics" {
        PanickingSubscriber::install();
    }
    let jobs = JobManager::builder().folder(&folder).server("log").open().await;
    let jobs = jobs.expect("the folder can be used");
    jobs.clone().make_global().expect("there is no other manager");
    for number in 0..CALLS {
        assert_eq!(count(number).await.into_inline().ok(), Some(number));
    }
    run_job(&jobs, 1).await;
    let meta = folder.join("meta");
    // The writer thread reports this one, and the view thread the other.
    fs::remove_file(meta.join("journal.ndjson")).expect("there is a journal");
    run_job(&jobs, 2).await;
    fs::write(meta.join("jobs.json"), "no view of ours").expect("the folder can be written");
    run_job(&jobs, 3).await;
    jobs.shutdown().await.expect("everything can be written");
    let view = fs::read_to_string(meta.join("jobs.json")).expect("there is a view");
    assert_eq!(view.matches("\"completed\"").count(), 3, "{view}");
    println!("done");
}

async fn run_job(jobs: &JobManager, number: u32) {
    let ticket = match job(number).await.into_inline() {
        Err(NotInline::Job(ticket)) => ticket,
        other => panic!("{other:?}"),
    };
    jobs.wait(&[ticket.job_id], WaitFor::any(), Duration::MAX).await.expect("the job is there");
    let output = jobs.result(ticket.job_id).await.expect("the job has completed");
    assert_eq!(output.result, json!(number));
}
