//! Notifications to clients that subscribed to jobs.
//!
//! - `resources/subscribe` (up to 2025-11-25): one resource a request, for as long as the connection lasts; in this file.
//! - `subscriptions/listen` (from 2026-07-28): a request that stays open; `listen` serves jobs' resources, `tasks` tasks.

mod listen;
mod tasks;
mod watched_resources;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::Peer;
use rmcp::{ErrorData, RoleServer};
use tokio::sync::mpsc;
use tokio::time::sleep;

pub(super) use self::listen::{jobs_in, notify, without_jobs};
pub(super) use self::tasks::listen_to_tasks;
use self::watched_resources::WatchedResources;
use super::resources::ResourcePart;
use crate::core::job::JobRecord;
use crate::core::manager::JobManager;
use crate::core::sync::Mutex;

/// How often the notifying task checks whether its connection is closed: it must not outlive the connection where the server
/// does.
const CLOSED_CHECK: Duration = Duration::from_secs(1);

/// The `resources/subscribe` subscriptions of one connection. They end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    changes: Mutex<Option<mpsc::UnboundedSender<SubscriptionChange>>>,
    /// How many there are, with those that the notifying task has not taken yet.
    count: Arc<AtomicUsize>,
}

/// How many jobs one connection may subscribe to by `resources/subscribe`, and one stream may follow.
const SUBSCRIPTIONS: usize = 1000;

#[derive(Debug)]
enum SubscriptionChange {
    Add { uri: String, part: ResourcePart, job: Arc<JobRecord> },
    Remove { uri: String },
}

/// Checks how many jobs a stream is asked to follow.
///
/// # Errors
/// -32602 where these are too many.
pub(super) fn check_number(named: usize) -> Result<(), ErrorData> {
    if named <= SUBSCRIPTIONS {
        return Ok(());
    }
    let message = format!(
        "taskIds and resourceSubscriptions name {named} jobs; one stream may follow {SUBSCRIPTIONS} at most"
    );
    Err(ErrorData::invalid_params(message, None))
}

impl Subscriptions {
    /// Notifies the connection of every change of the resource after the state in `job`.
    ///
    /// # Errors
    /// -32602 where the connection has as many subscriptions as it may have.
    pub(super) fn subscribe(
        &self,
        manager: &JobManager,
        peer: &Peer<RoleServer>,
        uri: String,
        (job, part): (Arc<JobRecord>, ResourcePart),
    ) -> Result<(), ErrorData> {
        let mut changes = self.changes.lock();
        if self.count.fetch_add(1, Ordering::SeqCst) >= SUBSCRIPTIONS {
            self.count.fetch_sub(1, Ordering::SeqCst);
            let message = format!(
                "this connection subscribes to {SUBSCRIPTIONS} resources of jobs, and may have no more; unsubscribe from one first"
            );
            return Err(ErrorData::invalid_params(message, None));
        }
        let changes = changes.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let count = Arc::clone(&self.count);
            tokio::spawn(serve(manager.clone(), peer.clone(), receiver, count));
            sender
        });
        // The notifying task is gone once the connection is closed.
        let _ = changes.send(SubscriptionChange::Add { uri, part, job });
        Ok(())
    }

    /// Ends a subscription. An unknown one is no error.
    pub(super) fn unsubscribe(&self, uri: String) {
        let changes = self.changes.lock();
        if let Some(changes) = &*changes {
            let _ = changes.send(SubscriptionChange::Remove { uri });
        }
    }
}

/// Notifies one connection of its subscriptions, until the connection is closed or its server is dropped.
async fn serve(
    manager: JobManager,
    peer: Peer<RoleServer>,
    mut changes: mpsc::UnboundedReceiver<SubscriptionChange>,
    count: Arc<AtomicUsize>,
) {
    let mut resources = WatchedResources::new(manager);
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(SubscriptionChange::Add { uri, part, job }) => resources.add(uri, part, &job),
                Some(SubscriptionChange::Remove { uri }) => resources.remove(&uri),
                None => return,
            },
            uris = resources.next() => {
                for uri in uris {
                    let update = ResourceUpdatedNotificationParam::new(uri);
                    if peer.notify_resource_updated(update).await.is_err() {
                        return;
                    }
                }
            }
            () = sleep(CLOSED_CHECK), if resources.is_live() => {}
        }
        if changes.is_empty() {
            count.store(resources.count(), Ordering::SeqCst);
        }
        if peer.is_transport_closed() {
            return;
        }
    }
}
