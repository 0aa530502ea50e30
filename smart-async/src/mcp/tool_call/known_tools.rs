//! Which tools of the wrapped server are annotated, as a cache: a handler that the SDK generates builds its whole router anew
//! each time it is asked for a tool.

use std::collections::HashMap;
use std::sync::Arc;

use rmcp::model::{PaginatedRequestParams, Tool};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::arguments::OwnArguments;
use crate::core::sync::Mutex;
use crate::mcp::schema::{is_marked, is_rerun};

/// How many pages of a list are read: a server may have a list that never ends.
const PAGES: usize = 1000;

/// An annotated tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct AnnotatedTool {
    /// The arguments of the job's names that are the tool's own.
    pub(super) own: OwnArguments,
    /// Whether a call may run again after the end of its server.
    pub(super) rerun: bool,
}

impl AnnotatedTool {
    /// `None` where the tool is not annotated.
    fn of(tool: &Tool) -> Option<Self> {
        is_marked(tool.meta.as_ref()).then(|| Self {
            own: OwnArguments::of(&tool.input_schema),
            rerun: is_rerun(tool.meta.as_ref()),
        })
    }
}

/// The tools of a server by name; `None` is a tool that is not annotated.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct AnnotatedTools(Arc<Mutex<HashMap<String, Option<AnnotatedTool>>>>);

impl AnnotatedTools {
    /// Takes over how the server describes a tool at this moment.
    pub(in crate::mcp) fn learn(&self, tool: &Tool) -> Option<AnnotatedTool> {
        let annotated = AnnotatedTool::of(tool);
        let known = self.0.lock().get(&*tool.name).copied();
        if known != Some(annotated) {
            self.0.lock().insert(tool.name.to_string(), annotated);
        }
        annotated
    }

    /// Looks up a tool that is called. A server that does not describe single tools is asked for its list, once for each name.
    pub(in crate::mcp) async fn look_up<S: ServerHandler>(
        &self,
        server: &S,
        name: &str,
        context: &RequestContext<RoleServer>,
    ) -> Option<AnnotatedTool> {
        if let Some(known) = self.0.lock().get(name) {
            return *known;
        }
        if let Some(tool) = server.get_tool(name) {
            return self.learn(&tool);
        }
        // A name that the list lacks is not remembered: a client may call any name.
        let tools = Box::pin(whole_list(server, context)).await.unwrap_or_default();
        tools.iter().map(|tool| (tool, self.learn(tool))).find(|(tool, _)| tool.name == name)?.1
    }
}

/// All pages of the server's list.
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
