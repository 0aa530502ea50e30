//! Who is told when a job changes. Up to 2025-11-25 a connection subscribes to one resource at a time, and is told until it
//! unsubscribes or ends: here. From 2026-07-28 a request stays open for that: `listen` for resources, `tasks` for tasks,
//! `others` for what the wrapped server tells on a stream of tasks.

mod listen;
mod others;
mod tasks;
mod watched;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::Peer;
use tokio::sync::mpsc;
use tokio::time::sleep;

pub(super) use self::listen::{jobs_in, tell, without_jobs};
pub(super) use self::tasks::listen_to_tasks;
use self::watched::Watched;
use super::resources::Part;
use crate::core::job::JobRecord;
use crate::core::manager::JobManager;

/// How often a connection with subscriptions is looked at, so that none outlives it where the server does.
const LOOK: Duration = Duration::from_secs(1);

/// The subscriptions of one connection: of `resources/subscribe`. They end with this.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<Option<mpsc::UnboundedSender<Order>>>);

#[derive(Debug)]
enum Order {
    Subscribe { uri: String, part: Part, job: Arc<JobRecord> },
    Unsubscribe { uri: String },
}

impl Subscriptions {
    /// Tells the connection of every change of the resource from where `job` stands.
    pub(super) fn subscribe(
        &self,
        manager: &JobManager,
        peer: &Peer<RoleServer>,
        uri: String,
        (job, part): (Arc<JobRecord>, Part),
    ) {
        let mut teller = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let teller = teller.get_or_insert_with(|| {
            let (orders, given) = mpsc::unbounded_channel();
            tokio::spawn(serve(manager.clone(), peer.clone(), given));
            orders
        });
        // Nobody takes orders any more once the connection is gone.
        let _ = teller.send(Order::Subscribe { uri, part, job });
    }

    /// Ends a subscription; one that is not there is no error.
    pub(super) fn unsubscribe(&self, uri: String) {
        let teller = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(teller) = &*teller {
            let _ = teller.send(Order::Unsubscribe { uri });
        }
    }
}

/// Tells one connection of its subscriptions, until it or its server is gone.
async fn serve(
    manager: JobManager,
    peer: Peer<RoleServer>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut watched = Watched::new(manager);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Subscribe { uri, part, job }) => watched.add(uri, part, &job),
                Some(Order::Unsubscribe { uri }) => watched.remove(&uri),
                None => return,
            },
            uris = watched.next() => {
                for uri in uris {
                    let update = ResourceUpdatedNotificationParam::new(uri);
                    if peer.notify_resource_updated(update).await.is_err() {
                        return;
                    }
                }
            }
            () = sleep(LOOK), if watched.is_live() => {}
        }
        if peer.is_transport_closed() {
            return;
        }
    }
}
