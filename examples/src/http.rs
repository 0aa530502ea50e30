//! Streamable HTTP: serves any server with jobs at the endpoint `/mcp` until a signal ends the process. The SDK's own HTTP
//! service takes a [`JobServer`] as it is.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::serve::ListenerExt;
use axum::{Extension, Router};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use smart_async::transport::{HttpSessions, HttpTaskSubscriptions};
use smart_async::{ClientIdentity, JobServer};
use tokio::net::TcpListener;

/// How long the last answers may travel before open streams are ended.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The address and the mode of an HTTP server.
#[derive(Debug, Clone, Copy)]
pub struct HttpOptions {
    /// The address; port 0 takes one that is free.
    pub address: SocketAddr,
    /// Serve clients of the `initialize` era without sessions, each request on its own. Clients of 2026-07-28 always are.
    pub stateless: bool,
    /// Treat all clients as one person, so that each of them sees all jobs: for a machine with one user.
    pub one_user: bool,
}

impl HttpOptions {
    /// Reads `ADDRESS [--stateless] [--one-user]`.
    ///
    /// # Errors
    /// If the words are others, or the first is no address.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let [address, flags @ ..] = words else {
            bail!("expected an address such as 127.0.0.1:8000");
        };
        let (mut stateless, mut one_user) = (false, false);
        for flag in flags {
            match *flag {
                "--stateless" => stateless = true,
                "--one-user" => one_user = true,
                other => bail!("{other}: expected --stateless or --one-user after the address"),
            }
        }
        let address = address.parse().with_context(|| {
            format!("{address} is no address; say, for example, 127.0.0.1:8000")
        })?;
        Ok(Self { address, stateless, one_user })
    }
}

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    options: HttpOptions,
}

impl HttpServer {
    /// Binds the port.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn bind(options: HttpOptions) -> Result<Self> {
        let listener = TcpListener::bind(options.address)
            .await
            .with_context(|| format!("failed to listen on {}", options.address))?;
        Ok(Self { listener, options })
    }

    /// Returns the URL of the endpoint.
    ///
    /// # Errors
    /// If the system does not tell the port.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}/mcp", self.listener.local_addr()?))
    }

    /// Serves until `told_to_end` completes. Then the manager takes no new work, gives jobs and open calls its drain grace,
    /// and writes down the rest; callers get an error meanwhile that says that the server ends.
    ///
    /// # Errors
    /// If the jobs could not be written down, or the socket fails.
    pub async fn serve<S: ServerHandler>(
        self,
        server: JobServer<S>,
        told_to_end: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let jobs = server.manager().clone();
        let config =
            StreamableHttpServerConfig::default().with_legacy_session_mode(!self.options.stateless);
        let streams = config.cancellation_token.clone();
        // One server and one manager for all clients: the SDK gets a clone for each session or request.
        let endpoint = StreamableHttpService::new(
            move || Ok(server.clone()),
            Arc::new(HttpSessions::default()),
            config,
        );
        let mut router = Router::new().route_service("/mcp", HttpTaskSubscriptions::new(endpoint));
        if self.options.one_user {
            // A server of several people would check the token of each request here (`bin/http_scopes.rs`).
            router = router.layer(Extension(ClientIdentity::new("the one user")));
        }
        let (written, how) = tokio::sync::oneshot::channel();
        let ended = async move {
            told_to_end.await;
            let _ = written.send(jobs.shutdown().await);
            // Streams that wait for notifications would stay open for ever.
            tokio::spawn(async move {
                tokio::time::sleep(LAST_ANSWERS).await;
                streams.cancel();
            });
        };
        // A ticket is a small packet, which the system would hold back for some 40 ms on a connection that is kept.
        let listener = self.listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        axum::serve(listener, router).with_graceful_shutdown(ended).await?;
        how.await.context("the server ended without being told to")??;
        Ok(())
    }
}

/// Serves until SIGTERM or Ctrl-C, and prints the URL to stderr. A second signal ends the process at once.
///
/// The manager must not end the process by itself:
/// [`end_on_sigterm(false)`](smart_async::manager::JobManagerBuilder::end_on_sigterm).
///
/// # Errors
/// As [`HttpServer::bind`] and [`HttpServer::serve`].
pub async fn serve_until_told<S: ServerHandler>(
    server: JobServer<S>,
    options: HttpOptions,
) -> Result<()> {
    let mut first = EndSignals::listen()?;
    let mut second = EndSignals::listen()?;
    let bound = HttpServer::bind(options).await?;
    writeln!(std::io::stderr(), "listening on {}", bound.url()?)?;
    let serving = bound.serve(server, async move { first.next().await });
    let told_twice = async {
        second.next().await;
        second.next().await;
    };
    tokio::select! {
        served = serving => served,
        () = told_twice => bail!("told twice to end, so ended without writing everything down"),
    }
}

/// The signals by which a person or a service manager ends a server.
struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl EndSignals {
    #[cfg(unix)]
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
