use smart_async::smart_async;

struct Broken;

#[smart_async]
async fn simulate() -> Result<u8, Broken> {
    Err(Broken)
}

fn main() {}
