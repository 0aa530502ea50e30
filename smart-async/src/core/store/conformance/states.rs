//! Rules about states: which of two completions stands.

use std::sync::Arc;

use futures_util::join;
use serde_json::{Value, json};

use super::helpers::{at, completed, running};
use crate::core::job::{
    Change, HydratedState, JobEvent, JobId, JobOutput, Prune, StateName, Timestamp,
};
use crate::core::store::JobStore;

fn latest(field: &str, id: JobId, second: i64, value: impl Into<Value>) -> HydratedState {
    let field = StateName::new(field).unwrap();
    HydratedState::new(field, id, "reactor", "simulate", at(second), value.into())
}

/// The value of the state `latest`.
async fn value(store: &dyn JobStore) -> Option<Value> {
    let state = store.state(StateName::new("latest").unwrap()).await.unwrap();
    state.map(|state| state.value.clone())
}

/// A state that nothing was put into has no value, also beside others that have one.
pub async fn a_state_that_never_was_put_has_no_value(store: &dyn JobStore) {
    assert_eq!(value(store).await, None);
    store.put_state(latest("latest-2", JobId::new(), 0, 1)).await.unwrap();
    store.put_state(latest("lates", JobId::new(), 0, 1)).await.unwrap();
    assert_eq!(value(store).await, None);
}

/// Whatever a state holds is read back the same: texts of any kind, numbers, and `null`, which is a value.
pub async fn everything_in_a_state_is_kept(store: &dyn JobStore) {
    let text = "\u{0}\n\r\t\"\\ {}[] \u{2028}\u{feff} ünïcödé 🦀 </script>";
    let longest = "x".repeat(64);
    for (second, value) in [
        json!({"text": text, text: [u64::MAX, i64::MIN, 0.1, -0.0, 1e300], "none": null}),
        json!(null),
        json!(text),
        json!(""),
        json!(false),
    ]
    .into_iter()
    .enumerate()
    {
        for field in ["latest", &longest] {
            let second = i64::try_from(second).unwrap();
            let mut given = latest(field, JobId::new(), second, value.clone());
            given.server = text.to_owned();
            given.tool = String::new();
            assert!(store.put_state(given.clone()).await.unwrap());
            let found = store.state(given.field.clone()).await.unwrap().unwrap();
            assert!(*found == given, "{:?}", found.value);
        }
    }
}

/// A state that is asked for again, and has not changed, is the same `Arc`: what was made of it need not be made anew.
pub async fn a_state_that_has_not_changed_is_the_same_one(store: &dyn JobStore) {
    let name = StateName::new("latest").unwrap();
    store.put_state(latest("latest", JobId::new(), 1, 1)).await.unwrap();
    let first = store.state(name.clone()).await.unwrap().unwrap();
    store.put_state(latest("latest", JobId::new(), 0, 0)).await.unwrap();
    store.put_state(latest("another", JobId::new(), 2, 2)).await.unwrap();
    let again = store.state(name.clone()).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    store.put_state(latest("latest", JobId::new(), 2, 1)).await.unwrap();
    let changed = store.state(name).await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first, &changed), "another completion, though of the same value");
}

/// A completion that is put again changes nothing, also after another one has taken its place.
pub async fn a_completion_is_put_once(store: &dyn JobStore) {
    let first = latest("latest", JobId::new(), 0, "first");
    let second = latest("latest", JobId::new(), 1, "second");
    assert!(store.put_state(first.clone()).await.unwrap());
    assert!(!store.put_state(first.clone()).await.unwrap());
    assert!(store.put_state(second.clone()).await.unwrap());
    assert!(!store.put_state(first).await.unwrap());
    assert!(!store.put_state(second).await.unwrap());
    assert_eq!(value(store).await, Some(json!("second")));
}

/// A completion never takes the place of one that came after it, however late it is put.
pub async fn the_later_completion_stands_in_either_order(store: &dyn JobStore) {
    for (second, is_put) in [(5, true), (3, false), (7, true), (6, false), (5, false), (8, true)] {
        let put = store.put_state(latest("latest", JobId::new(), second, second)).await;
        assert_eq!(put.unwrap(), is_put, "second {second}");
    }
    assert_eq!(value(store).await, Some(json!(8)));
}

/// Of completions of the same moment that of the greater id stands, in either order.
pub async fn of_completions_of_one_moment_the_greater_id_stands(store: &dyn JobStore) {
    let (one, two) = (JobId::new(), JobId::new());
    let (less, greater) = (one.min(two), one.max(two));
    for (field, order) in [("latest", [less, greater]), ("other", [greater, less])] {
        for id in order {
            store.put_state(latest(field, id, 0, id.to_string())).await.unwrap();
        }
        let found = store.state(StateName::new(field).unwrap()).await.unwrap().unwrap();
        assert_eq!(found.job_id, greater);
    }
}

