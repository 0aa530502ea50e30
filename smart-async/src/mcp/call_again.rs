//! Making a call again whose server ended before its work did: from the arguments that its record kept, through the same
//! server and tool, with nobody at the other end.

use std::sync::Arc;

use rmcp::model::{CallToolRequestParams, CallToolResponse, NumberOrString};
use rmcp::service::{Peer, RequestContext, serve_directly};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::catalogue::Catalogue;
use super::client::scope::Scope;
use super::outcome::spoken;
use crate::call::CallRequest;
use crate::core::call_key::CallKey;
use crate::core::job::JobRecord;
use crate::core::manager::JobManager;
use crate::core::runner::{Answer, CallsAgain, Has};

/// A wrapped server, as the one that makes calls again.
pub(super) struct CallAgain<S> {
    inner: Arc<S>,
    catalogue: Catalogue,
    nobody: OnceCell<Peer<RoleServer>>,
}

impl<S: ServerHandler> CallAgain<S> {
    pub(super) fn new(inner: Arc<S>, catalogue: Catalogue) -> Self {
        Self { inner, catalogue, nobody: OnceCell::new() }
    }

    /// The context of a request that nobody made: whatever is asked of its peer fails at once.
    async fn context(&self, id: String) -> RequestContext<RoleServer> {
        let nobody = self.nobody.get_or_init(async || {
            let gone = serve_directly(Nobody, (tokio::io::empty(), tokio::io::sink()), None);
            let peer = gone.peer().clone();
            // Ends at once, since there is nothing to read; from then on the peer refuses everything.
            let _ = gone.waiting().await;
            peer
        });
        RequestContext::new(NumberOrString::String(id.into()), nobody.await.clone())
    }
}

impl<S: ServerHandler> CallsAgain for CallAgain<S> {
    fn has(&self, tool: String) -> Answer<'_, Has> {
        Box::pin(async move {
            let context = self.context(format!("look up {tool}")).await;
            match self.catalogue.look_up(&*self.inner, &tool, &context).await {
                Some(annotated) if annotated.rerun => Has::Tool,
                Some(_) => Has::Other,
                None => Has::Nothing,
            }
        })
    }

    fn call(&self, manager: JobManager, job: Arc<JobRecord>) -> Answer<'_, Result<(), String>> {
        Box::pin(async move {
            let Some(arguments) = job.spec.arguments.clone() else {
                return Err("its arguments are gone".to_owned());
            };
            let mut context = self.context(format!("rerun {}", job.id)).await;
            let body_token = CancellationToken::new();
            context.ct = body_token.clone();
            // Where calls share a run, the same call shares this one.
            let (server, scope) = (std::any::type_name::<S>(), Scope::of_job(&job));
            let key = CallKey::new(server, &scope, &job.spec.tool, Some(&arguments));
            let request =
                CallToolRequestParams::new(job.spec.tool.clone()).with_arguments(arguments);
            let call = Arc::new(CallRequest {
                scope: job.spec.scope.clone(),
                key: Some(key),
                body_token: Some(body_token),
                reruns: Some(Arc::clone(&job)),
                server: Some(Arc::<S>::clone(&self.inner)),
                ..CallRequest::unknown(Some(manager))
            });
            let answer = Arc::clone(&call).serve(self.inner.call_tool(request, context)).await;
            // What the tool answers with is a ticket, once its work has been taken on.
            if call.became.get() == Some(&job.id) { Ok(()) } else { Err(refusal(&answer)) }
        })
    }
}

/// What was answered in place of beginning the work.
fn refusal(answer: &Result<CallToolResponse, ErrorData>) -> String {
    match answer {
        Ok(CallToolResponse::Complete(result)) => spoken(result),
        Ok(_) => "the tool answered otherwise".to_owned(),
        Err(error) => error.message.to_string(),
    }
}

/// The server of a connection that is closed.
struct Nobody;
impl ServerHandler for Nobody {}
