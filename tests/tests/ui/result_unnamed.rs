use smart_async::smart_async;

#[smart_async]
async fn simulate() -> impl std::fmt::Display {
    String::new()
}

fn main() {}
