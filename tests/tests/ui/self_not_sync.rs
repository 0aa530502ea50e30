use std::cell::Cell;
use std::rc::Rc;

use rmcp::{tool, tool_router};
use smart_async::smart_async;

#[derive(Clone)]
struct Counted {
    calls: Cell<u32>,
}

#[tool_router]
impl Counted {
    #[smart_async]
    #[tool]
    async fn simulate(&self) -> String {
        String::new()
    }
}

#[derive(Clone)]
struct Shared {
    plan: Rc<str>,
}

impl Shared {
    #[smart_async(blocking)]
    fn simulate(&self) -> u8 {
        0
    }
}

fn main() {}
