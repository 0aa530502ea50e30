//! The tour: starts the demo server in a process of its own, with a fresh job folder, and shows how calls become jobs.
//!
//! Everything is real: the process, the connection, the calls and the times; each answer is shown whole, as a model reads it. The
//! tour checks each claim and fails if one does not hold. `tour --keep` leaves the job folder behind. It ends quietly if the
//! reader of its output has gone.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use smart_async_examples::server::serve_stdio;
use smart_async_examples::tour::screen::{Screen, spoken};
use smart_async_examples::tour::session::{Answer, SERVE, Session};

/// The tools that a server with jobs adds to its own.
const JOB_TOOLS: [&str; 8] = [
    "job_status",
    "wait_job",
    "job_result",
    "answer_job",
    "list_jobs",
    "cancel_job",
    "prune_jobs",
    "job_metrics",
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [SERVE] => return serve_stdio().await,
        [] => false,
        ["--keep"] => true,
        _ => bail!("usage: tour [--keep]"),
    };
    let mut folder = tempfile::Builder::new()
        .prefix("smart-async-tour-")
        .tempdir()
        .context("failed to make a folder")?;
    folder.disable_cleanup(keep);
    let mut tour = Tour { screen: Screen::stdout(), session: None };
    let told = tokio::select! {
        told = tour.tell(folder.path(), keep) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    // The tour leaves no server behind, also after an error.
    let ended = tour.end_server().await;
    match told {
        Err(error) if is_reader_gone(&error) => ended,
        told => told.and(ended),
    }
}

/// Returns whether the cause is that the reader of stdout has gone, as that of `tour | head` does.
fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

struct Tour {
    screen: Screen,
    session: Option<Session>,
}

impl Tour {
    async fn tell(&mut self, folder: &Path, keep: bool) -> Result<()> {
        self.screen.heading("smart-async: a tour")?;
        self.screen.say(
            "An MCP server with slow tools now starts as a process of its own. This program is its client, \
             and calls its tools as a model's host would. `-->` is a call, `<--` is its answer.",
        )?;
        self.start_server(folder).await?;
        self.tools().await.context("the list of tools")?;
        self.quick_call().await.context("the quick call")?;
        let counted = self.slow_call().await.context("the slow call")?;
        self.follow(&counted).await.context("following the job")?;
        self.result(&counted).await.context("the job's result")?;
        self.cancelled_job().await.context("the cancelled job")?;
        let failed = self.failing_job().await.context("the failing job")?;
        let lost = self.server_ends(folder).await.context("the end of the server")?;
        self.list([&counted, &failed, &lost]).await.context("the list of jobs")?;
        self.on_disk(folder, &counted).context("the file on disk")?;
        self.end_server().await?;
        self.farewell(folder, keep)
    }

    async fn tools(&self) -> Result<()> {
        let tools = self.session()?.tools().await?;
        let (job_tools, own): (Vec<_>, Vec<_>) =
            tools.iter().map(String::as_str).partition(|tool| JOB_TOOLS.contains(tool));
        ensure!(job_tools.len() == JOB_TOOLS.len(), "the job tools are not all there: {tools:?}");
        self.screen.say(&format!("Its own tools: {}.", own.join(", ")))?;
        self.screen.say(&format!("Tools that smart-async adds: {}.", job_tools.join(", ")))
    }

    async fn quick_call(&self) -> Result<()> {
        self.screen.heading("1. A quick call answers as before")?;
        self.screen
            .say("`add` is annotated with #[smart_async]. It is quick, so nothing changes.")?;
        let answer = self.call("add", &json!({"a": 2, "b": 3})).await?;
        ensure!(answer.json()? == &json!({"sum": 5}), "add answered {:?}", answer.result);
        self.show(&answer)
    }

    async fn slow_call(&self) -> Result<String> {
        self.screen.heading("2. A slow call becomes a job")?;
        self.screen.say(
            "`count` may take 1 second; here it has 5 seconds of work. When the second is over, the work \
             goes on, and the caller gets a ticket. This is all that the model reads:",
        )?;
        let answer = self.call("count", &json!({"to": 20, "step_ms": 250})).await?;
        self.show(&answer)?;
        ensure!(
            (Duration::from_millis(900)..Duration::from_secs(4)).contains(&answer.took),
            "the ticket should come after 1 s, and came after {}",
            spoken(answer.took)
        );
        ticket(&answer, "running")
    }

