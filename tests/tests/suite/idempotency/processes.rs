//! Keys across real processes over one folder, and how many of them are kept.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use smart_async_tests::{Era, ServerProcess};
use tempfile::TempDir;

use super::{key, with};

/// A server in a process of its own, with these variables, over the folder `jobs` in this one.
fn process(folder: &Path, variables: &[(&str, &str)]) -> ServerProcess {
    let mut server = Command::new(env!("CARGO_BIN_EXE_folder_server"));
    server.arg(folder.join("jobs")).envs(variables.iter().copied());
    ServerProcess::start(&mut server, Era::Initialize)
}

fn payments(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("paid")).unwrap_or_default().lines().count()
}

#[test]
fn of_two_real_processes_at_once_one_runs_a_key_and_a_killed_one_takes_no_answer_along() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let answers = std::thread::scope(|scope| {
        let calls = [(), ()].map(|()| {
            scope.spawn(|| {
                let mut server = process(folder, &[]);
                let answers: Vec<_> =
                    (0..10).map(|round| server.call("pay", key(&format!("key {round}")))).collect();
                server.kill();
                answers
            })
        });
        calls.map(|call| call.join().unwrap())
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(payments(folder), 10);
    let mut next = process(folder, &[]);
    for (round, answer) in answers[0].iter().enumerate() {
        assert_eq!(next.call("pay", key(&format!("key {round}"))), *answer);
    }
    assert_eq!(payments(folder), 10);
}

#[test]
fn beyond_the_limit_new_keys_are_refused_and_old_ones_stay() {
    for limit in [("JOB_MAX_KEYS", "2"), ("JOB_MAX_KEY_BYTES", "1100")] {
        let folder = TempDir::new().unwrap();
        let mut server = process(folder.path(), &[limit]);
        let answers = ["a", "b"].map(|name| server.call("pay", key(name)));
        for at_once in [json!({}), json!({"async_mode": true})] {
            let refused = server.call("pay", with("c", at_once));
            let said = refused["content"][0]["text"].as_str().unwrap();
            assert!(said.contains("keeps no more idempotency keys"), "{limit:?} {said}");
            assert!(said.contains("nothing was run"), "{said}");
        }
        for (name, answer) in ["a", "b"].into_iter().zip(answers) {
            assert_eq!(server.call("pay", key(name)), answer, "{limit:?}");
        }
        server.call("pay", json!({}));
        assert_eq!(payments(folder.path()), 3, "a call without a key goes through");
    }
}
