use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async(defualt = 20, deadline = 0, on_cancel)]
    #[tool]
    async fn simulate(&mut self, name: &str) -> &str {
        if name.is_empty() { "nothing" } else { "something" }
    }
}

fn main() {}
