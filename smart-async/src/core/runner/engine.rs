//! The state that all parts of the runner share: the store and the knowledge of this process, the settings, and the signals of the end.

use std::env;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::settings::Settings;
use super::sync::RemoteSync;
use crate::core::backoff::Backoff;
use crate::core::blocking::Slots;
use crate::core::context::{JobContext, JobHost};
use crate::core::env_vars;
use crate::core::job::{FailureKind, JobEvent, JobFailure};
use crate::core::jobs::Error;
use crate::core::local::Local;
use crate::core::queue::{Dispatcher, ToolPermits};
use crate::core::store::StoreError;

pub(in crate::core) struct Engine {
    pub(in crate::core) local: Arc<Local>,
    pub(in crate::core) settings: Settings,
    /// The manager, as the jobs carry it along.
    pub(in crate::core) host: Arc<dyn JobHost>,
    /// The name of the server whose jobs these are; set once, by the builder or by the server that is wrapped.
    pub(super) server: OnceLock<String>,
    pub(super) remote: Arc<RemoteSync>,
    /// The share of blocking bodies.
    pub(super) slots: Arc<Slots>,
    /// Claims slots for queued jobs.
    pub(super) queue: Arc<Dispatcher>,
    pub(super) permits: ToolPermits,
    /// Cancelled when no new work is taken.
    pub(super) stopping: CancellationToken,
    /// Cancelled when everything that still runs has to stop.
    pub(super) halted: CancellationToken,
    /// How many ends of jobs were not written before the runner ended, because the store failed.
    pub(super) unwritten: AtomicUsize,
    /// Cancelled when the engine is gone, for the services in the background.
    pub(super) gone: CancellationToken,
}

/// The runner ends, so that only a last attempt makes sense.
pub(super) struct Halted;

impl Engine {
    pub(super) fn new(local: Arc<Local>, settings: Settings, host: Arc<dyn JobHost>) -> Self {
        let gone = CancellationToken::new();
        let limits = {
            let settings = settings.clone();
            Box::new(move || settings.limits())
        };
        Self {
            queue: Dispatcher::new(Arc::clone(&local), limits, settings.load_gate(), gone.clone()),
            permits: ToolPermits::default(),
            remote: Arc::new(RemoteSync::new(Arc::clone(&local))),
            server: settings.server.clone().map_or_else(OnceLock::new, OnceLock::from),
            slots: Slots::new(settings.blocking_bodies),
            local,
            settings,
            host,
            stopping: CancellationToken::new(),
            halted: CancellationToken::new(),
            unwritten: AtomicUsize::new(0),
            gone,
        }
    }

    pub(super) fn server(&self) -> &str {
        self.server.get_or_init(program_name)
    }

    /// The failure of the store, or the reason why jobs are kept in memory only.
    pub(super) fn store_error(&self) -> Option<String> {
        let fallback = || self.settings.fallback.as_ref().map(|fallback| fallback.reason.clone());
        self.local.store_error().or_else(fallback)
    }

    /// The error of a request for a job, or for a key, where neither can outlive the process.
    pub(super) fn not_durable(&self) -> Error {
        let reason = self.settings.fallback.as_ref().map(|fallback| fallback.client_text.clone());
        Error::NotDurable(reason.unwrap_or_else(|| "the job folder cannot be used".to_owned()))
    }

    /// The limit on live jobs, where it is reached.
    pub(super) fn reached_limit(&self) -> Option<usize> {
        const DEFAULT: usize = 10_000;
        let limit = env_vars::count(&env_vars::process, env_vars::MAX_LIVE).unwrap_or(DEFAULT);
        (self.local.live.count() >= limit).then_some(limit)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Pauses before another attempt; an error where the runner ends first.
    pub(super) async fn pause(&self, backoff: &mut Backoff) -> Result<(), Halted> {
        tokio::select! {
            biased;
            () = self.halted.cancelled() => Err(Halted),
            () = tokio::time::sleep(backoff.next()) => Ok(()),
        }
    }

    /// Counts the end of a job that the store did not take, where a later server will not learn of it.
    pub(super) fn count_unwritten(&self, refusal: &StoreError) {
        if refusal.is_transient() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps the name of this process alive for as long as the body runs, by which other processes know that it does. A body
    /// that holds a thread of its own runs on after everything else has been dropped.
    pub(super) fn keep_owner_alive(&self, context: &JobContext) {
        context.keep_alive(Arc::clone(&self.local.store));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// The end of a job that still runs when its process ends.
pub(crate) fn interruption() -> JobEvent {
    let reason = "the server stopped before the work ended";
    JobEvent::Interrupt(JobFailure::new(FailureKind::Interrupted, reason))
}

/// The end of a job that has not begun when its process ends.
pub(super) fn false_start() -> JobEvent {
    let reason = "the server stopped before the work began";
    JobEvent::Interrupt(JobFailure::new(FailureKind::Interrupted, reason))
}

/// The name of a server for which the program sets none.
fn program_name() -> String {
    let program = env::current_exe().ok();
    let name = program
        .as_deref()
        .and_then(Path::file_stem)
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "unnamed".to_owned())
}
