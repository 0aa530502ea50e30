use smart_async::smart_async;

struct Report<'a>(&'a str);

#[smart_async]
async fn simulate<'a>() -> Report<'a> {
    Report("")
}

fn main() {}
