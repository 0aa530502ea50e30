use smart_async::smart_async;

#[smart_async(default = "20")]
async fn simulate() {}

fn main() {}
