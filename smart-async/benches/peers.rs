//! The peer that comes with the SDK: its `TaskManager`. It keeps tasks in memory, has no budget, and looks through all of
//! them at each call. Peers in other languages and with other stores are in `tests/peers`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something is wrong, and says its figures"
)]

mod shared;

use std::time::Instant;

use rmcp::model::{CallToolResult, ContentBlock, TaskStatus};
use rmcp::task_manager::{TaskManager, TaskOptions};
use shared::{figure, median, micros, times};

fn main() {
    shared::on_worker(&shared::runtime(2), async {
        let manager = TaskManager::new();
        // A trivial call as a task: made, run, and asked for until it is done.
        let mut calls = Vec::new();
        for _ in 0..times(1_000) {
            let manager = TaskManager::new();
            let began = Instant::now();
            run(&manager).await;
            calls.push(micros(began));
        }
        figure("peer.task_manager.call", median(&calls), "us");
        for _ in 0..1_000 {
            run(&manager).await;
        }
        let (mut made, mut asked) = (Vec::new(), Vec::new());
        for _ in 0..times(1_000) {
            let began = Instant::now();
            let id = spawn(&manager);
            made.push(micros(began));
            let began = Instant::now();
            manager.get_task(&id).unwrap();
            asked.push(micros(began));
        }
        figure("peer.task_manager.ticket", median(&made), "us");
        figure("peer.task_manager.change", median(&asked), "us");
    });
}

fn spawn(manager: &TaskManager) -> String {
    let options = TaskOptions::new().with_ttl_ms(None);
    let work = async { Ok(CallToolResult::success(vec![ContentBlock::text("5")])) };
    manager.spawn(options, |_| Box::pin(work)).task_id
}

async fn run(manager: &TaskManager) {
    let id = spawn(manager);
    while manager.get_task(&id).unwrap().status() != TaskStatus::Completed {
        tokio::task::yield_now().await;
    }
}
