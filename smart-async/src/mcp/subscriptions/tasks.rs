//! `notifications/tasks`: the stream of a `subscriptions/listen` that names `taskIds`.
//!
//! The transports of `sdk_gaps::task_subscriptions` give such a request another method, so that it arrives here undecoded. The
//! stream accepts the tasks and the jobs' resources that the filter names, and nothing else of the filter: the protocol lets a
//! server accept a part, and its acknowledgement says which. A client opens a stream without `taskIds` for the news of the
//! wrapped server. All messages are written here, because the SDK's sink refuses `notifications/tasks`.

use rmcp::model::{
    CustomNotification, CustomRequest, CustomResult, ErrorCode, GetMeta, Implementation,
    ResourceUpdatedNotification, ResourceUpdatedNotificationParam, ServerNotification,
    SubscriptionFilter, SubscriptionsListenRequestMethod, SubscriptionsListenResult,
    TaskStatusNotification, TaskStatusNotificationParams,
};
use rmcp::service::{RequestContext, ServiceError};
use rmcp::{ErrorData, RoleServer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::check_number;
use super::listen::jobs_in;
use super::watched_resources::WatchedResources;
use crate::call::reply::FollowUp;
use crate::core::job::JobRecord;
use crate::core::jobs::JobWatcher;
use crate::core::observe;
use crate::mcp::client::access::Access;
use crate::mcp::client::capabilities::Client;
use crate::mcp::resources;
use crate::mcp::tasks::{self, TaskClient};

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// The filter of a request that names `taskIds`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskFilter {
    task_ids: Vec<String>,
    #[serde(flatten)]
    others: SubscriptionFilter,
}

/// Serves the request until its client cancels it or its connection ends. The answer names the server as `server_info`.
///
/// # Errors
/// "Method not found" where the protocol has no such request, -32021 where the client did not declare the Tasks extension,
/// -32602 for a malformed filter, and -32603 where the store cannot be read or the acknowledgement cannot be sent.
pub(in crate::mcp) async fn listen_to_tasks(
    access: &Access,
    follow_up: &FollowUp,
    server_info: Implementation,
    request: CustomRequest,
    context: RequestContext<RoleServer>,
) -> Result<CustomResult, ErrorData> {
    if context.protocol_version().is_none_or(|version| version.has_initialize()) {
        return Err(ErrorData::method_not_found::<SubscriptionsListenRequestMethod>());
    }
    let client = Client::of(&context);
    if !client.takes_tasks() {
        return Err(tasks::needs_tasks());
    }
    let _open =
        access.open_wait().map_err(|error| ErrorData::invalid_params(error.answer_text(), None))?;
    let mut stream = TaskStream {
        access,
        client: TaskClient { asked: client.can_be_asked_in_rounds(), follow_up },
        context: &context,
        tasks: JobWatcher::new(access.manager().jobs().clone()),
        resources: WatchedResources::new(access.manager().clone()),
    };
    stream.accept(filter(request)?).await?;
    if let Err(error) = stream.serve().await {
        observe::debug!(%error, "failed to notify a subscriber of its tasks");
    }
    end(server_info, &context)
}

fn filter(request: CustomRequest) -> Result<TaskFilter, ErrorData> {
    let filter =
        request.params.and_then(|mut params| params.get_mut("notifications").map(Value::take));
    serde_json::from_value(filter.unwrap_or_default()).map_err(|error| {
        let message = format!("notifications: {error}; taskIds must be a list of strings");
        ErrorData::invalid_params(message, None)
    })
}

/// One open request, with the jobs of which its client is notified.
struct TaskStream<'a> {
    access: &'a Access,
    client: TaskClient<'a>,
    context: &'a RequestContext<RoleServer>,
    tasks: JobWatcher,
    resources: WatchedResources,
}

impl TaskStream<'_> {
    /// Follows the tasks and the jobs' resources of the filter that exist for this client, and acknowledges those.
    async fn accept(&mut self, filter: TaskFilter) -> Result<(), ErrorData> {
        check_number(filter.task_ids.len() + jobs_in(&filter.others).len())?;
        let mut task_ids = Vec::with_capacity(filter.task_ids.len().min(64));
        for id in filter.task_ids {
            let Some(job) = tasks::find(self.access, &id).await? else { continue };
            if !task_ids.contains(&id) {
                // The client may have read the task before it subscribed, and waits for what has changed since.
                self.tasks.add_and_report(&job);
                task_ids.push(id);
            }
        }
        let mut uris = Vec::new();
        for uri in jobs_in(&filter.others) {
            if let Ok((job, part)) = resources::find(self.access, &uri).await
                && !uris.contains(&uri)
            {
                self.resources.add_and_report(uri.clone(), part, &job);
                uris.push(uri);
            }
        }
        let accepted = match uris.is_empty() {
            true => json!({"taskIds": task_ids}),
            false => json!({"taskIds": task_ids, "resourceSubscriptions": uris}),
        };
        let params = Some(json!({"notifications": accepted}));
        let acknowledgement = CustomNotification::new(ACKNOWLEDGED, params);
        self.send(ServerNotification::CustomNotification(acknowledgement)).await.map_err(|error| {
            let message = format!("failed to acknowledge a subscription: {error}");
            ErrorData::internal_error(message, None)
        })
    }

    /// Sends a notification for each change, until the client cancels the request.
    async fn serve(&mut self) -> Result<(), ServiceError> {
        loop {
            tokio::select! {
                biased;
                () = self.context.ct.cancelled() => return Ok(()),
                jobs = self.tasks.next() => {
                    for job in jobs {
                        self.notify_of_task(&job).await?;
                    }
                }
                uris = self.resources.next() => {
                    for uri in uris {
                        let update = ResourceUpdatedNotificationParam::new(uri);
                        let update = ResourceUpdatedNotification::new(update);
                        self.send(ServerNotification::ResourceUpdatedNotification(update)).await?;
                    }
                }
            }
        }
    }

    /// Sends what `tasks/get` answers: of a live task from the record that was just read, for one look serves all subscribers.
    /// Sends nothing where there is no such task any more.
    async fn notify_of_task(&mut self, job: &JobRecord) -> Result<(), ServiceError> {
        let task = match job.status().is_terminal() {
            true => tasks::get(self.access, &job.id.to_string(), self.client).await,
            false => Ok(tasks::of_live(self.access, job, self.client)),
        };
        match task {
            Ok(task) => {
                let status = TaskStatusNotificationParams::new(task.task);
                let status = TaskStatusNotification::new(status);
                self.send(ServerNotification::TaskStatusNotification(status)).await
            }
            Err(error) => {
                // The store may be readable the next time, and no other notification tells of an end.
                if error.code == ErrorCode::INTERNAL_ERROR {
                    self.tasks.add_and_report(job);
                }
                Ok(())
            }
        }
    }

    /// Sends a notification under the id of this subscription.
    async fn send(&mut self, mut notification: ServerNotification) -> Result<(), ServiceError> {
        notification.get_meta_mut().set_subscription_id(self.context.id.clone());
        self.context.peer.send_notification(notification).await
    }
}

/// The answer that ends a subscription in order. The SDK sends none to a client that has cancelled the request.
fn end(
    server_info: Implementation,
    context: &RequestContext<RoleServer>,
) -> Result<CustomResult, ErrorData> {
    let mut result = SubscriptionsListenResult::complete(context.id.clone());
    result.meta.set_server_info(server_info);
    let result = serde_json::to_value(result)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(CustomResult::new(result))
}
