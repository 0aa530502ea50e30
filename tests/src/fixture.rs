//! A server with jobs and a client that is connected to it, as most tests of calls need them.

use std::time::Duration;

use rmcp::ServerHandler;
use serde_json::{Value, json};
use smart_async::job::{JobQuery, JobRecord};
use smart_async::{JobManager, JobServer, JobStatus, WithJobs};

use crate::{Client, GatedTools};

/// How long the fixture sleeps between two looks at the jobs.
const POLL: Duration = Duration::from_millis(100);

/// A server, its jobs and a client.
#[derive(Debug)]
pub struct Fixture<S = GatedTools> {
    /// The wrapped server.
    pub tools: S,
    /// The jobs of the server.
    pub jobs: JobManager,
    /// The server around `tools`, for further clients.
    pub server: JobServer<S>,
    /// A client that has said `initialize`.
    pub client: Client,
}

impl Fixture {
    /// [`GatedTools`] over a store in memory.
    pub async fn new() -> Self {
        Self::with_manager(JobManager::in_memory()).await
    }

    /// [`GatedTools`] over a manager of the test's own.
    pub async fn with_manager(jobs: JobManager) -> Self {
        Self::serve(GatedTools::new(), jobs).await
    }
}

impl<S: ServerHandler + Clone> Fixture<S> {
    /// A server of the test's own.
    pub async fn serve(tools: S, jobs: JobManager) -> Self {
        let server = tools.clone().with_jobs(jobs.clone());
        let client = Client::connect(server.clone()).await;
        Self { tools, jobs, server, client }
    }

    /// The number of jobs in the store.
    pub async fn total(&self) -> usize {
        self.jobs.list(JobQuery::default()).await.expect("the store should answer").jobs.len()
    }

    /// The job as `wait_job` shows it when it has ended, or after 20 seconds.
    pub async fn wait(&self, id: &str) -> Value {
        let arguments = json!({"job_ids": [id], "timeout_seconds": 20});
        self.client.ask("wait_job", arguments).await["jobs"][0].take()
    }

    /// Waits until the store has a job.
    pub async fn any_job(&self) {
        while self.total().await == 0 {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the only job in the store has this status, and returns the job.
    pub async fn only_job(&self, status: JobStatus) -> Value {
        self.only_job_when(|job| job.status() == status).await
    }

    /// Waits until the only job in the store has ended, and returns the job.
    pub async fn only_job_ended(&self) -> Value {
        self.only_job_when(|job| job.status().is_terminal()).await
    }

    async fn only_job_when(&self, holds: impl Fn(&JobRecord) -> bool) -> Value {
        loop {
            let page = self.jobs.list(JobQuery::default()).await.expect("the store should answer");
            match page.jobs.as_slice() {
                [job] if holds(job) => return job.to_json(),
                [] | [_] => tokio::time::sleep(POLL).await,
                more => panic!("{} jobs", more.len()),
            }
        }
    }
}
