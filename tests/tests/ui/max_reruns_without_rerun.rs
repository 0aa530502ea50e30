use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async(max_reruns = 3)]
    #[tool]
    async fn simulate(&self) -> String {
        String::new()
    }
}

fn main() {}
