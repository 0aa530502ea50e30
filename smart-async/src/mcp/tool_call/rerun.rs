//! Calls that run again because their server ended before their work did: from the arguments in the record, through the same
//! server and tool, with a closed connection in place of a client.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rmcp::model::{CallToolRequestParams, CallToolResponse, NumberOrString};
use rmcp::service::{Peer, RequestContext, serve_directly};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Map;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::AnnotatedTools;
use crate::call::CallRequest;
use crate::call::key::CallDigest;
use crate::call::report::{CallEnd, CallReport};
use crate::core::job::JobRecord;
use crate::core::manager::JobManager;
use crate::core::runner::{RerunSupport, Rerunner};
use crate::mcp::client::scope::Scope;
use crate::mcp::outcome::error_text;

/// Calls the tools of a wrapped server again.
pub(in crate::mcp) struct ToolRerunner<S> {
    inner: Arc<S>,
    manager: JobManager,
    tools: AnnotatedTools,
    closed_peer: OnceCell<Peer<RoleServer>>,
}

impl<S: ServerHandler> ToolRerunner<S> {
    pub(in crate::mcp) fn new(inner: Arc<S>, manager: JobManager, tools: AnnotatedTools) -> Self {
        Self { inner, manager, tools, closed_peer: OnceCell::new() }
    }

    /// The context of a request that no client made: each request to its peer fails at once.
    async fn context(&self, id: String) -> RequestContext<RoleServer> {
        let peer = self.closed_peer.get_or_init(async || {
            let gone = serve_directly(NoTools, (tokio::io::empty(), tokio::io::sink()), None);
            let peer = gone.peer().clone();
            // Ends at once, since there is nothing to read; from then on the peer refuses everything.
            let _ = gone.waiting().await;
            peer
        });
        RequestContext::new(NumberOrString::String(id.into()), peer.await.clone())
    }
}

impl<S: ServerHandler> Rerunner for ToolRerunner<S> {
    fn supports(&self, tool: String) -> BoxFuture<'_, RerunSupport> {
        Box::pin(async move {
            let context = self.context(format!("look up {tool}")).await;
            match self.tools.look_up(&*self.inner, &tool, &context).await {
                Some(annotated) if annotated.rerun => RerunSupport::Rerunnable,
                Some(_) => RerunSupport::NotRerunnable,
                None => RerunSupport::NoTool,
            }
        })
    }

    fn rerun(&self, job: Arc<JobRecord>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let Some(arguments) = job.spec.arguments.clone() else {
                return Err("its arguments are gone".to_owned());
            };
            let mut context = self.context(format!("rerun {}", job.id)).await;
            let body_token = CancellationToken::new();
            context.ct = body_token.clone();
            // Where the tool coalesces calls, the same call shares this run.
            let digest = CallDigest::new(&job.spec.tool, Some(&arguments));
            let key =
                Scope::of_job(&job).call_key(&digest, std::any::type_name::<S>(), &Map::new());
            let request =
                CallToolRequestParams::new(job.spec.tool.clone()).with_arguments(arguments);
            let call = Arc::new(CallRequest {
                scope: job.spec.scope.clone(),
                key,
                body_token: Some(body_token),
                reruns: Some(Arc::clone(&job)),
                server: Some(Arc::<S>::clone(&self.inner)),
                report: Some(CallReport::default()),
                ..CallRequest::unknown(Some(self.manager.clone()))
            });
            let answer = Arc::clone(&call).serve(self.inner.call_tool(request, context)).await;
            // The tool answers with a ticket, once its work has been taken on.
            match call.report.as_ref().and_then(CallReport::take_end) {
                Some(CallEnd::Job { record, .. }) if record.id == job.id => Ok(()),
                _ => Err(refusal(&answer)),
            }
        })
    }
}

/// The answer of a tool that did not take its work on.
fn refusal(answer: &Result<CallToolResponse, ErrorData>) -> String {
    match answer {
        Ok(CallToolResponse::Complete(result)) => error_text(result),
        Ok(_) => "the tool answered otherwise".to_owned(),
        Err(error) => error.message.to_string(),
    }
}

/// The server of the closed connection.
struct NoTools;
impl ServerHandler for NoTools {}
