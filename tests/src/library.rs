//! A server with resources of its own, that can be told to say that one has changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParam, ServerCapabilities,
    ServerConfig, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::watch;

/// The server. It has two books, each on a page of its own.
#[derive(Debug, Clone)]
pub struct Library {
    /// Counts the changes of the first book.
    changes: Arc<watch::Sender<usize>>,
    /// What connections of the older protocols have subscribed to.
    pub subscribed: Arc<Mutex<BTreeSet<String>>>,
}

/// The first book.
pub const BOOK: &str = "book://1";

impl Library {
    /// A library in which nothing has changed yet.
    #[expect(clippy::new_without_default, reason = "each library is another")]
    pub fn new() -> Self {
        Self { changes: Arc::new(watch::Sender::new(0)), subscribed: Arc::default() }
    }

    /// Tells every subscriber that the first book has changed.
    pub fn change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn subscriptions(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.subscribed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerHandler for Library {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .build();
        ServerConfig::new(capabilities)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let book = |uri| vec![Resource::new(uri, "a book")];
        let mut list = ListResourcesResult::default();
        match request.and_then(|request| request.cursor).as_deref() {
            None => (list.resources, list.next_cursor) = (book(BOOK), Some("second".to_owned())),
            Some("second") => list.resources = book("book://2"),
            Some(_) => return Err(ErrorData::invalid_params("there is no such page", None)),
        }
        list.ttl_ms = Some(60_000);
        Ok(list)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let books = ResourceTemplate::new("book://{number}", "book");
        Ok(ListResourceTemplatesResult::with_all_items(vec![books]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let text = ResourceContents::text("once upon a time", request.uri);
        Ok(ReadResourceResult::new(vec![text]).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscriptions().insert(request.uri.clone());
        let (library, mut changes) = (self.clone(), self.changes.subscribe());
        tokio::spawn(async move {
            while changes.changed().await.is_ok() && library.subscriptions().contains(&request.uri)
            {
                let update = ResourceUpdatedNotificationParam::new(request.uri.clone());
                let _ = context.peer.notify_resource_updated(update).await;
            }
        });
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscriptions().remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                _ = changes.changed() => {
                    let _ = context.sink().notify_resource_updated(BOOK).await;
                }
            }
        }
    }
}
