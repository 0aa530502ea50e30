use smart_async::smart_async;

#[smart_async(blocking)]
const fn simulate() -> u8 {
    0
}

fn main() {}
