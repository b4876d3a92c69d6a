//! Promise: a connector reaches files only in the folders that were granted to its own connection, and what it was told to be
//! there is there whole.

use portcullis_tests::{Project, guests, guests::Installed};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Two connections of one connector, each with its own folder.
fn config(more: &str) -> String {
    let connection = |name: &str, folder: &str| {
        format!(
            "[connections.{name}]\nconnector = \"portcullis/filing@^0.1\"\nallow = \"requested\"\n\
             folders = {{ out = \"{folder}\" }}\nlimits = {{ timeout = \"60s\", cpu = \"60s\" }}\n\n"
        )
    };
    format!("{}{}{more}", connection("mine", "./mine"), connection("theirs", "./theirs"))
}

fn project() -> (Project, Installed) {
    let (project, filing) = (Project::new(), guests::guest("filing"));
    for folder in ["mine", "theirs"] {
        fs::create_dir(project.path(folder)).unwrap();
    }
    project.config(&config("")).install(&filing);
    (project, filing)
}

/// What came of each order, in one call.
#[track_caller]
fn each(project: &Project, orders: &[Value]) -> Vec<Value> {
    let (ran, report) = project.call("mine", "each", &json!({ "orders": orders }));
    assert_eq!(report["outcome"], "succeeded", "{report:#}\n{}", ran.stderr);
    report["output"].as_array().unwrap().clone()
}

