//! Promise: a process killed at any moment leaves databases that open, no run without an outcome after the next start, no second
//! effect, no effect of a run that is shown as `failed`, and a file that goes on where it was.

use crate::{numbers, project};
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http},
    model::Model,
    vendor::reply_json,
    wait_for,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const KILLS: u64 = 20;

/// Lets so much time pass: where a kill falls is the point of these tests, and nothing is asserted on when.
fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// How long one such call takes here at least, so that kills fall all over it, and seldom after its end.
fn span(project: &Project, args: &[&str]) -> u64 {
    let one = || {
        let began = Instant::now();
        project.run(args).exits(0);
        began.elapsed()
    };
    let shortest = (0..3).map(|_| one()).min().unwrap();
    u64::try_from(shortest.as_micros()).unwrap().max(1)
}

fn databases_are_whole(project: &Project) {
    for name in ["state.db", "exchanges.db"] {
        let path = project.path("data").join(name);
        let database =
            rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
                .unwrap();
        let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok", "{name}");
    }
}

/// The run that made each effect, by the idempotency key in its intent.
fn runs_by_key(project: &Project) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for run in project.runs(&[]) {
        let shown = project.run(&["--json", "runs", "show", run["run_id"].as_str().unwrap()]);
        let shown: Value = serde_json::from_str(&shown.exits(0).stdout).unwrap();
        for intent in shown["intents"].as_array().unwrap() {
            if let Some(key) = intent["idempotency_key"].as_str() {
                found.insert(key.to_owned(), shown.clone());
            }
        }
    }
    found
}

fn every_run_has_ended(project: &Project) {
    for run in project.runs(&[]) {
        assert!(
            ["succeeded", "failed", "unknown", "cancelled"].contains(&run["outcome"].as_str().unwrap()),
            "{run:#}"
        );
        assert!(run["reason"].is_string() || run["outcome"] == "succeeded", "{run:#}");
    }
}

fn effects_are_accounted_for(project: &Project, model: &Model) {
    let runs = runs_by_key(project);
    let mut keys = BTreeSet::new();
    for effect in model.effects() {
        let key = effect.key.clone().expect("each effect came with a key");
        assert!(keys.insert(key.clone()), "{effect:?} happened twice");
        let run = runs.get(&key).unwrap_or_else(|| panic!("{effect:?} belongs to no run"));
        assert!(["succeeded", "unknown"].contains(&run["outcome"].as_str().unwrap()), "{effect:?}: {run:#}");
    }
}

#[test]
fn calls_killed_at_random_moments() {
    let model = Model::start(10, |_| {});
    let (project, _) = project(&model);
    let arguments = |n: u64| format!("{{\"name\":\"n{n}\"}}");
    let whole = span(&project, &["call", "billing", "create-customer", &arguments(999)]);
    let mut random = numbers(0x5eed);
    // One that was faster than its kill does not count.
    let (mut kills, mut n) = (0, 0);
    while kills < KILLS {
        n += 1;
        assert!(n < KILLS * 10, "calls end before they can be killed");
        let input = arguments(n);
        let running = project.spawn(&["call", "billing", "create-customer", &input]);
        pause(Duration::from_micros(random(whole)));
        kills += u64::from(running.kill().status.is_none());
        databases_are_whole(&project);
    }
    // The next start closes what was left open.
    project.run(&["call", "billing", "create-customer", &arguments(1000)]).exits(0);
    every_run_has_ended(&project);
    effects_are_accounted_for(&project, &model);
}

