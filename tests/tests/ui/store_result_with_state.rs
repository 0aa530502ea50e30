use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async(store_result = false, state = "latest_report")]
    #[tool]
    async fn simulate(&self) -> String {
        String::new()
    }
}

fn main() {}