fn order(what: &str, folder: &str, path: &str) -> Value {
    json!({ "do": what, "folder": folder, "path": path, "text": "from the guest" })
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_are_written_read_and_listed_in_the_granted_folder_alone() {
    let (project, filing) = project();
    let asked = project.run(&["approve", "mine", "--yes", "--digest", &filing.digest]);
    let shown = fs::canonicalize(project.path("mine")).unwrap();
    let line = format!("out: reads, writes, replaces and removes files in {}", shown.display());
    assert!(asked.exits(0).stdout.contains(&line), "{line}\n{}", asked.stdout);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    assert!(
        lock.contains("[approvals.mine.folders.out]\npath = \"./mine\"\naccess = \"read-write\"\n"),
        "{lock}"
    );
    fs::write(project.path("theirs/secret"), "not yours").unwrap();
    std::os::unix::fs::symlink("../theirs", project.path("mine/link")).unwrap();

    let answers = each(
        &project,
        &[
            order("write", "out", "2026/a.txt"),
            order("read", "out", "2026/a.txt"),
            order("list", "out", ""),
            order("drop", "out", "dropped.txt"),
            json!({ "do": "write", "folder": "out", "path": "big", "bytes": 1 << 20, "times": 32 }),
            json!({ "do": "write", "folder": "out", "path": "over", "bytes": (8 << 20) + 1 }),
            json!({ "do": "read", "folder": "out", "path": "big", "max": 9 << 20 }),
        ],
    );
    assert_eq!(answers[0], json!({ "size": 14 }));
    assert_eq!(answers[1], json!({ "text": "from the guest" }));
    assert_eq!(answers[2], json!({ "names": ["2026/", "link"] }));
    assert_eq!(answers[4], json!({ "size": 32 << 20 }));
    assert_eq!(answers[5], json!({ "error": "too-large", "detail": 8 << 20 }));
    assert_eq!(answers[6], json!({ "error": "too-large", "detail": 8 << 20 }));
    assert_eq!(names(&project.path("mine")), ["2026", "big", "link"]);

    let mut refused = Vec::new();
    for what in ["write", "read", "list", "remove"] {
        for path in ["../theirs/secret", "/etc/hostname", "link/secret", "..", "a/../../theirs/secret"] {
            refused.push(order(what, "out", path));
        }
        for folder in ["theirs", "./theirs", "mine", "", "OUT", "out/", "../theirs"] {
            refused.push(order(what, folder, "secret"));
        }
    }
    let answers = each(&project, &refused);
    for (order, answer) in refused.iter().zip(&answers) {
        assert_eq!(answer["error"], "invalid", "{order} {answer}");
        let folder = project.path("");
        assert!(!answer.to_string().contains(folder.to_str().unwrap()), "no path of the host: {answer}");
    }
    assert_eq!(fs::read_to_string(project.path("theirs/secret")).unwrap(), "not yours");
    assert_eq!(names(&project.path("theirs")), ["secret"]);

    // What is not approved is not opened.
    project.config(&config("").replace("\"./mine\"", "\"./theirs\""));
    let ran = project.run(&["call", "mine", "each", "{}"]);
    ran.exits(4);
    assert!(
        ran.stderr.contains("folder `out`: approved `./mine` (read-write), now `./theirs`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_file_is_removed_and_nothing_else_is() {
    let (project, filing) = project();
    project.approve("mine", &filing);
    let theirs = project.path("theirs/secret");
    fs::write(&theirs, "not yours").unwrap();
    fs::create_dir_all(project.path("mine/folder/inner")).unwrap();
    fs::create_dir(project.path("mine/.portcullis-other")).unwrap();
    fs::write(project.path("mine/.portcullis-other/x"), "the host's").unwrap();
    fs::write(project.path("mine/folder/x"), "x").unwrap();
    std::os::unix::fs::symlink("../theirs", project.path("mine/link")).unwrap();
    std::os::unix::fs::symlink("../theirs/secret", project.path("mine/direct")).unwrap();
    fs::hard_link(&theirs, project.path("mine/hard")).unwrap();
    let remove = |path: &str| order("remove", "out", path);
    let refused = ["link/secret", "direct", "hard", "link", "folder", "folder/inner", ".portcullis-other/x"];
    let answers = each(&project, &refused.map(remove));
    for (path, answer) in refused.iter().zip(&answers) {
        assert_eq!(answer["error"], "invalid", "{path}: {answer}");
    }
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "not yours");
    assert_eq!(
        names(&project.path("mine")),
        [".portcullis-other", "direct", "folder", "hard", "link"],
        "all of them are there"
    );
    // The twin.
    let answers = each(&project, &["folder/x", "folder/x", "folder/none/x", "none"].map(remove));
    let removed = |was: bool| json!({ "removed": was });
    assert_eq!(answers, [removed(true), removed(false), removed(false), removed(false)]);
    assert_eq!(names(&project.path("mine/folder")), ["inner"]);
}

#[test]
fn open_files_have_a_bound_that_is_no_trap_of_the_host() {
    let (project, filing) = project();
    project.approve("mine", &filing);
    let hoard = |times: u32| json!({ "do": "hoard", "folder": "out", "path": "x", "times": times });
    let answers = each(&project, &[hoard(16), hoard(17), hoard(5_000), hoard(16)]);
    let quota = json!({ "error": "quota", "detail": 16 });
    assert_eq!(answers, [json!({ "open": 16 }), quota.clone(), quota, json!({ "open": 16 })]);
    assert_eq!(names(&project.path("mine")), [""; 0], "nothing is left of them");
    assert_eq!(each(&project, &[order("write", "out", "y")])[0]["size"], 14);
}

#[test]
fn a_killed_process_leaves_nothing_that_the_next_one_does_not_remove() {
    let (project, filing) = project();
    project.approve("mine", &filing);
    let hang = json!({ "orders": [order("hang", "out", "report.txt")] }).to_string();
    let mut running = project.spawn(&["call", "mine", "each", &hang]);
    let partial = project.path("mine/.portcullis-partial");
    let began = Instant::now();
    while !partial.is_dir() || names(&partial).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60) && !running.ended(), "the guest writes");
        std::thread::yield_now();
    }
    // A living one's file is not swept by another process that opens the folder.
    let other = Project::new();
    other.install(&filing).config(&config("").replace("./mine", project.path("mine").to_str().unwrap()));
    fs::create_dir(other.path("theirs")).unwrap();
    other.approve("mine", &filing);
    assert_eq!(each(&other, &[order("write", "out", "other.txt")])[0]["size"], 14);
    assert_eq!(names(&partial).len(), 1);
    running.kill();
    assert_eq!(names(&partial).len(), 1, "kill -9 tidies nothing up");
    assert!(!project.path("mine/report.txt").exists());
    assert_eq!(each(&project, &[order("list", "out", "")])[0], json!({ "names": ["other.txt"] }));
    assert_eq!(names(&project.path("mine")), ["other.txt"]);
}

