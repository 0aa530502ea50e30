use smart_async::smart_async;

#[smart_async(restart = "rerun")]
async fn simulate() -> String {
    String::new()
}

fn main() {}
