#![deny(dead_code)]

use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool]
    async fn simulate(&self) -> String {
        String::new()
    }

    #[smart_async]
    async fn forgotten(&self) -> String {
        String::new()
    }

    #[smart_async(blocking)]
    fn forgotten_too(&self) -> String {
        String::new()
    }

    #[smart_async]
    async fn without_self() -> String {
        String::new()
    }
}

#[smart_async]
async fn alone() -> String {
    String::new()
}

fn main() {
    let _ = (Reactor, Reactor::tool_router());
}