#[test]
fn what_decides_over_a_connector_is_not_granted_to_it() {
    let (project, filing) = project();
    project.secret("keys-file", "x");
    fs::create_dir_all(project.path("keys/deep")).unwrap();
    project.secret("keys/live.key", "sk_live");
    std::os::unix::fs::symlink("data", project.path("to-data")).unwrap();
    fs::create_dir_all(project.path("data/inside")).unwrap();
    fs::create_dir_all(project.path("registry/inside")).unwrap();
    let credential = "[credentials.live]\nscheme = \"bearer\"\nsecret = \"file:keys/live.key\"\n\n\
                      [secrets.vaulted]\ntype = \"directory\"\npath = \"vaulted\"\n";
    fs::create_dir(project.path("vaulted")).unwrap();
    for (folder, why) in [
        (".", "lies in it"),
        ("..", "lies in it"),
        ("/", "lies in it"),
        ("./data", "`data` lies in it"),
        ("./data/inside", "it lies in `data`"),
        ("./to-data", "`data` lies in it"),
        ("./to-data/inside", "it lies in `data`"),
        ("./registry", "the registry lies in it"),
        ("./registry/inside", "it lies in the registry"),
        ("./registry/..", "lies in it"),
        ("./keys", "a secret lies in it"),
        ("./vaulted", "a folder of secrets lies in it"),
        ("./keys-file", "it is no folder"),
        ("./not-there", "it can't be opened"),
    ] {
        project.config(&config(credential).replace("\"./mine\"", &format!("\"{folder}\"")));
        let ran = project.run(&["approve", "mine", "--yes", "--digest", &filing.digest]);
        let plain =
            |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace() && *c != '│').collect() };
        assert!(plain(&ran.stderr).contains(&plain(why)), "{folder}\n{}\n{}", ran.stdout, ran.stderr);
        ran.exits(3);
        assert!(ran.stderr.contains("portcullis.toml:"), "{}", ran.stderr);
    }
    // Unbound, and bound to a name that nobody asks for.
    for (folders, says) in [
        ("", "no folder is granted as `out`"),
        ("out = \"./mine\", outt = \"./theirs\"", "requests no folder `outt`"),
    ] {
        project.config(&config("").replace("out = \"./mine\"", folders));
        let ran = project.run(&["approve", "mine", "--yes", "--digest", &filing.digest]);
        assert!(ran.exits(3).stderr.contains(says), "{}", ran.stderr);
    }
    // The twin.
    project.config(&config(credential)).approve("mine", &filing);
}

#[test]
fn an_import_that_the_manifest_does_not_ask_for_is_refused_by_its_name() {
    let filing = guests::guest("filing");
    let component = portcullis_manifest::Component::read(&filing.bytes).unwrap();
    let mut manifest = component.manifest;
    manifest.capabilities.clear();
    manifest.folders.clear();
    let code = portcullis_manifest::Component::code(&filing.bytes).unwrap();
    let embedded = portcullis_manifest::embed::embed(&code, &manifest, &Default::default());
    let project = Project::new();
    let folder = project.path("registry/portcullis/filing");
    fs::create_dir_all(&folder).unwrap();
    match embedded {
        // `embed` reads back what it wrote: it may refuse it itself.
        Err(error) => assert!(error.to_string().contains("portcullis:connector/files@0.1.0"), "{error}"),
        Ok(bytes) => {
            fs::write(folder.join("0.1.0.wasm"), bytes).unwrap();
            project.config("[connections.mine]\nconnector = \"portcullis/filing\"\nallow = \"requested\"\n");
            let ran = project.run(&["approve", "mine", "--yes"]);
            let says = "imports `portcullis:connector/files@0.1.0`: the manifest does not list the capability `files`";
            assert!(ran.exits(3).stderr.contains(says), "{}", ran.stderr);
        }
    }
}
