use smart_async::smart_async;

struct Report;

#[smart_async]
async fn simulate() -> Report {
    Report
}

fn main() {}
