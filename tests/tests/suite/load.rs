//! Admission by load: heavy work that waits in the queue does not begin while the machine has no room for it; and `job_metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use smart_async::manager::Load;
use smart_async::{JobManager, smart_async};
use smart_async_tests::{Fixture, Gate};
use tokio::runtime::Handle;

#[derive(Debug, Clone)]
struct Mill {
    gate: Gate,
}

#[tool_router]
impl Mill {
    #[smart_async(blocking)]
    #[tool]
    fn grind(&self) -> String {
        self.gate.arrive();
        Handle::current().block_on(self.gate.opened());
        "ground".to_owned()
    }

    #[smart_async(max_concurrent = 3)]
    #[tool]
    async fn sift(&self) -> String {
        self.gate.arrive();
        self.gate.opened().await;
        "sifted".to_owned()
    }
}

#[tool_handler(router = Self::tool_router())]
impl ServerHandler for Mill {}

/// A mill on a machine whose memory is used as the test says, in percent.
async fn mill() -> (Fixture<Mill>, Arc<AtomicU64>) {
    let memory = Arc::new(AtomicU64::new(95));
    let source = {
        let memory = Arc::clone(&memory);
        move || {
            let mut load = Load::default();
            load.memory = Some(memory.load(Ordering::SeqCst) as f64 / 100.0);
            load
        }
    };
    let jobs = JobManager::builder().load_source(source).in_memory();
    (Fixture::serve(Mill { gate: Gate::new() }, jobs).await, memory)
}

#[tokio::test]
async fn heavy_jobs_wait_for_less_load_but_for_one_and_the_status_says_why() {
    let (fixture, memory) = mill().await;
    let at_once = json!({"async_mode": true});
    let one = fixture.client.job("grind", at_once.clone()).await;
    fixture.tools.gate.arrived(1).await;
    let other = fixture.client.job("grind", at_once.clone()).await;
    loop {
        let status = fixture.client.status(&other).await;
        assert_eq!(status["status"], "pending");
        if status["waits_for"] == "less load on the machine: memory 95 % used (limit 85 %)" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Neither a call in its budget nor light work is held back.
    let call = fixture.client.send("grind", json!({})).await;
    fixture.client.job("sift", at_once).await;
    fixture.tools.gate.arrived(3).await;
    assert_eq!(fixture.client.status(&other).await["status"], "pending");
    memory.store(50, Ordering::SeqCst);
    fixture.tools.gate.arrived(4).await;
    fixture.tools.gate.open();
    call.await_response().await.unwrap();
    for id in [one, other] {
        assert_eq!(fixture.wait(&id).await["status"], "completed");
    }
}

#[tokio::test]
async fn while_none_runs_the_next_heavy_job_begins_whatever_the_load() {
    let (fixture, _) = mill().await;
    fixture.tools.gate.open();
    for _ in 0..3 {
        let id = fixture.client.job("grind", json!({"async_mode": true})).await;
        assert_eq!(fixture.wait(&id).await["status"], "completed");
    }
}

#[tokio::test]
async fn the_metrics_count_jobs_and_slots_and_say_how_long_runs_take() {
    let (fixture, _) = mill().await;
    let calls = [
        fixture.client.send("sift", json!({})).await,
        fixture.client.send("sift", json!({})).await,
    ];
    let grinding = fixture.client.job("grind", json!({"async_mode": true})).await;
    fixture.client.job("grind", json!({"async_mode": true, "job_label": "next"})).await;
    fixture.tools.gate.arrived(3).await;
    let metrics = loop {
        let metrics = fixture.client.ask("job_metrics", json!({})).await;
        if metrics["jobs"]["running"] == 1 {
            break metrics;
        }
    };
    assert_eq!(metrics["jobs"], json!({"pending": 1, "running": 1}), "open calls are no jobs");
    assert_eq!(metrics["queued"], 1);
    let slots =
        json!({"jobs": {"in_use": 1, "limit": 10}, "tools": {"sift": {"in_use": 2, "limit": 3}}});
    assert_eq!(metrics["slots"], slots);
    assert_eq!(metrics["load"], json!({"memory_percent": 95}));
    assert!(metrics["stored_bytes"].as_u64().unwrap() > 0);
    fixture.tools.gate.open();
    for call in calls {
        call.await_response().await.unwrap();
    }
    fixture.wait(&grinding).await;
    let metrics = fixture.client.ask("job_metrics", json!({})).await;
    let times = &metrics["run_seconds"]["grind"];
    assert!(
        times["runs"].as_u64().unwrap() >= 1
            && times["mean"].is_number()
            && times["p95"].is_number()
    );
    let refused = fixture.client.complaint("job_metrics", json!({"tool": "sift"})).await;
    assert!(refused.contains("unknown argument"), "{refused}");
}
