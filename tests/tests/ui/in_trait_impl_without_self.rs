use smart_async::smart_async;

trait Simulate {
    async fn simulate() -> u8;
}

struct Reactor;

impl Simulate for Reactor {
    #[smart_async]
    async fn simulate() -> u8 {
        0
    }
}

fn main() {}
