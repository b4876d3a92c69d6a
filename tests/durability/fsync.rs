//! Promise: nothing counts before the disk said that it has it. The disk is made to say no (`fsync.c`, by LD_PRELOAD): then no
//! position moves, and no unsafe request leaves.

use crate::{kills::ids, project};
use portcullis_tests::{Project, Ran, model::Model, project::finish};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock},
};

/// The shim, compiled once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (shim, fresh) =
            (folder.join("fsync.so"), folder.join(format!("fsync-{}.so", std::process::id())));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("durability/fsync.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&fresh).arg(source);
        assert!(compiler.status().expect("a C compiler").success(), "the shim does not compile");
        fs::rename(&fresh, &shim).unwrap();
        shim
    })
}

/// Runs the binary on a disk whose fsyncs of `name` fail from the `from`-th on; gives how many there were.
fn run(project: &Project, name: &str, from: u64, args: &[&str]) -> (Ran, usize) {
    let log = project.path("fsync.log");
    // None there is as good.
    drop(fs::remove_file(&log));
    let mut command = project.command(args);
    command.env("LD_PRELOAD", shim()).env("FSYNC_LOG", &log);
    command.env("FSYNC_NAME", name).env("FSYNC_FROM", from.to_string());
    let ran = finish(command.spawn().expect("portcullis starts"));
    (ran, syncs(&log))
}

fn syncs(log: &Path) -> usize {
    fs::read_to_string(log).unwrap_or_default().lines().count()
}

