use std::error::Error;

use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool]
    async fn boxed(&self) -> Result<String, Box<dyn Error>> {
        Ok(std::fs::read_to_string("rods")?)
    }
}

fn main() {}