    async fn follow(&self, id: &str) -> Result<()> {
        self.screen.heading("3. Follow it")?;
        self.screen.say("`job_status` answers at once; the record is on disk already:")?;
        let arguments = json!({"job_id": id});
        let answer = self.call("job_status", &arguments).await?;
        let job = answer.json()?.get("job").context("no job in the answer")?;
        ensure!(text(job, "status")? == "running", "the job should be running: {job}");
        self.show(&answer)?;

        self.screen
            .say("`wait_job` returns at the next change; this bar is driven by its answers:")?;
        let arguments = json!({"job_ids": [id], "progress": true});
        self.screen.call("wait_job", &arguments)?;
        let elapsed = job.get("elapsed_seconds").and_then(Value::as_f64).unwrap_or_default();
        let mut bar = self.screen.bar(20, Duration::from_secs_f64(elapsed));
        bar.show(job)?;
        let mut changes = 0;
        let last = loop {
            let answer = self.session()?.call("wait_job", &arguments).await?;
            let job = first_job(&answer)?.clone();
            bar.show(&job)?;
            changes += 1;
            if job.get("terminal") == Some(&Value::Bool(true)) {
                bar.end()?;
                break (answer, job);
            }
        };
        let (answer, job) = last;
        ensure!(text(&job, "status")? == "completed", "the job should have completed: {job}");
        ensure!(changes > 3, "the job's progress was seen only {changes} times");
        self.screen.say("The last answer brings the result along:")?;
        self.show(&answer)
    }

    async fn result(&self, id: &str) -> Result<()> {
        self.screen.heading("4. Fetch the result, now or later")?;
        self.screen
            .say("`job_result` gives it again, until the job is pruned (24 hours unless set).")?;
        let answer = self.call("job_result", &json!({"job_id": id})).await?;
        let result = answer.json()?.get("result");
        ensure!(result == Some(&json!({"counted": 20})), "the result is {result:?}");
        self.show(&answer)
    }

    async fn cancelled_job(&self) -> Result<()> {
        self.screen.heading("5. Ask for a job at once, and cancel it")?;
        self.screen.say(
            "Each annotated tool takes `async_mode` and `job_label`, which its author did not write. \
             `crunch` would now compute for a minute:",
        )?;
        let arguments = json!({"ms": 60_000, "async_mode": true, "job_label": "night shift"});
        let answer = self.call("crunch", &arguments).await?;
        self.show(&answer)?;
        let id = ticket(&answer, "pending")?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.screen
            .say("Half a second later it is no longer wanted. Its loop asks is_cancelled():")?;
        let answer = self.call("cancel_job", &json!({"job_id": id})).await?;
        ensure!(
            text(answer.json()?, "status")? == "cancelled",
            "not cancelled: {:?}",
            answer.result
        );
        self.show(&answer)
    }

    async fn failing_job(&self) -> Result<String> {
        self.screen.heading("6. A job that fails says why")?;
        let arguments = json!({"to": 4, "step_ms": 400, "fail_at": 4});
        let answer = self.call("count", &arguments).await?;
        let id = ticket(&answer, "running")?;
        self.show(&answer)?;
        let answer = self.call("wait_job", &json!({"job_ids": [id]})).await?;
        let job = first_job(&answer)?;
        ensure!(text(job, "status")? == "failed", "the job should have failed: {job}");
        ensure!(text(job, "error")? == "stumbled at 4", "the error is another one: {job}");
        self.show(&answer)?;
        Ok(id)
    }

    async fn server_ends(&mut self, folder: &Path) -> Result<String> {
        self.screen.heading("7. The server ends; its jobs are still known")?;
        self.screen.say("One more job, with a minute to go:")?;
        let arguments = json!({"to": 120, "step_ms": 500, "async_mode": true});
        let answer = self.call("count", &arguments).await?;
        let id = ticket(&answer, "pending")?;
        self.show(&answer)?;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.screen
            .say("Now the connection is closed. The server gives its jobs 2 seconds, and ends.")?;
        let began = self.screen.elapsed();
        self.end_server().await?;
        let took = spoken(self.screen.elapsed().saturating_sub(began));
        self.start_server(folder).await?;
        self.screen.say(&format!(
            "It took {took}. A new server now runs over the same folder. Records survive a server; the work \
             in it does not, and that is said plainly:"
        ))?;
        let answer = self.call("job_status", &json!({"job_id": id})).await?;
        let job = answer.json()?.get("job").context("no job in the answer")?;
        ensure!(text(job, "error_kind")? == "interrupted", "the job should be interrupted: {job}");
        self.show(&answer)?;
        Ok(id)
    }