/// A completion that lies in the future by the store's clock was written while a clock was wrong: one that does not lie
/// there replaces it, and it never replaces one that does not.
pub async fn a_completion_from_the_future_gives_way(store: &dyn JobStore) {
    let at_year = |year: i64, value: &str| {
        let mut state = latest("latest", JobId::new(), 0, value);
        state.completed_at = Timestamp::UNIX_EPOCH + chrono::Duration::days(365 * (year - 1970));
        state
    };
    let future = at_year(2900, "future");
    assert!(store.put_state(future.clone()).await.unwrap(), "better than nothing");
    assert!(!store.put_state(future.clone()).await.unwrap(), "but only once");
    assert!(store.put_state(at_year(2000, "past")).await.unwrap());
    assert!(!store.put_state(future).await.unwrap());
    assert!(store.put_state(at_year(2001, "later")).await.unwrap());
    assert_eq!(value(store).await, Some(json!("later")));
}

/// An end that carries a state.
fn completion(id: JobId, second: i64, value: impl Into<Value>) -> Change {
    let value = value.into();
    let end = JobEvent::Complete(JobOutput::new(value.clone()));
    let mut change = Change::new(end, at(second));
    change.state = Some(latest("latest", id, second, value).into());
    change
}

/// Whether the result is small or large, the value of the state is there when the end is acknowledged.
pub async fn an_end_fills_its_state_with_the_same_write(store: &dyn JobStore) {
    for (second, result) in [(1, "small".to_owned()), (2, "large".repeat(5000))] {
        let id = running(store, 0).await;
        store.update(id, completion(id, second, result.clone())).await.unwrap();
        assert_eq!(value(store).await, Some(json!(result)));
    }
}

/// A state changes with the end that carries it, and with no other.
pub async fn an_end_that_is_refused_fills_no_state(store: &dyn JobStore) {
    let id = completed(store, 0).await;
    assert!(store.update(id, completion(id, 5, "late")).await.is_err());
    assert_eq!(value(store).await, None);
}

/// An end stands where its state has a later value already, and leaves that as it is.
pub async fn an_end_fills_no_state_that_has_a_later_value(store: &dyn JobStore) {
    store.put_state(latest("latest", JobId::new(), 7, "later")).await.unwrap();
    let id = running(store, 0).await;
    let ended = store.update(id, completion(id, 5, "earlier")).await.unwrap();
    assert!(ended.status().is_terminal());
    assert_eq!(value(store).await, Some(json!("later")));
}

/// Of two completions that are put at the same time, the later one stands.
pub async fn of_two_completions_at_once_the_later_one_stands(store: &dyn JobStore) {
    for round in 0..10 {
        let one = latest("latest", JobId::new(), round * 2, round * 2);
        let two = latest("latest", JobId::new(), round * 2 + 1, round * 2 + 1);
        let (one, two) = join!(store.put_state(one), store.put_state(two));
        assert!(two.unwrap() && one.is_ok());
        assert_eq!(value(store).await, Some(json!(round * 2 + 1)));
    }
}

/// A state belongs to no job: it stays when the job is removed that it comes from.
pub async fn a_state_stays_when_its_job_is_removed(store: &dyn JobStore) {
    let id = completed(store, 0).await;
    store.put_state(latest("latest", id, 1, "kept")).await.unwrap();
    store.prune(Prune::default()).await.unwrap();
    assert!(store.get(id).await.unwrap().is_none());
    assert_eq!(value(store).await, Some(json!("kept")));
}

/// Every state is named once, with the value that stands.
pub async fn every_state_is_named_with_its_newest_completion(store: &dyn JobStore) {
    assert!(store.states().await.unwrap().is_empty());
    let state = |field: &str, second| {
        let field = StateName::new(field).unwrap();
        HydratedState::new(field, JobId::new(), "reactor", "simulate", at(second), second.into())
    };
    // Long ago, so that none lies in the future of the store's clock.
    for (field, second) in [("one", -900_000_000), ("two", -800_000_000), ("one", -700_000_000)] {
        assert!(store.put_state(state(field, second)).await.unwrap());
    }
    let mut states: Vec<_> = store.states().await.unwrap();
    states.sort_by(|one, other| one.field.cmp(&other.field));
    let values: Vec<_> = states.iter().map(|state| (state.field.as_str(), &state.value)).collect();
    assert_eq!(values, [("one", &(-700_000_000).into()), ("two", &(-800_000_000).into())]);
}
