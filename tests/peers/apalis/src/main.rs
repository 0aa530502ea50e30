//! apalis with SQLite, in its default configuration: how long it takes to have a task on disk, with few and with 1,000 of
//! them there, and to have a trivial one run by a worker that looks for work.

use std::sync::OnceLock;
use std::time::Instant;

use apalis::prelude::*;
use apalis_sqlite::{SqlitePool, SqliteStorage};
use tokio::sync::mpsc;

static DONE: OnceLock<mpsc::UnboundedSender<u32>> = OnceLock::new();

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.4} {unit}");
}

async fn add(task: u32, _: WorkerContext) -> Result<(), BoxDynError> {
    DONE.get().ok_or("nobody listens")?.send(task)?;
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("jobs.db").display());
    let pool = SqlitePool::connect(&url).await?;
    SqliteStorage::setup(&pool).await?;
    let mut backend = SqliteStorage::<u32>::new(&pool);
    let mut pushed = Vec::new();
    for number in 0..1_200 {
        let began = Instant::now();
        backend.push(number).await?;
        pushed.push(began.elapsed().as_secs_f64() * 1e6);
    }
    figure("peer.apalis.ticket", median(pushed[..200].to_vec()), "us");
    figure("peer.apalis.change", median(pushed[1_000..].to_vec()), "us");

    let (done, mut heard) = mpsc::unbounded_channel();
    DONE.set(done).map_err(|_| "somebody listens already")?;
    let mut sender = SqliteStorage::<u32>::new(&pool);
    let worker = WorkerBuilder::new("peer").backend(backend).build(add);
    let worker = tokio::spawn(async move { worker.run().await.map_err(|error| error.to_string()) });
    // What was pushed above first.
    for _ in 0..1_200 {
        heard.recv().await;
    }
    let mut calls = Vec::new();
    for number in 0..10 {
        let began = Instant::now();
        sender.push(number).await?;
        heard.recv().await;
        calls.push(began.elapsed().as_secs_f64() * 1e6);
    }
    figure("peer.apalis.call", median(calls), "us");
    worker.abort();
    Ok(())
}
