use std::error::Error;

use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[derive(Debug)]
enum Own {
    Meltdown,
}

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool]
    async fn own(&self) -> Result<String, Own> {
        Err(Own::Meltdown)
    }

    #[smart_async]
    #[tool]
    async fn io(&self) -> std::io::Result<String> {
        std::fs::read_to_string("rods")
    }

    #[smart_async]
    #[tool]
    async fn any(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string("rods")?)
    }

    #[smart_async(blocking)]
    #[tool]
    fn boxed(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(std::fs::read_to_string("rods")?)
    }
}

fn main() {}
