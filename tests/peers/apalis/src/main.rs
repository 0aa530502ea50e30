//! apalis with SQLite, in its default configuration: how long it takes to have a task on disk, with few and with 1,000 of
//! them there, and to have a trivial one run by a worker that looks for work.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_sqlite::{SqlitePool, SqliteStorage};
use tokio::sync::mpsc;
use tokio::time::timeout;

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

/// A database of its own, on disk.
async fn database(folder: &Path, name: &str) -> Result<SqlitePool, Box<dyn std::error::Error>> {
    let url = format!("sqlite://{}?mode=rwc", folder.join(name).display());
    let pool = SqlitePool::connect(&url).await?;
    SqliteStorage::setup(&pool).await?;
    Ok(pool)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut backend = SqliteStorage::<u32>::new(&database(folder.path(), "pushed.db").await?);
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
    let pool = database(folder.path(), "run.db").await?;
    let mut sender = SqliteStorage::<u32>::new(&pool);
    let worker = WorkerBuilder::new("peer").backend(SqliteStorage::<u32>::new(&pool)).build(add);
    let worker = tokio::spawn(async move { worker.run().await.map_err(|error| error.to_string()) });
    let mut calls = Vec::new();
    for number in 0..20 {
        let began = Instant::now();
        sender.push(number).await?;
        // Now and then a worker does not come by for a long time; the other figures stand all the same.
        if timeout(Duration::from_secs(5), heard.recv()).await.is_err() {
            eprintln!("apalis: a task was not run within five seconds");
            break;
        }
        calls.push(began.elapsed().as_secs_f64() * 1e6);
    }
    if calls.len() > 2 {
        figure("peer.apalis.call", median(calls), "us");
    }
    if worker.is_finished() {
        eprintln!("apalis: the worker ended: {:?}", worker.await);
        return Ok(());
    }
    worker.abort();
    Ok(())
}
