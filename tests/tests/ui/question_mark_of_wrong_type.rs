use smart_async::smart_async;

#[smart_async]
async fn simulate(days: String) -> Result<u8, std::fmt::Error> {
    let days: u8 = days.parse()?;
    Ok(days)
}

fn main() {}
