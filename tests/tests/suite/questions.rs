//! Questions that running work asks, for every kind of client: the caller of an open call, tasks, calls made again, the job
//! tools, other processes, later runs.

use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use smart_async::job::{Change, JobEvent, JobStatus, Timestamp};
use smart_async::manager::{AnswerError, WaitFor};
use smart_async::store::MemoryStore;
use smart_async::{AskError, JobId, JobManager, WithJobs, ask_for, smart_async};
use smart_async_tests::{
    Client, FaultyStore, Gate, JumpingClock, SimulatedProcess, TASKS, Wire, assert_answer,
};

const LONG: Duration = Duration::from_secs(3600);

/// A server that wants to know more.
#[derive(Debug, Clone)]
struct Inn {
    gate: Gate,
}

/// A guest.
#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

/// How long somebody stays.
#[derive(Debug, Deserialize, JsonSchema)]
struct Stay {
    #[schemars(range(min = 1, max = 30))]
    nights: u32,
}

/// What is asked in a moment.
#[derive(Debug, Deserialize, JsonSchema)]
struct Patience {
    seconds: u64,
}

async fn name() -> Result<String, AskError> {
    Ok(match ask_for("name", "What is your name?").await?.accepted() {
        Some(Name { name }) => name,
        None => "nobody".to_owned(),
    })
}

async fn nights() -> Result<u32, AskError> {
    let answer = ask_for("nights", "How long do you stay?").await?;
    Ok(answer.accepted().map_or(0, |Stay { nights }| nights))
}

#[tool_router]
impl Inn {
    fn new() -> Self {
        Self { gate: Gate::new() }
    }

    /// Asks one thing.
    #[smart_async(default = 20, restart = "rerun", coalesce)]
    #[tool]
    async fn greet(&self) -> Result<String, ErrorData> {
        self.gate.arrive();
        Ok(format!("Hello, {}!", name().await?))
    }

    /// Asks two things at once.
    #[smart_async(default = 20)]
    #[tool]
    async fn check_in(&self) -> Result<String, ErrorData> {
        let (name, nights) = tokio::try_join!(name(), nights())?;
        Ok(format!("{name}, {nights} nights"))
    }

    /// Asks, and asks again, and goes on for a while.
    #[smart_async(default = 20, restart = "rerun")]
    #[tool]
    async fn check_out(&self) -> Result<String, ErrorData> {
        self.gate.arrive();
        let (name, nights) = (name().await?, nights().await?);
        self.gate.opened().await;
        Ok(format!("{name}, {nights} nights"))
    }

    /// Gives up soon.
    #[smart_async(default = 20)]
    #[tool]
    async fn hurry(&self, Parameters(Patience { seconds }): Parameters<Patience>) -> String {
        let asked =
            ask_for::<Name>("name", "Quick, your name!").within(Duration::from_secs(seconds));
        match asked.await {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// May take two minutes of its own time.
    #[smart_async(default = 20, deadline = 120)]
    #[tool]
    async fn work(&self) -> Result<String, ErrorData> {
        let name = name().await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(name)
    }

    /// Asks from a thread of its own.
    #[smart_async(default = 20, blocking)]
    #[tool]
    fn ring(&self) -> Result<String, ErrorData> {
        let answer = ask_for("name", "What is your name?").blocking()?;
        Ok(answer.accepted().map_or_else(String::new, |Name { name }| name))
    }

    /// Asks what nobody else may know.
    #[smart_async(default = 20, redact)]
    #[tool]
    async fn whisper(&self) -> Result<String, ErrorData> {
        Ok(name().await?)
    }
}

#[tool_handler]
impl ServerHandler for Inn {}

fn accept(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

mod a_call_made_again;
mod a_later_run;
mod a_task;
mod an_answer;
mod the_caller;
mod the_clock;
