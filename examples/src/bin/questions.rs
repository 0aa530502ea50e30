//! Work that asks the user something in its middle and goes on with the answer.
//!
//! ```console
//! cargo run -p smart-async-examples --bin questions
//! ```
//!
//! The tool does not know how its client can be asked. A client with elicitation shows a form; a client of the Tasks
//! extension finds the question in its task; any other client gets a ticket that names `answer_job`.

use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use smart_async::transport::stdio;
use smart_async::{Answer, JobManager, WithJobs, ask_for, smart_async};

/// The server.
#[derive(Debug, Clone)]
struct Hotel;

/// The first form. The client shows the doc comments of the fields to the user.
#[derive(Debug, Deserialize, JsonSchema)]
struct Stay {
    /// How many nights?
    #[schemars(range(min = 1, max = 30))]
    nights: u8,
    /// Which room?
    room: Room,
}

/// A choice: a plain enum becomes a list to choose from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Room {
    Single,
    Double,
}

/// The second form.
#[derive(Debug, Deserialize, JsonSchema)]
struct Confirm {
    /// Book it?
    sure: bool,
}

#[tool_router]
impl Hotel {
    /// Book a room; asks for what it needs to know.
    #[smart_async]
    #[tool]
    async fn book(&self) -> Result<String, ErrorData> {
        // "stay" is the key of this question. Work that asks under the same key again gets the same answer again.
        let answer = ask_for("stay", "How long, and which room?").await?;
        let Answer::Accepted(Stay { nights, room }) = answer else {
            return Ok("no room was booked".to_owned());
        };
        let price = u32::from(nights) * if matches!(room, Room::Single) { 80 } else { 120 };
        let answer = ask_for("confirm", format!("{nights} nights cost {price}.")).await?;
        Ok(match answer.accepted() {
            Some(Confirm { sure: true }) => format!("booked {nights} nights for {price}"),
            _ => "no room was booked".to_owned(),
        })
    }
}

#[tool_handler(name = "hotel")]
impl ServerHandler for Hotel {}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let jobs = JobManager::open().await?;
    Hotel.with_jobs(jobs.clone()).serve(stdio()).await?.waiting().await?;
    jobs.shutdown().await?;
    Ok(())
}
