use smart_async::smart_async;

trait Simulate {
    async fn simulate(&self) -> u8;
}

#[derive(Clone)]
struct Reactor;

impl Simulate for Reactor {
    #[smart_async]
    async fn simulate(&self) -> u8 {
        0
    }
}

fn main() {}
