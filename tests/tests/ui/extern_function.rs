use smart_async::smart_async;

#[smart_async(blocking)]
extern "C" fn simulate() -> u8 {
    0
}

fn main() {}
