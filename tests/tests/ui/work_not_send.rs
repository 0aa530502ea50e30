use smart_async::smart_async;

#[smart_async]
async fn simulate() -> u8 {
    let kept = std::rc::Rc::new(0);
    std::future::ready(()).await;
    *kept
}

fn main() {}
