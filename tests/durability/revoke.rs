//! Promise: `revoke` ends an approval at once, for a running read too, and an older lock brought back does not undo it.

use crate::project;
use portcullis_tests::{
    Project, Vendor,
    case::{BEARER, Case, SLOT, http},
    guests::Installed,
    model::{KEY, Model},
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

#[track_caller]
fn revokes(project: &Project, target: &str) {
    project.run(&["revoke", target]).exits(0);
}

/// One call, many requests: the credential's rate makes each wait, and the approval ends during such a wait.
fn a_call_that_runs_ends(revoke: impl Fn(&Project, &Installed)) {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b""));
    let case = Case {
        manifest: format!("{SLOT}{}", http(&["GET https://api.vendor.test/**"], "credential = \"key\"")),
        credentials: format!("{BEARER}requests-per-second = 2\n"),
        slots: "key = \"live\"".to_owned(),
        limits: "timeout = \"60s\"".to_owned(),
        ..Case::default()
    };
    let component = case.component();
    let project = case.to(&vendor, &["api.vendor.test"]).approved_with("sk_live_51Hq0ZkE9canary7Yw");
    let order = r#"{"n": 20, "method": "GET", "url": "https://api.vendor.test/"}"#;
    let running = project.spawn(&["--json", "call", "probe", "send-many", order]);
    // The next one waits half a second, which is long enough to revoke.
    wait_for("the fourth request", || (vendor.count() >= 4).then_some(()));
    revoke(&project, &component);
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
fn a_running_call_sends_nothing_more() {
    a_call_that_runs_ends(|project, _| revokes(project, "probe"));
}

#[test]
fn a_running_call_ends_by_its_digest_without_a_lock() {
    a_call_that_runs_ends(|project, component| {
        fs::remove_file(project.path("portcullis.lock")).unwrap();
        revokes(project, &component.digest);
    });
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

/// The same config, with another `data` and no approval.
fn elsewhere(model: &Model, connector: &Installed) -> Project {
    let project = Project::new();
    project.config(&model.config()).secret("stripe.key", KEY).install(connector);
    project
}

fn lock(project: &Project) -> Vec<u8> {
    fs::read(project.path("portcullis.lock")).unwrap()
}

/// What `check` under this lock exits with.
#[track_caller]
fn checks(project: &Project, lock: &[u8], code: i32) -> String {
    project.file("portcullis.lock", lock).run(&["check", "billing"]).exits(code).stderr.clone()
}

/// Approvals given on a workstation, which run where nobody approves.
struct Deployed {
    model: Model,
    workstation: Project,
    connector: Installed,
    production: Project,
    /// Of three approvals: the first and the last ran in production, the one between never came there.
    locks: [Vec<u8>; 3],
}

fn deployed() -> Deployed {
    let model = Model::start(10, |_| {});
    let (workstation, connector) = project(&model);
    let locks = [0; 3].map(|_| {
        workstation.approve("billing", &connector);
        lock(&workstation)
    });
    let production = elsewhere(&model, &connector);
    checks(&production, &locks[0], 0);
    checks(&production, &locks[2], 0);
    Deployed { model, workstation, connector, production, locks }
}

fn no_older_lock_runs_after(revoke: impl Fn(&Deployed)) {
    let deployed = deployed();
    let (production, workstation) = (&deployed.production, &deployed.workstation);
    revoke(&deployed);
    let before = deployed.model.reads();
    for lock in &deployed.locks {
        checks(production, lock, 4);
    }
    assert_eq!(deployed.model.reads(), before, "nothing reached the vendor");
    // Only a new approval ends it, and brings back no older one.
    workstation.approve("billing", &deployed.connector);
    checks(production, &lock(workstation), 0);
    for lock in &deployed.locks {
        checks(production, lock, 4);
    }
    checks(production, &lock(workstation), 0);
}

#[test]
fn no_older_lock_runs_after_a_name_was_revoked() {
    no_older_lock_runs_after(|it| revokes(&it.production, "billing"));
}

#[test]
fn no_older_lock_runs_after_a_digest_was_revoked() {
    no_older_lock_runs_after(|it| revokes(&it.production, &it.connector.digest));
}

#[test]
fn what_was_followed_stays_ended_without_any_revocation() {
    let Deployed { model: _model, production, locks: [first, between, last], .. } = deployed();
    let said = checks(&production, &first, 4);
    assert!(said.contains("followed it here") && said.contains("going back to an older lock"), "{said}");
    checks(&production, &last, 0);
    // Nobody revoked anything, and one that never ran here is older than the one that runs: it ends nothing.
    let said = checks(&production, &between, 4);
    assert!(said.contains("which runs here") && said.contains("going back to an older lock"), "{said}");
    checks(&production, &last, 0);
}

#[test]
fn a_mark_that_was_seen_once_stays() {
    let Deployed { model, workstation, connector, locks, .. } = deployed();
    workstation.run(&["revoke", "billing"]).exits(0);
    let (seen, unseen) = (elsewhere(&model, &connector), elsewhere(&model, &connector));
    checks(&seen, &lock(&workstation), 4);
    checks(&seen, &locks[2], 4);
    // The twin, which the mark never reached.
    checks(&unseen, &locks[2], 0);
}

#[test]
fn a_new_approval_of_a_digest_is_one_of_its_connection_alone() {
    let model = Model::start(10, |_| {});
    let (project, connector) = project(&model);
    let config = model.config();
    let (head, connection) = config.split_at(config.find("[connections.billing]").unwrap());
    let second = connection.replace("connections.billing", "connections.second");
    project.config(&format!("{head}{connection}\n{second}")).approve("second", &connector);
    for name in ["billing", "second"] {
        project.run(&["check", name]).exits(0);
    }
    project.run(&["revoke", &connector.digest]).exits(0);
    for name in ["billing", "second"] {
        project.run(&["check", name]).exits(4);
    }
    project.approve("second", &connector);
    project.run(&["check", "second"]).exits(0);
    project.run(&["check", "billing"]).exits(4);
    // A name ends that connection alone.
    project.approve("billing", &connector).run(&["revoke", "second"]).exits(0);
    project.run(&["check", "billing"]).exits(0);
    project.run(&["check", "second"]).exits(4);
}
