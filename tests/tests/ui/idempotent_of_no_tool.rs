use smart_async::smart_async;

#[smart_async(idempotent = "24h")]
async fn simulate() -> String {
    String::new()
}

fn main() {}
