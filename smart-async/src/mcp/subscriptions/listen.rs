//! `subscriptions/listen` (from 2026-07-28): the part of its filter that names jobs, and the news of them.

use std::convert::Infallible;

use rmcp::model::SubscriptionFilter;
use rmcp::service::SubscriptionSink;

use super::watched::Watched;
use crate::mcp::client::access::Access;
use crate::mcp::resources::{find, is_of_job};

/// The jobs' resources that a filter names.
pub(in crate::mcp) fn jobs_in(filter: &SubscriptionFilter) -> Vec<String> {
    let named = filter.resource_subscriptions.iter().flatten();
    named.filter(|uri| is_of_job(uri)).cloned().collect()
}

/// The filter as the wrapped server would see it without us.
pub(in crate::mcp) fn without_jobs(filter: &SubscriptionFilter) -> SubscriptionFilter {
    let mut others = filter.clone();
    if let Some(uris) = &mut others.resource_subscriptions {
        uris.retain(|uri| !is_of_job(uri));
        if uris.is_empty() {
            others.resource_subscriptions = None;
        }
    }
    others
}

/// Tells one subscriber of the jobs that it was promised to be told of. What is no job is never told of. Ends never: the
/// subscription does.
pub(in crate::mcp) async fn tell(access: Access, sink: SubscriptionSink) -> Infallible {
    let mut watched = Watched::new(access.manager().clone());
    for uri in jobs_in(sink.accepted()) {
        if let Ok((job, part)) = find(&access, &uri).await {
            // It was acknowledged before anybody looked at the job.
            watched.add_and_tell(uri, part, &job);
        }
    }
    loop {
        for uri in watched.next().await {
            if let Err(error) = sink.notify_resource_updated(uri).await {
                tracing::debug!(%error, "failed to tell a subscriber of a job");
                return std::future::pending().await;
            }
        }
    }
}