/// Where the reader is: records, bytes of its file.
fn position(project: &Project) -> Option<(i64, i64)> {
    let database = rusqlite::Connection::open_with_flags(
        project.path("data/state.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    );
    let sql = "SELECT records, length FROM positions NATURAL JOIN reader_files";
    database.unwrap().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

#[test]
fn a_position_moves_only_behind_a_file_that_is_on_the_disk() {
    const PAGE: i64 = 100;
    let model = Model::start(350, |_| {});
    let read = |project: &Project, name: &str, from| {
        let file = project.path("out.ndjson");
        let arguments =
            ["read", "billing", "customers", "--output", file.to_str().unwrap(), "--resume", "nightly"];
        run(project, name, from, &arguments)
    };
    let clean = project(&model).0;
    // The shim is loaded, and fails nothing where no name matches.
    let (ran, syncs) = read(&clean, "/no-such-file/", 1);
    ran.exits(0);
    assert_eq!(syncs, 0);
    let records = ids(&clean.path("out.ndjson"));
    let pages = records.len() / usize::try_from(PAGE).unwrap() + 1;

    // The first fsync is that of the file when it is made, then one comes with each page.
    let mut failed = 0;
    for from in 1.. {
        let project = project(&model).0;
        let (ran, syncs) = read(&project, "out.ndjson", from);
        if syncs < usize::try_from(from).unwrap() {
            ran.exits(0);
            break;
        }
        failed += 1;
        let durable = i64::try_from(from).unwrap() - 2;
        if durable < 0 {
            ran.exits(3);
            assert_eq!(position(&project), None, "nothing was begun");
        } else {
            ran.exits(1);
            assert!(ran.stderr.contains("the output can't be written: Input/output error"), "{}", ran.stderr);
            let (committed, length) = position(&project).expect("the reader has begun");
            assert_eq!(committed, durable * PAGE, "fsync {from} failed");
            let bytes: usize = fs::read_to_string(clean.path("out.ndjson"))
                .unwrap()
                .lines()
                .take(usize::try_from(committed).unwrap())
                .map(|line| line.len() + 1)
                .sum();
            assert_eq!(length, i64::try_from(bytes).unwrap());
        }
        // On a disk that works it goes on, and nothing is missing or there twice.
        let file = project.path("out.ndjson");
        let arguments =
            ["read", "billing", "customers", "--output", file.to_str().unwrap(), "--resume", "nightly"];
        project.run(&arguments).exits(0);
        assert_eq!(ids(&file), records, "after fsync {from} failed");
    }
    assert_eq!(failed, pages + 1, "each page has an fsync of its own");
}

#[test]
fn no_unsafe_request_leaves_before_its_intent_is_on_the_disk() {
    let log: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let before = Arc::new(Mutex::new(0));
    let (place, seen) = (Arc::clone(&log), Arc::clone(&before));
    let model = Model::start(1, move |asked| {
        if asked.method == "POST"
            && let Some(log) = &*place.lock().unwrap()
        {
            *seen.lock().unwrap() = syncs(log);
        }
    });
    let (project, _) = project(&model);
    *log.lock().unwrap() = Some(project.path("fsync.log"));
    let call = ["call", "billing", "create-customer", "{}"];
    // How many fsyncs of the log of `state.db` there are before the request reaches the vendor.
    let (ran, all) = run(&project, "state.db-wal", 0, &call);
    ran.exits(0);
    let before = *before.lock().unwrap();
    assert!(before >= 3, "epoch, run and intent are durable before the request: {before}");
    assert!(all > before, "so is what came of it: {all} after {before}");
    assert_eq!(model.effects().len(), 1);

    for from in 1..=before {
        let (ran, _) = run(&project, "state.db-wal", u64::try_from(from).unwrap(), &call);
        assert_ne!(ran.status, Some(0), "fsync {from} failed");
        assert!(ran.stderr.contains("state.db"), "it says so: {}", ran.stderr);
        assert_eq!(model.effects().len(), 1, "fsync {from} failed, and the request left");
        // Closes what this one left open, so that the next has as many fsyncs as the first.
        project.run(&["check", "billing"]).exits(0);
    }
    // One later it is done, and the run can't be closed: it is in doubt, never failed.
    let (ran, _) = run(&project, "state.db-wal", u64::try_from(before + 1).unwrap(), &call);
    assert_ne!(ran.status, Some(0));
    assert_eq!(model.effects().len(), 2);
    project.run(&["check", "billing"]).exits(0);
    last(&project, "call", "unknown");
}

/// The id of the last run of this kind, which ended so.
#[track_caller]
fn last(project: &Project, kind: &str, outcome: &str) -> String {
    let runs = project.runs(&[]);
    let last = runs.iter().find(|run| run["kind"] == kind).unwrap();
    assert_eq!(last["outcome"], outcome, "{last:#}");
    last["run_id"].as_str().unwrap().to_owned()
}

/// A vendor under which the disk is full from the first request with this method on, and the file that says so.
fn fills(method: &'static str) -> (Model, Arc<Mutex<Option<PathBuf>>>) {
    let full: Arc<Mutex<Option<PathBuf>>> = Arc::default();
    let place = Arc::clone(&full);
    let model = Model::start(150, move |asked| {
        if asked.method == method
            && let Some(full) = &*place.lock().unwrap()
        {
            fs::write(full, "").unwrap();
        }
    });
    (model, full)
}

/// Runs the binary on a disk that is full for `state.db` as long as `full` is there; then the next command on one that is not.
fn run_until_full(project: &Project, full: &Mutex<Option<PathBuf>>, args: &[&str]) -> Ran {
    let place = project.path("full");
    *full.lock().unwrap() = Some(place.clone());
    let mut command = project.command(args);
    command.env("LD_PRELOAD", shim()).env("FSYNC_NAME", "state.db").env("FSYNC_FULL", &place);
    let ran = finish(command.spawn().expect("portcullis starts"));
    *full.lock().unwrap() = None;
    fs::remove_file(place).expect("a request came");
    project.run(&["check", "billing"]).exits(0);
    ran
}

#[test]
fn a_call_that_can_not_be_stored_to_its_end_is_in_doubt_and_has_a_name() {
    let (model, full) = fills("POST");
    let (project, _) = project(&model);
    let ran = run_until_full(&project, &full, &["call", "billing", "create-customer", "{}"]);
    ran.exits(5);
    assert_eq!(model.effects().len(), 1);
    let run_id = last(&project, "call", "unknown");
    for said in [&run_id[..], "ask the vendor before you repeat it", "closes it as `unknown`"] {
        assert!(ran.stderr.contains(said), "`{said}` in {}", ran.stderr);
    }
    // The same for a program.
    let ran = run_until_full(&project, &full, &["--json", "call", "billing", "create-customer", "{}"]);
    ran.exits(5);
    assert_eq!(model.effects().len(), 2);
    let error = &ran.json()["error"];
    assert_eq!(error["exit_code"], 5, "{error:#}");
    assert_eq!(error["run_id"], last(&project, "call", "unknown"));
}

#[test]
fn a_read_that_can_not_be_stored_to_its_end_has_a_name_and_is_not_in_doubt() {
    let (model, full) = fills("GET");
    let (project, _) = project(&model);
    let file = project.path("out.ndjson");
    let read = ["--json", "read", "billing", "customers", "--output", file.to_str().unwrap()];
    let ran = run_until_full(&project, &full, &read);
    ran.exits(3);
    let error = &ran.json()["error"];
    assert_eq!(error["run_id"], last(&project, "read", "failed"), "{error:#}");
}
