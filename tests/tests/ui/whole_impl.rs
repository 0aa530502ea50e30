use smart_async::smart_async;

struct Reactor;

#[smart_async]
impl Reactor {
    async fn simulate(&self) -> String {
        String::new()
    }
}

#[smart_async(default = 20)]
trait Simulate {
    async fn simulate(&self) -> String;
}

fn main() {}
