use rmcp::{tool, tool_router};
use smart_async::smart_async;

struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool]
    async fn simulate(&self) -> String {
        String::new()
    }
}

fn main() {}
