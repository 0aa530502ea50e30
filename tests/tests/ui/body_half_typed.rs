use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

impl Reactor {
    #[smart_async]
    async fn simulate(&self) -> u8 {
        let days = self.
    }
}

fn main() {}
