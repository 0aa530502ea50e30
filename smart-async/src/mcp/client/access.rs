//! The jobs as one client may use them. Every request of a client for jobs goes through here. A job that the client may not
//! see is answered for as an unknown id.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::scope::{Lists, Scope};
use crate::core::job::{Actor, JobId, JobPage, JobQuery, JobRecord, Prune, ResultPage};
use crate::core::jobs::{
    AnswerError, CancelRequest, Cancelled, Error, JobMetrics, WaitFor, Waited,
};
use crate::core::local::OpenWait;
use crate::core::manager::JobManager;
use crate::core::store::Pruned;

/// The jobs of a manager that one client may see.
#[derive(Debug, Clone)]
pub(in crate::mcp) struct Access {
    manager: JobManager,
    scope: Scope,
}

impl Access {
    pub(in crate::mcp) const fn new(manager: JobManager, scope: Scope) -> Self {
        Self { manager, scope }
    }

    /// The manager itself, for requests that name no job of another client: advice, pins, and jobs that `self` returned.
    pub(in crate::mcp) const fn manager(&self) -> &JobManager {
        &self.manager
    }

    /// Refuses a job that this client may not see. Does not read the store where the client may see all.
    async fn require(&self, id: JobId) -> Result<(), Error> {
        match self.scope {
            Scope::Everything => Ok(()),
            _ => self.status(id).await.map(drop),
        }
    }

    fn visible(&self, job: Arc<JobRecord>) -> Result<Arc<JobRecord>, Error> {
        if self.scope.sees(&job) { Ok(job) } else { Err(Error::NotFound(job.id)) }
    }

    /// As [`JobManager::status`].
    pub(in crate::mcp) async fn status(&self, id: JobId) -> Result<Arc<JobRecord>, Error> {
        self.visible(self.manager.status(id).await?)
    }

    /// As [`JobManager::status_with_result`].
    pub(in crate::mcp) async fn status_with_result(
        &self,
        id: JobId,
    ) -> Result<Arc<JobRecord>, Error> {
        // The check comes first, so that no client makes the server read another client's result.
        self.require(id).await?;
        self.visible(self.manager.status_with_result(id).await?)
    }

    /// As [`Jobs::result_page`](crate::jobs::Jobs::result_page).
    pub(in crate::mcp) async fn result_page(
        &self,
        id: JobId,
        offset: u64,
        max_bytes: usize,
    ) -> Result<ResultPage, Error> {
        self.require(id).await?;
        self.manager.jobs().result_page(id, offset, max_bytes).await
    }

    /// As [`JobManager::wait`].
    pub(in crate::mcp) async fn wait(
        &self,
        ids: &[JobId],
        what: WaitFor,
        limit: Duration,
    ) -> Result<Waited, Error> {
        for id in ids {
            self.require(*id).await?;
        }
        let _open = self.open_wait()?;
        self.manager.wait(ids, what, limit).await
    }

    /// Counts one wait or stream of this client until the guard is dropped.
    pub(in crate::mcp) fn open_wait(&self) -> Result<OpenWait, Error> {
        self.manager.jobs().open_wait(self.scope.mark())
    }

    /// As [`Jobs::cancel`](crate::jobs::Jobs::cancel).
    pub(in crate::mcp) async fn cancel(&self, id: JobId) -> Result<Cancelled, Error> {
        self.require(id).await?;
        self.manager.jobs().cancel(id, self.actor()).await
    }

    /// Requests the stop of a job, and does not wait for its work.
    pub(in crate::mcp) async fn request_cancel(&self, id: JobId) -> Result<CancelRequest, Error> {
        self.require(id).await?;
        self.manager.jobs().request_cancel(id, self.actor()).await
    }

    /// As [`Jobs::answer`](crate::jobs::Jobs::answer).
    pub(in crate::mcp) async fn answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        self.require(id).await?;
        self.manager.jobs().answer(id, key, answer, self.actor()).await
    }

    /// Answers a question with an answer that was found to fit the job, which this client sees.
    pub(in crate::mcp) async fn give_checked_answer(
        &self,
        id: JobId,
        key: &str,
        answer: Value,
    ) -> Result<Arc<JobRecord>, AnswerError> {
        self.manager.jobs().give_checked_answer(id, key, answer, self.actor()).await
    }

    /// This client, as the records of the jobs that it changes name it.
    fn actor(&self) -> Actor {
        Actor::Client(self.scope.mark())
    }

    /// As [`JobManager::list`], of this server's jobs.
    pub(in crate::mcp) async fn list(&self, query: JobQuery) -> Result<JobPage, Error> {
        let query = JobQuery { server: Some(self.manager.server().to_owned()), ..query };
        match self.scope.lists() {
            Lists::All => self.manager.list(query).await,
            Lists::Of(scope) => self.manager.list(JobQuery { scope: Some(scope), ..query }).await,
            Lists::Nothing => Ok(query.select([])),
        }
    }

    /// As [`Jobs::metrics`](crate::jobs::Jobs::metrics), of this server's jobs.
    pub(in crate::mcp) async fn metrics(&self) -> Result<JobMetrics, Error> {
        let server = Some(self.manager.server().to_owned());
        let scope = match self.scope.lists() {
            Lists::All => None,
            Lists::Of(scope) => Some(scope),
            Lists::Nothing => return Ok(JobMetrics::default()),
        };
        self.manager.jobs().metrics(JobQuery { server, scope, ..JobQuery::default() }).await
    }

    /// Returns whether the client sees the jobs of all clients.
    pub(in crate::mcp) fn sees_all(&self) -> bool {
        matches!(self.scope, Scope::Everything)
    }

    /// As [`JobManager::prune`], of this server's jobs.
    pub(in crate::mcp) async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        let prune = Prune { server: Some(self.manager.server().to_owned()), ..prune };
        match self.scope.lists() {
            Lists::All => self.manager.prune(prune).await,
            Lists::Of(scope) => self.manager.prune(Prune { scope: Some(scope), ..prune }).await,
            Lists::Nothing => Ok(Pruned::default()),
        }
    }
}