    async fn list(&self, known: [&str; 3]) -> Result<()> {
        self.screen.heading("8. List them")?;
        self.screen
            .say("Newest first. The quick call is not among them: it never became a job.")?;
        let answer = self.call("list_jobs", &json!({})).await?;
        let list = answer.json()?;
        ensure!(list.get("total") == Some(&json!(4)), "there should be 4 jobs: {list}");
        let rows = list.get("jobs").and_then(Value::as_array).context("no jobs in the answer")?;
        for id in known {
            ensure!(rows.iter().any(|row| text(row, "id").ok() == Some(id)), "job {id} is missing");
        }
        self.show(&answer)
    }

    fn on_disk(&self, folder: &Path, id: &str) -> Result<()> {
        self.screen.heading("9. Where all this lies")?;
        let file = folder.join("meta").join("jobs.json");
        let content = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let whole: Value = serde_json::from_str(&content).context("meta/jobs.json is no JSON")?;
        ensure!(whole.get("version") == Some(&json!(2)), "meta/jobs.json has another version");
        self.screen.say(
            "In a journal: each change is on disk before its caller gets an answer. This file beside it follows \
             within about a second, a complete JSON document at every instant, one job a line:",
        )?;
        self.screen.say(&file.display().to_string())?;
        let first = content.lines().next().context("meta/jobs.json is empty")?;
        let job =
            content.lines().find(|line| line.contains(id)).context("the job is not in the file")?;
        self.screen.excerpt(first, 1)?;
        self.screen.excerpt(job, 4)
    }

    fn farewell(&self, folder: &Path, keep: bool) -> Result<()> {
        let rest = if keep {
            format!("The job folder is left in {}.", folder.display())
        } else {
            "The server has ended and the folder of this tour is removed (--keep leaves it)."
                .to_owned()
        };
        let took = spoken(self.screen.elapsed());
        self.screen.heading(&format!("Everything was as it should be, in {took}."))?;
        self.screen.say(&rest)?;
        self.screen.heading("What next")?;
        self.screen.say("Annotate a tool of yours in five minutes: README.md")?;
        self.screen.say("Read the tools that you just saw:         examples/src/demo.rs")?;
        self.screen.say("Look up the job tools and their answers:  docs/reference/job-tools.md")
    }

    async fn start_server(&mut self, folder: &Path) -> Result<()> {
        self.session = Some(Session::start(folder).await?);
        Ok(())
    }

    async fn end_server(&mut self) -> Result<()> {
        match self.session.take() {
            Some(session) => session.end().await,
            None => Ok(()),
        }
    }

    fn session(&self) -> Result<&Session> {
        self.session.as_ref().context("no server runs")
    }

    /// Shows a call, and makes it.
    async fn call(&self, tool: &'static str, arguments: &Value) -> Result<Answer> {
        self.screen.call(tool, arguments)?;
        self.session()?.call(tool, arguments).await
    }

    /// Shows an answer.
    fn show(&self, answer: &Answer) -> Result<()> {
        self.screen.answer(answer.took, &answer.text())
    }
}

/// Returns the id on the ticket.
fn ticket(answer: &Answer, status: &str) -> Result<String> {
    let ticket = answer.json()?;
    ensure!(text(ticket, "status")? == status, "the job should be {status}: {ticket}");
    ensure!(
        text(ticket, "message")?.contains("wait_job"),
        "the ticket does not say what to do: {ticket}"
    );
    Ok(text(ticket, "job_id")?.to_owned())
}

/// Returns the first job of an answer of `wait_job`.
fn first_job(answer: &Answer) -> Result<&Value> {
    let jobs = answer.json()?.get("jobs").and_then(Value::as_array);
    jobs.and_then(|jobs| jobs.first()).context("no job in the answer")
}

fn text<'a>(object: &'a Value, field: &str) -> Result<&'a str> {
    object
        .get(field)
        .and_then(Value::as_str)
        .with_context(|| format!("no text `{field}` in {object}"))
}
