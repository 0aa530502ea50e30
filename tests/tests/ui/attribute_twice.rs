use smart_async::smart_async;

#[smart_async(default = 20)]
#[smart_async(deadline = 30)]
async fn simulate() -> String {
    String::new()
}

fn main() {}
