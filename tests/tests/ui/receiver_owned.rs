use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

impl Reactor {
    #[smart_async]
    async fn simulate(self) -> String {
        String::new()
    }
}

fn main() {}
