use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

impl Reactor {
    #[smart_async]
    async fn simulate(&self) -> String {
        if self.is_cold() {
            return 0;
        }
        1
    }

    fn is_cold(&self) -> bool {
        true
    }
}

fn main() {}