#[test]
fn calls_killed_around_the_effect() {
    static EFFECTS: AtomicUsize = AtomicUsize::new(0);
    // The model tells when an effect is done; the answer waits for the kill every other time.
    let model = Model::start(0, |asked| {
        if asked.method == "POST" && EFFECTS.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            pause(Duration::from_millis(300));
        }
    });
    let (project, _) = project(&model);
    let mut unknown = 0;
    for n in 0..KILLS {
        let before = EFFECTS.load(Ordering::SeqCst);
        let input = format!("{{\"name\":\"n{n}\"}}");
        let running = project.spawn(&["call", "billing", "create-customer", &input]);
        wait_for("the effect", || (EFFECTS.load(Ordering::SeqCst) > before).then_some(()));
        unknown += u64::from(running.kill().status.is_none());
    }
    assert!(unknown > 0, "some were killed before their answer");
    project.run(&["call", "billing", "create-customer", "{}"]).exits(0);
    databases_are_whole(&project);
    every_run_has_ended(&project);
    effects_are_accounted_for(&project, &model);
    let shown = project.runs(&["--outcome", "unknown"]);
    assert!(!shown.is_empty(), "an effect without a proven answer is shown as unknown");
}

#[test]
fn reads_killed_at_random_moments() {
    let model = Model::start(450, |_| {});
    let (project, _) = project(&model);
    let whole = span(&project, &["read", "billing", "customers"]);
    let mut random = numbers(0xfeed);
    let (mut kills, mut tries) = (0, 0);
    while kills < KILLS {
        tries += 1;
        assert!(tries < KILLS * 10, "reads end before they can be killed");
        let running = project.spawn(&["read", "billing", "customers"]);
        pause(Duration::from_micros(random(whole)));
        kills += u64::from(running.kill().status.is_none());
        databases_are_whole(&project);
    }
    project.run(&["read", "billing", "customers"]).exits(0);
    every_run_has_ended(&project);
    assert!(project.runs(&["--outcome", "unknown"]).is_empty(), "a read has no effects");
}

fn succeeded(project: &Project) -> usize {
    project.runs(&["--outcome", "succeeded"]).len()
}

