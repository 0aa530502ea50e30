//! The demo server: `demo_server stdio`, or `demo_server http 127.0.0.1:PORT [--stateless] [--one-user]`.

use anyhow::{Context, bail};
use smart_async_examples::http::HttpOptions;
use smart_async_examples::server::{serve_http, serve_stdio};

const USAGE: &str =
    "usage: demo_server stdio | demo_server http 127.0.0.1:PORT [--stateless] [--one-user]";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["stdio"] => serve_stdio().await,
        ["http", options @ ..] => serve_http(HttpOptions::parse(options).context(USAGE)?).await,
        _ => bail!(USAGE),
    }
}
