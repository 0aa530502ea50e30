//! Processes that use one folder are killed at random moments, again and again, and after each time it holds: what was
//! acknowledged is there, a job has one end, nothing that was removed is back, and `jobs.json` is whole.
//!
//! `SMART_ASYNC_CRASH_ROUNDS` says how often each test kills (10; 200 in a long run), `SMART_ASYNC_CRASH_SEED` the seed of all choices.

mod harness;
mod story;
mod worker;

use self::harness::Harness;

fn rounds() -> usize {
    smart_async_tests::figure("SMART_ASYNC_CRASH_ROUNDS", 10, 200) as usize
}

/// Kills one of so many workers a round, and has another take its place.
async fn kill_one_of(workers: usize) {
    let mut harness = Harness::new();
    for _ in 0..rounds() {
        while harness.workers.len() < workers {
            harness.start();
        }
        harness.work();
        harness.kill(1);
        harness.check().await;
    }
    harness.end().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_kill() {
    kill_one_of(1).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_death_of_either_of_two_processes() {
    kill_one_of(2).await;
}

/// Some die at the same moment, and the others account for each of their jobs once.
#[tokio::test]
async fn four_processes_lose_nothing_and_account_for_those_that_die() {
    let mut harness = Harness::new();
    for round in 0..rounds().div_ceil(2) {
        while harness.workers.len() < 4 {
            harness.start();
        }
        harness.work();
        harness.kill(1 + round % 3);
        harness.wait_until_the_dead_are_accounted_for();
        harness.check().await;
    }
    harness.end().await;
}
