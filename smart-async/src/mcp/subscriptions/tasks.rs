//! `notifications/tasks`: the stream of a `subscriptions/listen` that names `taskIds`.
//!
//! The SDK drops `taskIds` as it decodes such a request, and its sink refuses these notifications. So the request comes here
//! under another name, which `transport` gives it before it is decoded; and what the SDK would send is sent from here.

use rmcp::model::{
    CustomNotification, CustomRequest, CustomResult, ErrorCode, NotificationMetaObject,
    ServerNotification, SubscriptionFilter, SubscriptionsListenRequestMethod,
    SubscriptionsListenResult, TaskStatusNotification, TaskStatusNotificationParams,
};
use rmcp::service::{RequestContext, ServiceError};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::{Value, json};

use super::others::Others;
use crate::core::jobs::Following;
use crate::mcp::client::access::Access;
use crate::mcp::client::capabilities::Client;
use crate::mcp::server::JobServer;
use crate::mcp::tasks;

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// The filter of such a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    task_ids: Vec<String>,
    #[serde(flatten)]
    others: SubscriptionFilter,
}

/// Serves the request until its client cancels it, or the wrapped server ends what it has to say on it.
pub(in crate::mcp) async fn listen_to_tasks<S: ServerHandler>(
    server: &JobServer<S>,
    request: CustomRequest,
    context: RequestContext<RoleServer>,
) -> Result<CustomResult, ErrorData> {
    if context.protocol_version().is_none_or(|version| version.has_initialize()) {
        return Err(ErrorData::method_not_found::<SubscriptionsListenRequestMethod>());
    }
    if !Client::of(&context).takes_tasks() {
        return Err(tasks::needs_tasks());
    }
    let wanted = wanted(request)?;
    let access = server.access(&context);
    let mut following = Following::new(server.manager.clone());
    let accepted = follow(&access, &mut following, wanted.task_ids).await?;
    let mut others = match wanted.others == SubscriptionFilter::default() {
        true => None,
        false => Some(Others::open(server.clone(), wanted.others, &context).await?),
    };
    acknowledge(&context, accepted, others.as_ref().map(Others::accepted))
        .await
        .map_err(|error| not_acknowledged(&error))?;
    loop {
        let said = async {
            match &mut others {
                Some(others) => others.next().await,
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            biased;
            () = context.ct.cancelled() => break,
            said = said => match said {
                Some(news) => context.peer.send_notification(news).await,
                None => break,
            },
            news = following.next() => {
                let mut told = Ok(());
                for job in news {
                    // What `tasks/get` says at this moment, or nothing where it says nothing any more.
                    match tasks::get(&access, &job.id.to_string()).await {
                        Ok(task) => {
                            let mut news = TaskStatusNotification::new(TaskStatusNotificationParams::new(task.task));
                            news.extensions.insert(meta(&context));
                            told = told.and(context.peer.send_notification(ServerNotification::TaskStatusNotification(news)).await);
                        }
                        // The store may know it another time; nobody else tells of an end.
                        Err(error) if error.code == ErrorCode::INTERNAL_ERROR => following.add_and_tell(&job),
                        Err(_) => {}
                    }
                }
                told
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "failed to tell a subscriber of a task");
            break;
        }
    }
    ended(server, &context)
}

fn wanted(request: CustomRequest) -> Result<Wanted, ErrorData> {
    let filter =
        request.params.and_then(|mut params| params.get_mut("notifications").map(Value::take));
    serde_json::from_value(filter.unwrap_or_default()).map_err(|error| {
        ErrorData::invalid_params(
            format!(
                "notifications: {error}; give taskIds, a list of texts, and what else is to be told"
            ),
            None,
        )
    })
}

/// Follows those of the tasks that there are, and returns their ids.
async fn follow(
    access: &Access,
    following: &mut Following,
    wanted: Vec<String>,
) -> Result<Vec<String>, ErrorData> {
    let mut accepted = Vec::with_capacity(wanted.len().min(64));
    for id in wanted {
        let Some(job) = tasks::find(access, &id).await? else { continue };
        if !accepted.contains(&id) {
            // The client may have asked for it before, and waits for what may have happened since.
            following.add_and_tell(&job);
            accepted.push(id);
        }
    }
    Ok(accepted)
}

fn meta(context: &RequestContext<RoleServer>) -> NotificationMetaObject {
    let mut meta = NotificationMetaObject::new();
    meta.set_subscription_id(context.id.clone());
    meta
}

/// The first message of the stream: what is going to be told.
async fn acknowledge(
    context: &RequestContext<RoleServer>,
    task_ids: Vec<String>,
    others: Option<&SubscriptionFilter>,
) -> Result<(), ServiceError> {
    let mut accepted = others.map_or_else(|| json!({}), |others| json!(others));
    if let Some(accepted) = accepted.as_object_mut() {
        accepted.insert("taskIds".to_owned(), json!(task_ids));
    }
    let mut news = CustomNotification::new(ACKNOWLEDGED, Some(json!({"notifications": accepted})));
    news.extensions.insert(meta(context));
    context.peer.send_notification(ServerNotification::CustomNotification(news)).await
}

fn not_acknowledged(error: &ServiceError) -> ErrorData {
    ErrorData::internal_error(format!("failed to acknowledge a subscription: {error}"), None)
}

/// The answer that ends a subscription in order. One that its client has cancelled gets none.
fn ended<S: ServerHandler>(
    server: &JobServer<S>,
    context: &RequestContext<RoleServer>,
) -> Result<CustomResult, ErrorData> {
    let mut result = SubscriptionsListenResult::complete(context.id.clone());
    result.meta.set_server_info(server.get_info().server_info);
    let result = serde_json::to_value(result)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(CustomResult::new(result))
}
