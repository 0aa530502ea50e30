//! Which tools of the wrapped server are annotated, as a cache: a handler that the SDK generates builds its whole router anew
//! each time it is asked for a tool.

use std::collections::HashMap;
use std::sync::Arc;

use rmcp::model::{PaginatedRequestParams, Tool};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::arguments::{OwnArguments, is_own, with_job_arguments};
use crate::core::observe;
use crate::core::sync::Mutex;
use crate::mcp::schema::{
    broken_rules, describes_object, is_idempotent, is_marked, is_rerun, portable_input,
};
use crate::mcp::tools::CallerMay;

/// How many pages of a list are read: a server may have a list that never ends.
const PAGES: usize = 1000;

/// An annotated tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct AnnotatedTool {
    /// The arguments of the job's names that are the tool's own.
    pub(super) own: OwnArguments,
    /// Whether a call may run again after the end of its server.
    pub(super) rerun: bool,
    /// Whether callers may give keys under which they find answers again.
    pub(super) idempotent: bool,
}

/// A tool of the server, as the server describes it and as clients see it apart from the arguments that the library adds.
#[derive(Debug)]
struct KnownTool {
    described: Tool,
    shown: Tool,
    /// `None` where the tool is not annotated.
    annotated: Option<AnnotatedTool>,
}

impl KnownTool {
    fn of(described: Tool) -> Self {
        let mut shown = described.clone();
        let annotated = is_marked(described.meta.as_ref()).then(|| {
            shown.input_schema = Arc::new(portable_input(&described.input_schema));
            // Only a schema of objects can describe the tool's own answer and a ticket together.
            shown.output_schema.take_if(|schema| !describes_object(schema));
            AnnotatedTool {
                own: OwnArguments::of(&shown.input_schema),
                rerun: is_rerun(described.meta.as_ref()),
                idempotent: is_idempotent(described.meta.as_ref()),
            }
        });
        for broken in broken_rules(&shown) {
            observe::warn!(tool = %shown.name, "some model APIs refuse this tool, or all tools with it: {broken}");
        }
        Self { described, shown, annotated }
    }
}

/// The tools of a server by name.
#[derive(Debug, Clone, Default)]
pub(in crate::mcp) struct AnnotatedTools(Arc<Mutex<HashMap<String, KnownTool>>>);

impl AnnotatedTools {
    /// The tool as clients see it: an annotated one with the arguments that the library adds, and in the form of schemas that all
    /// hosts take.
    pub(in crate::mcp) fn shown(&self, tool: Tool, may: CallerMay) -> Tool {
        let (mut tool, annotated) =
            self.learn(tool, |known| (known.shown.clone(), known.annotated));
        if let Some(AnnotatedTool { idempotent, .. }) = annotated {
            let input = with_job_arguments(&tool.input_schema, may, idempotent);
            tool.input_schema = Arc::new(input);
        }
        tool
    }

    /// Returns whether an argument of this name is, or may be, one of the tool's own.
    pub(super) fn has_argument(&self, tool: &str, argument: &str) -> bool {
        let tools = self.0.lock();
        tools.get(tool).is_none_or(|known| is_own(&known.shown.input_schema, argument))
    }

    /// Takes over how the server describes a tool at this moment, and reads from it.
    fn learn<T>(&self, tool: Tool, read: impl Fn(&KnownTool) -> T) -> T {
        if let Some(known) = self.0.lock().get(&*tool.name)
            && known.described == tool
        {
            return read(known);
        }
        // Outside of the lock, because this writes to the log of the program.
        let known = KnownTool::of(tool);
        let answer = read(&known);
        self.0.lock().insert(known.described.name.to_string(), known);
        answer
    }

    /// Looks up a tool that is called. A server that does not describe single tools is asked for its list, once for each name.
    pub(in crate::mcp) async fn look_up<S: ServerHandler>(
        &self,
        server: &S,
        name: &str,
        context: &RequestContext<RoleServer>,
    ) -> Option<AnnotatedTool> {
        if let Some(known) = self.0.lock().get(name) {
            return known.annotated;
        }
        let annotated = |known: &KnownTool| known.annotated;
        if let Some(tool) = server.get_tool(name) {
            return self.learn(tool, annotated);
        }
        // A name that the list lacks is not remembered: a client may call any name.
        let tools = Box::pin(whole_list(server, context)).await.unwrap_or_default();
        let mut called = None;
        for tool in tools {
            let is_called = tool.name == name;
            let annotated = self.learn(tool, annotated);
            if is_called {
                called = annotated;
            }
        }
        called
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
