use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool(local)]
    async fn simulate(&self) -> String {
        let kept = std::rc::Rc::new(());
        std::future::ready(()).await;
        drop(kept);
        String::new()
    }
}

fn main() {}
