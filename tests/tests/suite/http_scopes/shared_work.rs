//! Who shares work with whom over Streamable HTTP: only callers that can be told to be the same client.

use super::*;

/// Callers without identity and session: with nothing, and with headers that are the same for both calls of a test.
fn indistinct(house: &House) -> Vec<Caller> {
    let with = |header, value| house.caller(None).with(header, value);
    vec![
        house.caller(None),
        house.without_session(),
        with("authorization", "Bearer 1"),
        with("cookie", "user=1"),
        with("x-api-key", "1"),
        house.without_session().with("authorization", "Bearer 1"),
    ]
}

#[tokio::test]
async fn a_shared_run_is_shared_by_one_client_only() {
    let house = House::in_memory();
    let mut one = house.session(None).await;
    let mut others =
        [house.caller(ALICE), house.caller(BOB), one.clone(), house.session(None).await];
    let mut ids = Vec::new();
    for caller in &mut others {
        let id = caller.job("make_for_all", chair()).await;
        assert!(!ids.contains(&id), "a run of its own");
        assert_eq!(caller.job("make_for_all", chair()).await, id);
        ids.push(id);
    }
    assert_eq!(house.session(ALICE).await.job("make_for_all", chair()).await, ids[0]);
    assert_eq!(one.job("make_for_all", chair()).await, ids[2]);
    for mut caller in indistinct(&house) {
        for _ in 0..2 {
            let id = caller.job("make_for_all", chair()).await;
            assert!(!ids.contains(&id), "it cannot be told from another one");
            ids.push(id);
        }
    }
    let client = Client::connect(house.shop.clone().with_jobs(house.jobs.clone())).await;
    assert!(!ids.contains(&client.job("make_for_all", chair()).await));
}

#[tokio::test]
async fn a_caller_that_cannot_be_told_from_another_one_finds_no_work_of_its_own_either() {
    let house = House::in_memory();
    let mut kept = Vec::new();
    for (arrived, caller) in (1..).zip(indistinct(&house)) {
        let mut changes = house.jobs.subscribe();
        {
            let mut caller = caller.clone();
            let call = json!({"name": "make", "arguments": chair()});
            let mut left = Box::pin(caller.ask("tools/call", call));
            tokio::select! {
                answer = &mut left => panic!("{answer}"),
                () = house.shop.gate.arrived(2 * arrived - 1) => {}
            }
        }
        kept.push(changes.recv().await.unwrap().id.to_string());
        let call = json!({"what": "a chair", "async_mode": true});
        let mut again = caller.clone();
        assert!(!kept.contains(&again.job("make", call).await), "{kept:?}");
        house.shop.gate.arrived(2 * arrived).await;
    }
}

#[tokio::test]
async fn who_comes_back_finds_the_work_and_no_other_does() {
    let house = House::in_memory();
    let mut changes = house.jobs.subscribe();
    let call = json!({"name": "make", "arguments": chair()});
    let mut alice = house.caller(ALICE);
    {
        let mut left = Box::pin(alice.ask("tools/call", call.clone()));
        tokio::select! {
            answer = &mut left => panic!("{answer}"),
            () = house.shop.gate.arrived(1) => {}
        }
    }
    // The work is a job once its caller is known to be gone.
    let kept = changes.recv().await.unwrap().id.to_string();
    // Who asks for a job at once is told of the work that runs already, or begins another.
    let call = json!({"what": "a chair", "async_mode": true});
    for mut stranger in strangers(&house).await {
        assert_ne!(stranger.job("make", call.clone()).await, kept);
    }
    assert_eq!(house.session(ALICE).await.job("make", call).await, kept);
}

#[tokio::test]
async fn work_that_is_begun_within_work_belongs_to_the_same_client() {
    let house = House::in_memory();
    for tool in ["order_delivery", "order_pickup", "order_polish"] {
        for mut caller in [house.caller(ALICE), house.session(None).await] {
            let answer = caller.call(tool, json!({})).await;
            let id = answer["content"][0]["text"].as_str().unwrap().to_owned();
            assert!(caller.listed().await.contains(&id), "{answer}");
        }
    }
    assert_eq!(house.caller(BOB).listed().await, [""; 0]);
}
