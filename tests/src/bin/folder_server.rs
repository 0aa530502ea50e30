//! A server over stdin and stdout whose `main` is the documented one, for tests of a whole process.
//!
//! `folder_server <folder>`.

use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use smart_async::transport::stdio;
use smart_async::{JobManager, WithJobs, smart_async};

#[derive(Clone)]
struct Watch;

#[tool_router]
impl Watch {
    /// Ends at once.
    #[smart_async(default = 20)]
    #[tool]
    async fn look(&self) -> String {
        "all is well".to_owned()
    }

    /// Adds a line to the file `paid` beside the folder of the jobs, and answers with it.
    #[smart_async(default = 20, idempotent = "24h")]
    #[tool]
    async fn pay(&self) -> String {
        let folder = std::env::args().nth(1).expect("the folder is an argument");
        let path = std::path::Path::new(&folder).with_file_name("paid");
        let line = format!("paid by process {}", std::process::id());
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(path).expect("it opens");
        let written = std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes());
        written.expect("there is room");
        line
    }

    /// Ends no sooner than its server.
    #[smart_async(always_job)]
    #[tool]
    async fn stand(&self) -> String {
        for_an_hour().await
    }

    /// Ends when the folder `due` stands beside that of the jobs, with a result that has a file of its own.
    #[smart_async(always_job)]
    #[tool]
    async fn write_report(&self) -> String {
        let folder = std::env::args().nth(1).expect("the folder is an argument");
        let due = std::path::Path::new(&folder).with_file_name("due");
        while !due.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        "all was well. ".repeat(1000)
    }

    /// As `stand`, and goes on in the next life.
    #[smart_async(always_job, restart = "rerun")]
    #[tool]
    async fn stand_on(&self) -> String {
        for_an_hour().await
    }
}

async fn for_an_hour() -> String {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    "relieved".to_owned()
}

#[tool_handler(name = "watch")]
impl ServerHandler for Watch {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("the test gives a folder")?;
    let jobs = JobManager::builder().folder(folder).open().await?;
    Watch.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    jobs.shutdown().await?;
    Ok(())
}
