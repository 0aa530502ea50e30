//! `subscriptions/listen` (from 2026-07-28): the part of its filter that names jobs' resources, and the notifications of them.

use std::convert::Infallible;

use rmcp::model::SubscriptionFilter;
use rmcp::service::SubscriptionSink;

use super::watched_resources::WatchedResources;
use crate::core::observe;
use crate::mcp::client::access::Access;
use crate::mcp::resources::{find, is_of_job};

/// The jobs' resources that a filter names.
pub(in crate::mcp) fn jobs_in(filter: &SubscriptionFilter) -> Vec<String> {
    let uris = filter.resource_subscriptions.iter().flatten();
    uris.filter(|uri| is_of_job(uri)).cloned().collect()
}

/// The filter without jobs' resources, for the wrapped server.
pub(in crate::mcp) fn without_jobs(filter: &SubscriptionFilter) -> SubscriptionFilter {
    let mut filter = filter.clone();
    if let Some(uris) = &mut filter.resource_subscriptions {
        uris.retain(|uri| !is_of_job(uri));
        if uris.is_empty() {
            filter.resource_subscriptions = None;
        }
    }
    filter
}

/// Notifies one subscriber of the jobs' resources that were acknowledged to it. A URI without a job gets no notification.
/// The future never ends; the caller drops it when the subscription ends.
pub(in crate::mcp) async fn notify(access: Access, sink: SubscriptionSink) -> Infallible {
    let mut resources = WatchedResources::new(access.manager().clone());
    for uri in jobs_in(sink.accepted()) {
        if let Ok((job, part)) = find(&access, &uri).await {
            // The SDK acknowledged the URI before this task read the job, which may have changed since.
            resources.add_and_report(uri, part, &job);
        }
    }
    loop {
        for uri in resources.next().await {
            if let Err(error) = sink.notify_resource_updated(uri).await {
                observe::debug!(%error, "failed to notify a subscriber of a job");
                return std::future::pending().await;
            }
        }
    }
}
