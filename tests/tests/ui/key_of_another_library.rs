use smart_async::smart_async;

#[smart_async(timeout = 30)]
async fn timeout() {}

#[smart_async(budget = 30)]
async fn budget() {}

#[smart_async(job_label = "x", description = "y")]
async fn label() {}

#[smart_async(timeout_evn = "SIMULATE_TIMEOUT", Always-Job)]
async fn misspelt() {}

fn main() {}
