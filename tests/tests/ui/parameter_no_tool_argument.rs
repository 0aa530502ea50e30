use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool]
    async fn simulate(&self, days: u32) -> String {
        days.to_string()
    }
}

fn main() {}
