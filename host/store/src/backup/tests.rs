//! What a backup holds, what a restore makes of what waited, and that nothing is lost on the way.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Cause, DeliveryState, FlowState, NewDelivery, NewFlowRun, RunFilter, RunKind, SqliteStore, Store,
    suite::{at, new_attempt, new_run},
};
use portcullis_clock::{SeededClock, SeededRandom};
use std::{sync::Arc, time::Duration};

async fn lock(data: &Path) -> Arc<DataLock> {
    Arc::new(DataLock::acquire(data, Duration::ZERO, &SeededClock::default()).await.unwrap())
}

async fn open(data: &Path) -> SqliteStore {
    let (clock, random) = (Arc::new(SeededClock::default()), Arc::new(SeededRandom::new(1)));
    SqliteStore::open(lock(data).await, clock, random).unwrap()
}

fn flow_run(id: &str) -> NewFlowRun {
    NewFlowRun {
        run_id: id.to_owned(),
        flow: "orders".to_owned(),
        steps: "[1]".into(),
        cause: Cause::Manual,
        about: "null".to_owned(),
        order_key: None,
        correlation_id: "corr".to_owned(),
        input: "1".to_owned(),
        at: at(1),
    }
}

fn delivery(id: &str) -> NewDelivery {
    NewDelivery {
        delivery_id: id.to_owned(),
        route: "things".to_owned(),
        connection: "probe".to_owned(),
        received_at: at(1),
        peer: "127.0.0.1".to_owned(),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: b"body".to_vec(),
    }
}

#[tokio::test]
async fn what_waited_is_dead_after_a_restore_and_what_came_since_is_kept_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let store = open(&data).await;
    store.begin_flow_run(flow_run("run_waits")).await.unwrap();
    store.begin_flow_run(flow_run("run_runs")).await.unwrap();
    store.take_flow_run("run_runs", at(5)).await.unwrap();
    let room = crate::Backlog { deliveries_max: 10, bytes_max: 10_000 };
    store.accept_delivery(delivery("dlv_waits"), room).await.unwrap();
    store.set_schedule("orders", "cron", at(9)).await.unwrap();
    store.begin_run(new_run("run_open", RunKind::Call), new_attempt("run_open", "0", 1)).await.unwrap();
    // Beside the writer, which goes on.
    let found = backup(&data, &copy).unwrap();
    assert!(found.iter().all(|checked| checked.faults.is_empty()), "{found:?}");
    assert_eq!((found[0].name, found[0].bytes.is_some()), ("state.db", true));
    store.begin_flow_run(flow_run("run_later")).await.unwrap();
    drop(store);
    // Never over something.
    assert!(matches!(backup(&data, &copy), Err(StoreError::File { .. })));

    let held = lock(&data).await;
    let restored = restore(&held, &copy, at(100)).unwrap();
    drop(held);
    assert_eq!((restored.deliveries, restored.flow_runs), (1, 2));
    let store = open(&data).await;
    for id in ["run_waits", "run_runs"] {
        assert_eq!(store.flow_run(id).await.unwrap().unwrap().state, FlowState::Dead);
        let row = store.run(id).await.unwrap().unwrap().summary;
        assert_eq!((row.outcome, row.reason.as_deref()), (Some(Outcome::Unknown), Some("restored")));
    }
    assert_eq!(store.flow_run("run_later").await.unwrap(), None);
    let delivery = store.delivery("dlv_waits").await.unwrap().unwrap().summary;
    assert_eq!((delivery.state, delivery.reason.as_deref()), (DeliveryState::Dead, Some("restored")));
    assert_eq!(store.schedule("orders").await.unwrap(), None, "it begins anew");
    // A person's word has it done: the counts of what waits are right.
    assert!(store.decide_delivery("dlv_waits", true, at(200)).await.unwrap());
    assert!(store.decide_flow_run("run_waits", Some("[1]"), at(200)).await.unwrap());
    let closed = store.close_interrupted(at(300)).await.unwrap();
    assert_eq!(closed.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["run_open"]);
    drop(store);
    // What there was before lies whole beside it.
    let before = restored.before.unwrap();
    assert!(check(&before).unwrap().iter().all(|checked| checked.faults.is_empty()));
    let reader = crate::StateReader::open(&before).unwrap().unwrap();
    assert!(reader.run("run_later").unwrap().is_some());
    assert_eq!(reader.runs(&RunFilter::default()).unwrap().len(), 4);
}

#[tokio::test]
async fn a_damaged_backup_is_put_in_place_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let store = open(&data).await;
    for number in 0..200 {
        store.begin_flow_run(flow_run(&format!("run_{number}"))).await.unwrap();
    }
    backup(&data, &copy).unwrap();
    drop(store);
    let path = copy.join("state.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xaa);
    std::fs::write(&path, bytes).unwrap();
    let found = check(&copy).unwrap();
    assert!(!found[0].faults.is_empty(), "{found:?}");
    let held = lock(&data).await;
    let refused = restore(&held, &copy, at(100));
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    assert!(restore(&held, &folder.path().join("nowhere"), at(100)).is_err());
    drop(held);
    let store = open(&data).await;
    assert!(store.flow_run("run_199").await.unwrap().is_some(), "nothing was changed");
}

#[tokio::test]
async fn what_is_damaged_is_replaced_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let store = open(&data).await;
    store.begin_flow_run(flow_run("run_1")).await.unwrap();
    backup(&data, &copy).unwrap();
    drop(store);
    std::fs::write(data.join("state.db"), b"no database at all, and longer than a header of one hundred bytes has to be in order to be looked at").unwrap();
    assert!(!check(&data).unwrap()[0].faults.is_empty());
    let held = lock(&data).await;
    let restored = restore(&held, &copy, at(100)).unwrap();
    drop(held);
    assert!(restored.before.unwrap().join("state.db").exists());
    assert!(open(&data).await.flow_run("run_1").await.unwrap().is_some());
}
