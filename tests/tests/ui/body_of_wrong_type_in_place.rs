use smart_async::smart_async;

#[smart_async]
async fn simulate(cold: bool) -> String {
    if cold {
        return 0;
    }
    1
}

fn main() {}
