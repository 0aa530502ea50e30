use rmcp::{ErrorData, Json, tool, tool_router};
use schemars::JsonSchema;
use serde::Serialize;
use smart_async::smart_async;

#[derive(Clone)]
struct Reactor;

#[derive(JsonSchema)]
struct NotSerialize {
    days: u32,
}

#[derive(Serialize)]
struct NoSchema {
    days: u32,
}

#[derive(Serialize, JsonSchema)]
struct Bare {
    days: u32,
}

#[tool_router]
impl Reactor {
    #[smart_async]
    #[tool]
    async fn not_serialize(&self) -> Result<Json<NotSerialize>, ErrorData> {
        Ok(Json(NotSerialize { days: 1 }))
    }

    #[smart_async]
    #[tool]
    async fn no_schema(&self) -> Json<NoSchema> {
        Json(NoSchema { days: 1 })
    }

    #[smart_async]
    #[tool]
    async fn bare(&self) -> Bare {
        Bare { days: 1 }
    }

    #[smart_async]
    #[tool]
    async fn bare_in_result(&self) -> Result<Bare, ErrorData> {
        Ok(Bare { days: 1 })
    }

    #[smart_async]
    #[tool]
    async fn number(&self) -> u64 {
        1
    }
}

fn main() {}
