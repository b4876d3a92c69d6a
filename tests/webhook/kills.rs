//! Promise: whatever was acknowledged is there after a kill at any moment, once, and is handed over without a person.

use crate::served::{Serving, deliver, drained, project};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const KILLS: u64 = 12;
const SENDERS: u64 = 8;

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let project = project("", "");
    let to = Arc::new(Mutex::new(None));
    let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (to, stop, number) = (Arc::clone(&to), Arc::clone(&stop), Arc::clone(&number));
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let Some(address) = *to.lock().unwrap() else {
                        std::thread::park_timeout(Duration::from_millis(5));
                        continue;
                    };
                    let body = format!("delivery {}", number.fetch_add(1, Ordering::SeqCst));
                    if deliver(address, body.as_bytes()) == Some(200) {
                        acknowledged.push(body);
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut seed = 0x5eed_u64;
    for _ in 0..KILLS {
        let serving = Serving::start(&project);
        *to.lock().unwrap() = Some(serving.ingress);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros(50_000 + (seed >> 33) % 250_000);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        assert_eq!(serving.running.kill().status, None, "killed, and not ended");
        *to.lock().unwrap() = None;
    }
    stop.store(true, Ordering::SeqCst);
    let acknowledged: Vec<String> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let serving = Serving::start(&project);
    let rows = drained(&project);
    assert!(rows.iter().all(|row| row["state"] == "done"), "{rows:#?}");
    assert_eq!(serving.running.terminate().status, Some(0));
    // By the body, from the database itself: each once.
    let database = rusqlite::Connection::open(project.path("data/state.db")).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut statement =
        database.prepare("SELECT CAST(body AS TEXT), count(*) FROM deliveries GROUP BY body").unwrap();
    let stored: BTreeMap<String, u32> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for body in &acknowledged {
        assert_eq!(stored.get(body), Some(&1), "{body} was acknowledged");
    }
    // Each was read by the connector in the end, by one run that succeeded.
    let events: u32 = database.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(events as usize, stored.len());
    let succeeded: u32 = database
        .query_row("SELECT count(*) FROM runs WHERE kind = 'deliver' AND outcome = 'succeeded'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(succeeded as usize, stored.len());
}