pub fn ids(file: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn a_resumed_read_has_what_a_clean_one_has() {
    let model = Model::start(2_000, |_| {});
    let (project, _) = project(&model);
    let clean = project.path("clean.ndjson");
    let whole = span(&project, &["read", "billing", "customers", "--output", clean.to_str().unwrap()]);
    let clean = ids(&clean);
    let everything: BTreeSet<String> = clean.iter().cloned().collect();
    assert_eq!(everything, model.ids().into_iter().collect());
    assert_eq!(clean.len(), 2_000);
    let mut random = numbers(0xace);
    let (mut kills, mut tries, mut reads) = (0, 0, 0);
    // A read that got to its end, killed so often as it was, is compared; another begins.
    while kills < KILLS {
        reads += 1;
        let (file, name) = (project.path(&format!("killed-{reads}.ndjson")), format!("nightly-{reads}"));
        let arguments =
            ["read", "billing", "customers", "--output", file.to_str().unwrap(), "--resume", &name];
        let mut ended = false;
        while !ended && kills < KILLS {
            tries += 1;
            assert!(tries < KILLS * 10, "reads end before they can be killed");
            let before = succeeded(&project);
            let running = project.spawn(&arguments);
            pause(Duration::from_micros(random(whole)));
            kills += u64::from(running.kill().status.is_none());
            // By what is stored: a process may be killed when its read is done and before it exits.
            ended = succeeded(&project) > before;
            databases_are_whole(&project);
        }
        project.run(&arguments).exits(0);
        let killed = ids(&file);
        assert_eq!(killed.iter().cloned().collect::<BTreeSet<_>>(), everything);
        if !ended {
            assert_eq!(killed.len(), everything.len(), "one read, resumed, repeats nothing");
        }
    }
    every_run_has_ended(&project);
}

#[test]
fn a_file_that_is_another_is_not_appended_to() {
    let model = Model::start(250, |_| {});
    let (project, _) = project(&model);
    let file = project.path("out.ndjson");
    let arguments =
        ["read", "billing", "customers", "--output", file.to_str().unwrap(), "--resume", "nightly"];
    project.run(&arguments).exits(0);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let ran = project.run(&arguments);
    assert_ne!(ran.status, Some(0), "the file is shorter than what was committed");
    assert_eq!(std::fs::read(&file).unwrap().len(), whole.len() / 2, "and it was left alone");
}

#[test]
fn without_resume_a_file_is_whole_or_absent() {
    let model = Model::start(2_000, |_| {});
    let (project, _) = project(&model);
    let file = project.path("out.ndjson");
    let running = project.spawn(&["read", "billing", "customers", "--output", file.to_str().unwrap()]);
    wait_for("a few pages", || (model.reads() > 4).then_some(()));
    let killed = running.kill();
    assert!(killed.status == Some(0) || !file.exists(), "nothing is half-written");
}

#[test]
fn a_second_writer_waits_and_learns_who_holds_the_data() {
    let model = Model::start(10, |asked| {
        if asked.method == "POST" {
            pause(Duration::from_millis(2_500));
        }
    });
    let (project, _) = project(&model);
    let running = project.spawn(&["call", "billing", "create-customer", "{}"]);
    wait_for("the first call at the vendor", || (!model.effects().is_empty()).then_some(()));
    let second = project.run(&["--wait", "0", "call", "billing", "create-customer", "{}"]);
    second.exits(6);
    assert!(second.stderr.contains(&running.id().to_string()), "the holder is named: {}", second.stderr);
    // Read-only commands need no lock.
    project.run(&["runs"]).exits(0);
    project.run(&["logs"]).exits(0);
    running.finish().exits(0);
    assert_eq!(model.effects().len(), 1);
}

/// `kill -9` once the vendor has the request and before it answers: a person sees the run, what it was about to send and that
/// nobody knows what came of it; and nothing repeats it.
#[test]
fn a_write_killed_in_its_middle_is_seen() {
    let vendor = Vendor::tls(&["api.vendor.test"], |asked, wire| {
        if asked.method == "POST" {
            pause(Duration::from_millis(1_500));
        }
        reply_json(wire, &serde_json::json!({}))
    });
    let manifest =
        [SLOT.to_owned(), http(&["POST https://api.vendor.test/v1/things"], "credential = \"key\"")].concat();
    let send = "config = { send = [{ method = \"POST\", url = \"https://api.vendor.test/v1/things\" }] }";
    let case = Case { manifest, more: send.to_owned(), ..Case::default() };
    let project = case.bearer().to(&vendor, &["api.vendor.test"]).approved_with("sk_live_0123456789abcdef");
    project
        .file("rows.ndjson", b"{\"id\":1}\n{\"id\":2}\n")
        .file("delivery.json", br#"{"id":"d1","method":"POST","path":"/hooks"}"#);
    let commands: [(&str, &[&str], &str); 2] = [
        ("write", &["write", "probe", "rows", "rows.ndjson"], "rows"),
        ("deliver", &["deliver", "probe", "delivery.json"], "d1"),
    ];
    for (kind, command, subject) in commands {
        vendor.clear();
        let running = project.spawn(command);
        wait_for("the request at the vendor", || (vendor.count() > 0).then_some(()));
        assert_eq!(running.kill().status, None, "it was killed before the answer");
        databases_are_whole(&project);
        let open = &project.runs(&["--outcome", "open"])[0];
        assert_eq!((&open["kind"], &open["subject"]), (&Value::from(kind), &Value::from(subject)));
        // The next start closes it.
        project.run(&["check", "probe"]);
        let run = &project.runs(&["--outcome", "unknown"])[0];
        assert_eq!((&run["kind"], &run["reason"]), (&Value::from(kind), &Value::from("unproven-effect")));
        let shown = project.run(&["--json", "runs", "show", run["run_id"].as_str().unwrap()]).json();
        assert_eq!(shown["intents"][0]["proven"], false, "{shown:#}");
        if kind == "write" {
            assert_eq!((&shown["input"]["lines"], &shown["input"]["mode"]), (&2.into(), &"append".into()));
        }
        assert_eq!(vendor.count(), 1, "nothing repeats it");
    }
    every_run_has_ended(&project);
}
