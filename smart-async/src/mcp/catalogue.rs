//! Which tools of the wrapped server are annotated. Asking the server each time would be dear: a handler that the SDK
//! generates builds its whole router anew for each question.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rmcp::model::{PaginatedRequestParams, Tool};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::wishes::Annotated;

/// How many pages of a list are read: a server whose pages never end is not waited for.
const PAGES: usize = 1000;

#[derive(Debug, Clone, Default)]
pub(super) struct Catalogue(Arc<RwLock<HashMap<String, Option<Annotated>>>>);

impl Catalogue {
    /// Takes in what the server says of a tool just now.
    pub(super) fn learn(&self, tool: &Tool) -> Option<Annotated> {
        let annotated = Annotated::of(tool);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&*tool.name).copied();
        if known != Some(annotated) {
            self.0
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(tool.name.to_string(), annotated);
        }
        annotated
    }

    /// What is known of a tool that is called. A server that does not tell of single tools is asked for its list, once
    /// for each name.
    pub(super) async fn look_up<S: ServerHandler>(
        &self,
        server: &S,
        name: &str,
        context: &RequestContext<RoleServer>,
    ) -> Option<Annotated> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return *known;
        }
        if let Some(tool) = server.get_tool(name) {
            return self.learn(&tool);
        }
        // A tool that is not there either is not remembered: any name can be called.
        let tools = Box::pin(whole_list(server, context)).await.unwrap_or_default();
        tools.iter().map(|tool| (tool, self.learn(tool))).find(|(tool, _)| tool.name == name)?.1
    }
}

/// Every page of the server's list.
async fn whole_list<S: ServerHandler>(
    server: &S,
    context: &RequestContext<RoleServer>,
) -> Result<Vec<Tool>, ErrorData> {
    let mut tools = Vec::new();
    let mut page = None;
    for _ in 0..PAGES {
        let mut list = server.list_tools(page, context.clone()).await?;
        tools.append(&mut list.tools);
        match list.next_cursor {
            Some(cursor) => {
                page = Some(PaginatedRequestParams::default().with_cursor(Some(cursor)));
            }
            None => break,
        }
    }
    Ok(tools)
}
