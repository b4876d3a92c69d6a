//! Promise: `revoke` ends an approval at once, for a running read too, and an older lock brought back does not undo it.

use crate::project;
use portcullis_tests::{
    Vendor,
    case::{BEARER, Case, SLOT, http},
    model::Model,
    vendor::reply,
    wait_for,
};
use std::{
    fs,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

#[test]
fn a_running_read_sends_nothing_more() {
    // The third page is held back until the approval is revoked.
    let held = Arc::new((Mutex::new(false), Condvar::new()));
    let waiting = Arc::new(AtomicBool::new(false));
    let (gate, told) = (Arc::clone(&held), Arc::clone(&waiting));
    let pages = Mutex::new(0);
    let armed = Arc::new(AtomicBool::new(false));
    let on = Arc::clone(&armed);
    let model = Model::start(2_000, move |_| {
        if !on.load(Ordering::SeqCst) {
            return;
        }
        let mut pages = pages.lock().unwrap();
        *pages += 1;
        if *pages == 3 {
            told.store(true, Ordering::SeqCst);
            let (lock, opened) = &*gate;
            let _open = opened.wait_while(lock.lock().unwrap(), |open| !*open).unwrap();
        }
    });
    let (project, connector) = project(&model);
    armed.store(true, Ordering::SeqCst);
    let lock = fs::read(project.path("portcullis.lock")).unwrap();
    let before = model.reads();
    let running = project.spawn(&["read", "billing", "customers"]);
    wait_for("the third page", || waiting.load(Ordering::SeqCst).then_some(()));
    project.run(&["revoke", "billing"]).exits(0);
    let (gate, opened) = &*held;
    *gate.lock().unwrap() = true;
    opened.notify_all();
    let ran = running.finish();
    assert_ne!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(model.reads() - before, 3, "no further request reached the vendor");
    armed.store(false, Ordering::SeqCst);

    project.run(&["read", "billing", "customers"]).exits(4);
    project.file("portcullis.lock", &lock);
    project.run(&["read", "billing", "customers"]).exits(4);
    project.run(&["call", "billing", "create-customer", "{}"]).exits(4);
    assert_eq!((model.reads() - before, model.effects().len()), (3, 0), "the old lock changes nothing");

    // Only a new approval ends it.
    project.approve("billing", &connector);
    project.run(&["call", "billing", "create-customer", "{}"]).exits(0);
}

/// One call, many requests: the credential's rate makes each wait, and the approval ends during such a wait.
#[test]
fn a_running_call_sends_nothing_more() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b""));
    let case = Case {
        manifest: format!("{SLOT}{}", http(&["GET https://api.vendor.test/**"], "credential = \"key\"")),
        credentials: format!("{BEARER}requests-per-second = 2\n"),
        slots: "key = \"live\"".to_owned(),
        limits: "timeout = \"60s\"".to_owned(),
        ..Case::default()
    };
    let project = case.to(&vendor, &["api.vendor.test"]).approved_with("sk_live_51Hq0ZkE9canary7Yw");
    let order = r#"{"n": 20, "method": "GET", "url": "https://api.vendor.test/"}"#;
    let running = project.spawn(&["--json", "call", "probe", "send-many", order]);
    // The next one waits half a second, which is long enough to revoke.
    wait_for("the fourth request", || (vendor.count() >= 4).then_some(()));
    project.run(&["revoke", "probe"]).exits(0);
    let sent = vendor.count();
    assert!(sent < 20, "all were sent before it was revoked");
    let ran = running.finish();
    assert_eq!(vendor.count(), sent, "no further request reached the vendor");
    let output = &ran.json()["output"];
    assert_eq!(
        (&output["ok"], &output["failed"]["error"]),
        (&sent.into(), &"denied".into()),
        "{}",
        ran.stderr
    );
    let stored = project.runs(&[]).pop().unwrap();
    assert_eq!(
        (&stored["outcome"], &stored["run_id"]),
        (&"succeeded".into(), &ran.json()["run_id"]),
        "{stored}"
    );
    let refused = project.logs(&["--status", "denied"]);
    assert!(
        refused.len() >= 2 && refused.iter().all(|row| row["reason"].as_str().unwrap().contains("revoked"))
    );
}

#[test]
fn a_digest_is_revoked_for_all_its_connections() {
    let model = Model::start(10, |_| {});
    let (project, connector) = project(&model);
    project.run(&["revoke", &connector.digest]).exits(0);
    project.run(&["call", "billing", "create-customer", "{}"]).exits(4);
    assert!(model.effects().is_empty());
}

#[test]
fn an_approval_that_was_followed_by_another_has_ended() {
    let model = Model::start(10, |_| {});
    let (project, connector) = project(&model);
    let former = fs::read(project.path("portcullis.lock")).unwrap();
    project.approve("billing", &connector);
    project.run(&["call", "billing", "create-customer", "{}"]).exits(0);
    project.run(&["revoke", "billing"]).exits(0);
    project.file("portcullis.lock", &former);
    project.run(&["call", "billing", "create-customer", "{}"]).exits(4);
    assert_eq!(model.effects().len(), 1, "the former lock allows nothing");
}
