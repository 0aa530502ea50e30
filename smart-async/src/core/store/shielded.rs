//! A store of the program, whose panics are errors of the store: no supervisor, no retry loop and no reader ends by them.

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};

use super::{HydratedState, JobStore, NewsStream, Pruned, StoreError, StoreFuture, UsualRun};
use crate::core::clock;
use crate::core::job::{
    Change, ClaimQuery, JobId, JobPage, JobQuery, JobRecord, OwnerId, ProgressReport, Prune,
    ResultPage, StateName, Timestamp,
};
use crate::core::shield::{panic_message, shielded};

/// Passes everything on to a store that may panic.
#[derive(Debug)]
pub(in crate::core) struct ShieldedStore<S>(S);

impl<S: JobStore> ShieldedStore<S> {
    pub(in crate::core) const fn new(store: S) -> Self {
        Self(store)
    }
}

/// The error of a request in which the store panicked. A change may stand all the same.
fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let source = io::Error::other(format!("it panicked: {}", panic_message(panic)));
    StoreError::io("use", "the job store", source).but_in_doubt()
}

/// Makes a request.
fn ask<'a, T: Send + 'a>(request: impl FnOnce() -> StoreFuture<'a, T>) -> StoreFuture<'a, T> {
    let refuse = |panic: Box<dyn Any + Send>| Err(panicked(&*panic));
    match shielded(request) {
        Ok(answer) => Box::pin(
            AssertUnwindSafe(answer)
                .catch_unwind()
                .map(move |answer| answer.unwrap_or_else(refuse)),
        ),
        Err(panic) => Box::pin(std::future::ready(refuse(panic))),
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: JobStore> JobStore for ShieldedStore<S> {
    fn insert(&self, job: JobRecord) -> StoreFuture<'_, Arc<JobRecord>> {
        ask(|| self.0.insert(job))
    }

    fn update(&self, id: JobId, change: Change) -> StoreFuture<'_, Arc<JobRecord>> {
        ask(|| self.0.update(id, change))
    }

    fn get(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        ask(|| self.0.get(id))
    }

    fn get_with_result(&self, id: JobId) -> StoreFuture<'_, Option<Arc<JobRecord>>> {
        ask(|| self.0.get_with_result(id))
    }

    fn result_page(
        &self,
        id: JobId,
        offset: u64,
        max_bytes: usize,
    ) -> StoreFuture<'_, Option<ResultPage>> {
        ask(|| self.0.result_page(id, offset, max_bytes))
    }

    fn get_many(&self, ids: Vec<JobId>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        ask(|| self.0.get_many(ids))
    }

    fn list(&self, query: JobQuery) -> StoreFuture<'_, JobPage> {
        ask(|| self.0.list(query))
    }

    fn claim(&self, query: ClaimQuery) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        ask(|| self.0.claim(query))
    }

    fn record_progress(&self, reports: Vec<ProgressReport>) -> StoreFuture<'_, Vec<JobId>> {
        ask(|| self.0.record_progress(reports))
    }

    fn prune(&self, prune: Prune) -> StoreFuture<'_, Pruned> {
        ask(|| self.0.prune(prune))
    }

    fn withdraw(&self, id: JobId) -> StoreFuture<'_, ()> {
        ask(|| self.0.withdraw(id))
    }

    fn abandoned(&self, server: Option<String>) -> StoreFuture<'_, Vec<Arc<JobRecord>>> {
        ask(|| self.0.abandoned(server))
    }

    fn usual_runs(&self, server: String) -> StoreFuture<'_, Vec<UsualRun>> {
        ask(|| self.0.usual_runs(server))
    }

    /// News that panics ends: the readers look by themselves from then on.
    fn news(&self) -> Option<NewsStream> {
        let news = shielded(|| self.0.news()).ok().flatten()?;
        let until_panic = AssertUnwindSafe(news).catch_unwind();
        Some(until_panic.filter_map(|news| std::future::ready(news.ok())).boxed())
    }

    fn put_state(&self, state: HydratedState) -> StoreFuture<'_, bool> {
        ask(|| self.0.put_state(state))
    }

    fn state(&self, field: StateName) -> StoreFuture<'_, Option<Arc<HydratedState>>> {
        ask(|| self.0.state(field))
    }

    fn states(&self) -> StoreFuture<'_, Vec<Arc<HydratedState>>> {
        ask(|| self.0.states())
    }

    fn now(&self) -> Timestamp {
        shielded(|| self.0.now()).unwrap_or_else(|_| clock::now())
    }

    /// Not shielded: without its name a process can do nothing.
    fn owner(&self) -> OwnerId {
        self.0.owner()
    }

    fn max_result_bytes(&self) -> Option<u64> {
        shielded(|| self.0.max_result_bytes()).unwrap_or_default()
    }

    fn trouble(&self) -> Option<String> {
        shielded(|| self.0.trouble()).unwrap_or_default()
    }

    fn is_durable(&self) -> bool {
        shielded(|| self.0.is_durable()).unwrap_or_default()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        ask(|| self.0.close())
    }
}
