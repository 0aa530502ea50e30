//! The demo server: `demo_server stdio`.

use anyhow::bail;
use smart_async_examples::server::serve_stdio;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments != ["stdio"] {
        bail!("usage: demo_server stdio");
    }
    serve_stdio().await
}
