//! A server whose blocking bodies never end, over stdin and stdout.
//!
//! `blocking_server FOLDER`

use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use smart_async::manager::Error;
use smart_async::{JobManager, WithJobs, smart_async};

#[derive(Clone)]
struct Stubborn;

#[derive(Deserialize, JsonSchema)]
struct Piece {
    #[expect(dead_code, reason = "tells the calls apart")]
    number: u32,
}

#[tool_router]
impl Stubborn {
    /// Holds its thread for ever, and never asks whether to stop.
    #[smart_async(blocking, default = "50ms")]
    #[tool]
    fn hold(&self, Parameters(_): Parameters<Piece>) -> String {
        loop {
            std::thread::park();
        }
    }
}

#[tool_handler(name = "stubborn")]
impl ServerHandler for Stubborn {}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).expect("the folder is named");
    let jobs = JobManager::builder()
        .folder(folder)
        .cancel_answer(Duration::from_millis(50))
        .drain_grace(Duration::ZERO);
    let jobs = jobs.open().await.expect("the folder can be used");
    let serving = Stubborn.with_jobs(jobs.clone()).serve(smart_async::transport::stdio());
    let _ = serving.await.expect("the client begins").waiting().await;
    jobs.shutdown().await
}
