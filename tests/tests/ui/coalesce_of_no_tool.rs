use smart_async::smart_async;

#[smart_async(coalesce)]
async fn simulate() -> String {
    String::new()
}

fn main() {}
