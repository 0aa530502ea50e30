//! A server over Streamable HTTP where each client sees its own jobs only, and which ends in an orderly way: the program of
//! `docs/guide/http.md`.
//!
//! ```console
//! cargo run -p smart-async-examples --bin http_scopes -- 127.0.0.1:8000
//! ```

use std::future::IntoFuture;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use smart_async::transport::{HttpSessions, HttpTaskSubscriptions};
use smart_async::{ClientIdentity, JobManager, WithJobs, smart_async};

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

/// Returns the user that a token belongs to. A real server checks the token's signature here.
fn user_of(token: &str) -> Option<&'static str> {
    match token {
        "Bearer token-1" => Some("https://issuer.example|user-1"),
        "Bearer token-2" => Some("https://issuer.example|user-2"),
        _ => None,
    }
}

/// Puts an identity on each request.
async fn identify(mut request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|token| token.to_str().ok());
    let Some(user) = token.and_then(user_of) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    request.extensions_mut().insert(ClientIdentity::new(user));
    next.run(request).await
}

/// Completes at Ctrl-C and, on Unix, at SIGTERM.
async fn told_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            told = tokio::signal::ctrl_c() => told,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let jobs = JobManager::builder().end_on_sigterm(false).open().await?;
    let server = Reports.with_jobs(jobs.clone()); // built once; each session gets a clone
    let config = StreamableHttpServerConfig::default();
    let streams = config.cancellation_token.clone();
    let sessions = Arc::new(HttpSessions::default());
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let app = axum::Router::new()
        .route_service("/mcp", HttpTaskSubscriptions::new(mcp))
        .layer(middleware::from_fn(identify));

    let listener = tokio::net::TcpListener::bind(&address).await?;
    writeln!(std::io::stderr(), "listening on http://{}/mcp", listener.local_addr()?)?;
    // Without this the system holds a ticket back for some 40 ms on a connection that is kept.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let ended = streams.clone().cancelled_owned();
    let serving = axum::serve(listener, app).with_graceful_shutdown(ended);
    let serving = tokio::spawn(serving.into_future());
    told_to_end().await?;
    let written = jobs.shutdown().await; // open calls and jobs get 2 seconds
    tokio::time::sleep(Duration::from_millis(500)).await; // the last answers travel
    streams.cancel();
    serving.await??;
    Ok(written?)
}
