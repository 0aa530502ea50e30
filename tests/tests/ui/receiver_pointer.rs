use smart_async::smart_async;
use std::sync::Arc;
#[derive(Clone)]
struct Reactor;

impl Reactor {
    #[smart_async]
    async fn simulate(self: Arc<Self>) -> String {
        String::new()
    }
}

fn main() {}
