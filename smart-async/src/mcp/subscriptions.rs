//! Notifications to clients that subscribed to jobs.
//!
//! - `resources/subscribe` (up to 2025-11-25): one resource a request, for as long as the connection lasts; in this file.
//! - `subscriptions/listen` (from 2026-07-28): a request that stays open; `listen` serves jobs' resources, `tasks` tasks.

mod listen;
mod tasks;
mod watched_resources;

use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::Peer;
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
pub(super) struct Subscriptions(Mutex<Option<mpsc::UnboundedSender<SubscriptionChange>>>);

#[derive(Debug)]
enum SubscriptionChange {
    Add { uri: String, part: ResourcePart, job: Arc<JobRecord> },
    Remove { uri: String },
}

impl Subscriptions {
    /// Notifies the connection of every change of the resource after the state in `job`.
    pub(super) fn subscribe(
        &self,
        manager: &JobManager,
        peer: &Peer<RoleServer>,
        uri: String,
        (job, part): (Arc<JobRecord>, ResourcePart),
    ) {
        let mut changes = self.0.lock();
        let changes = changes.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(serve(manager.clone(), peer.clone(), receiver));
            sender
        });
        // The notifying task is gone once the connection is closed.
        let _ = changes.send(SubscriptionChange::Add { uri, part, job });
    }

    /// Ends a subscription. An unknown one is no error.
    pub(super) fn unsubscribe(&self, uri: String) {
        let changes = self.0.lock();
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
        if peer.is_transport_closed() {
            return;
        }
    }
}
