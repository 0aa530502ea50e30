//! A server over Streamable HTTP where each client sees its own jobs only.
//!
//! ```console
//! cargo run -p smart-async-examples --bin http_scopes -- 127.0.0.1:8000
//! ```
//!
//! A middleware reads the bearer token of each request and puts a [`ClientIdentity`] on it. From then on that identity's
//! jobs are there for it, in every tool, list and notification, and for no other client.

use std::future::IntoFuture;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use smart_async::transport::{HttpSessions, HttpTaskSubscriptions};
use smart_async::{ClientIdentity, JobManager, WithJobs, smart_async};

/// The server.
#[derive(Debug, Clone)]
struct Reports;

#[tool_router]
impl Reports {
    /// Write a report, always as a job.
    #[smart_async(always_job)]
    #[tool]
    async fn write_report(&self) -> String {
        "the report".to_owned()
    }
}

#[tool_handler(name = "reports")]
impl ServerHandler for Reports {}

/// Returns the user that a token belongs to. A real server checks the token's signature here, and joins its issuer and
/// subject: an identity must belong to one client for ever.
fn user_of(token: &str) -> Option<&'static str> {
    match token {
        "Bearer token-1" => Some("https://issuer.example|user-1"),
        "Bearer token-2" => Some("https://issuer.example|user-2"),
        _ => None,
    }
}

async fn identify(mut request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|token| token.to_str().ok());
    let Some(user) = token.and_then(user_of) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    request.extensions_mut().insert(ClientIdentity::new(user));
    next.run(request).await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    // An HTTP server closes its connections itself, so the manager must not end the process on SIGTERM.
    let jobs = JobManager::builder().end_on_sigterm(false).open().await?;
    let server = Reports.with_jobs(jobs.clone()); // built once; each session gets a clone
    let config = StreamableHttpServerConfig::default();
    let streams = config.cancellation_token.clone();
    let sessions = Arc::new(HttpSessions::default());
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let app = Router::new()
        .route_service("/mcp", HttpTaskSubscriptions::new(mcp))
        .layer(middleware::from_fn(identify));

    let listener = tokio::net::TcpListener::bind(&address)
        .await
        .with_context(|| format!("failed to listen on {address}"))?;
    writeln!(std::io::stderr(), "listening on http://{}/mcp", listener.local_addr()?)?;
    // A ticket is a small packet, which the system would hold back for some 40 ms on a connection that is kept.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let ended = streams.clone().cancelled_owned();
    let serving =
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(ended).into_future());
    // `examples/src/http.rs` does the same on SIGTERM, and ends at once on a second signal.
    tokio::signal::ctrl_c().await?;
    let written = jobs.shutdown().await; // open calls and jobs get 2 seconds, and the rest is written down
    tokio::time::sleep(Duration::from_millis(500)).await; // the last answers travel
    streams.cancel();
    serving.await??;
    Ok(written?)
}
