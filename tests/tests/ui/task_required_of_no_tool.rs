use smart_async::smart_async;

#[smart_async(task_required)]
async fn simulate() -> String {
    String::new()
}

fn main() {}
