use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[tool]
    #[smart_async]
    async fn simulate(&self) -> String {
        String::new()
    }
}

fn main() {}
