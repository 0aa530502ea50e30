use smart_async::smart_async;

trait Simulate {
    #[smart_async]
    async fn simulate(&self) -> String {
        String::new()
    }
}

fn main() {}
