use smart_async::smart_async;

#[smart_async]
struct Reactor;

fn main() {}
