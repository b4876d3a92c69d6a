//! `dev` and `build --watch`: a save is built and shown, a fault is said and the watch goes on, what was not approved does not run,
//! and Ctrl-C ends it well.

use crate::{Author, both};
use portcullis_tests::{
    Asked, Project, Ran, Vendor, checkout,
    guests::{self, Installed},
    project::{Running, heard},
    vendor::reply_json,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const HOST: &str = "api.example.com";
/// In the code that `new` writes, and what gives another record.
const PUSH: &str = "page.push_records(answer.text()?, \"/items\")?;";
const PUSH_OTHER: &str =
    "page.push_records(&answer.text()?.replace(\"\\\"a\\\"\", \"\\\"z\\\"\"), \"/items\")?;";

/// A command that runs on, and the lines that it printed.
struct Watched {
    running: Option<Running>,
    lines: [Arc<Mutex<Vec<String>>>; 2],
    /// Lines of each that were looked at.
    read: [usize; 2],
}

const OUT: usize = 0;
const ERR: usize = 1;

impl Watched {
    fn start(mut command: Command) -> Self {
        heard(&mut command);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let keep = |pipe: Box<dyn Read + Send>| {
            let lines: Arc<Mutex<Vec<String>>> = Arc::default();
            let kept = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines() {
                    let Ok(line) = line else { return };
                    kept.lock().unwrap().push(line);
                }
            });
            lines
        };
        let out = keep(Box::new(child.stdout.take().unwrap()));
        let err = keep(Box::new(child.stderr.take().unwrap()));
        Self { running: Some(Running::of(child)), lines: [out, err], read: [0; 2] }
    }

    /// The next line with these words. Compilers take their time: what is bounded is that it comes at all.
    #[track_caller]
    fn next(&mut self, stream: usize, words: &str) -> String {
        for _ in 0..24_000 {
            let lines = self.lines[stream].lock().unwrap().clone();
            if let Some(at) = lines.iter().skip(self.read[stream]).position(|line| line.contains(words)) {
                self.read[stream] += at + 1;
                return lines[self.read[stream] - 1].clone();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let shown = |stream: usize| self.lines[stream].lock().unwrap().join("\n");
        panic!("no line `{words}` came\nstdout:\n{}\nstderr:\n{}", shown(OUT), shown(ERR));
    }

    /// Ctrl-C; how it ended.
    fn interrupt(mut self) -> Ran {
        let running = self.running.take().unwrap();
        running.signal(libc::SIGINT);
        running.finish()
    }
}

/// A new connector with both roles, whose SDK is the checkout's.
fn begun(author: &Author) -> PathBuf {
    let sdk = checkout().join("sdk/rust");
    let roles = ["--role", "source", "--role", "action"];
    author
        .json("", &[&["new", "acme/weather", "--sdk-path", sdk.to_str().unwrap()][..], &roles[..]].concat());
    author.path("weather")
}

fn edit(file: &Path, was: &str, is: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(was), "`{was}` stands in {}", file.display());
    fs::write(file, text.replacen(was, is, 1)).unwrap();
}

const CASSETTE: &str = r#"
stream = "items"
records = '''
{"id":"a","updated_at":"2026-03-01"}
{"id":"b","updated_at":"2026-03-02"}
'''

[[exchange]]
request = "GET https://api.example.com/v1/items?limit=100"
status = 200
body = '{"items": [{"id":"a","updated_at":"2026-03-01"},{"id":"b","updated_at":"2026-03-02"}], "next": null}'
"#;

#[test]
fn cassettes_are_played_at_each_change() {
    let author = Author::new();
    let weather = begun(&author);
    fs::create_dir_all(weather.join("tests/cassettes")).unwrap();
    fs::write(weather.join("tests/cassettes/items.toml"), CASSETTE).unwrap();
    let _alone = guests::alone();
    let mut command = author.command(portcullis_tests::binary(), "");
    command.args(["dev", "weather", "--cassette", "items"]);
    let mut dev = Watched::start(command);
    dev.next(OUT, "items: stream items");
    let exchange = dev.next(OUT, "  GET https://api.example.com/v1/items?limit=100  200  ");
    assert!(
        exchange.ends_with("  http[1].allow[0]") || exchange.ends_with("  http[0].allow[0]"),
        "{exchange}"
    );
    dev.next(OUT, "  2 records");
    dev.next(OUT, "ok    items  ");
    dev.next(OUT, " passed, 0 failed");
    dev.next(ERR, "watching `weather`, until Ctrl-C");

    edit(&weather.join("src/lib.rs"), PUSH, PUSH_OTHER);
    assert_eq!(dev.next(ERR, "changed: "), "changed: src/lib.rs");
    assert_eq!(dev.next(OUT, "/records/0/id"), "  /records/0/id: \"a\" → \"z\"");
    dev.next(OUT, "FAIL  items  ");
    dev.next(ERR, "watching");

    // What the compiler says is shown, and the watch goes on.
    edit(&weather.join("src/lib.rs"), PUSH_OTHER, "page.no_such_function();");
    dev.next(ERR, "no_such_function");
    dev.next(ERR, "cargo could not build");
    dev.next(ERR, "watching");
    edit(&weather.join("src/lib.rs"), "page.no_such_function();", PUSH);
    assert_eq!(dev.next(OUT, "/records/0/id"), "  /records/0/id: \"z\" → \"a\"");
    dev.next(OUT, " passed, 0 failed");
    dev.next(ERR, "watching");
    // A cassette counts too.
    edit(
        &weather.join("tests/cassettes/items.toml"),
        "\"2026-03-02\"}], \"next\"",
        "\"2026-03-05\"}], \"next\"",
    );
    assert_eq!(dev.next(ERR, "changed: "), "changed: tests/cassettes/items.toml");
    dev.next(OUT, "\"2026-03-02\" → \"2026-03-05\"");
    dev.next(ERR, "watching");
    assert_eq!(dev.interrupt().status, Some(0));
    assert!(!author.path("registry").exists() && !author.path("data").exists(), "nothing is kept");
}

#[test]
fn a_build_follows_each_change_and_a_failed_one_ends_nothing() {
    let author = Author::new();
    let weather = begun(&author);
    let _alone = guests::alone();
    let mut command = author.command(portcullis_tests::binary(), "");
    command.args(["build", "weather", "--watch"]);
    let mut build = Watched::start(command);
    let first = build.next(OUT, "digest   sha256:");
    build.next(ERR, "watching");
    edit(&weather.join("connector.toml"), "role", "rloe");
    build.next(ERR, "rloes");
    build.next(ERR, "watching");
    edit(&weather.join("connector.toml"), "rloe", "role");
    edit(&weather.join("src/lib.rs"), PUSH, PUSH_OTHER);
    let second = build.next(OUT, "digest   sha256:");
    assert_ne!(first, second);
    build.next(ERR, "watching");
    let component = Installed::of(fs::read(author.path("registry/acme/weather/0.1.0.wasm")).unwrap());
    assert_eq!(second, format!("digest   {}", component.digest));
    // In the middle of a build too.
    edit(&weather.join("src/lib.rs"), PUSH_OTHER, PUSH);
    build.next(ERR, "changed: src/lib.rs");
    assert_eq!(build.interrupt().status, Some(0));
}

fn vendor(hold: Arc<AtomicBool>) -> Vendor {
    Vendor::tls(&[HOST], move |asked: &Asked, wire: &mut dyn Write| {
        assert_eq!(asked.path(), "/v1/items");
        while hold.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let items =
            [json!({"id": "a", "updated_at": "2026-03-01"}), json!({"id": "b", "updated_at": "2026-03-02"})];
        reply_json(wire, &json!({ "items": items, "next": null }))
    })
}

fn config(project: &Project, vendor: &Vendor, version: &str, more: &str) {
    project.config(&format!(
        "[credentials.example]\nscheme = \"bearer\"\nsecret = \"file:example.key\"\n\n\
         [connections.example]\nconnector = \"acme/weather@{version}\"\ncredentials = {{ api-key = \"example\" }}\n\
         allow = \"requested\"\n{more}\n[connections.example.network]\n\
         connect-to = {{ \"{HOST}:443\" = \"127.0.0.1:{}\" }}\nca-file = \"ca.pem\"\naddresses = [\"127.0.0.1/32\"]\n",
        vendor.port()
    ));
}

/// The one build that the registry holds.
fn in_registry(project: &Project) -> Installed {
    in_registry_of(project, "weather")
}

fn in_registry_of(project: &Project, name: &str) -> Installed {
    let files = fs::read_dir(project.path(&format!("registry/acme/{name}"))).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    let newest = files.iter().max().unwrap_or_else(|| panic!("{files:?}"));
    Installed::of(fs::read(newest).unwrap())
}

fn pinned(project: &Project) -> String {
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    lock.lines().find_map(|line| line.strip_prefix("digest = ")).unwrap().trim_matches('"').to_owned()
}

#[test]
fn a_connection_runs_what_is_approved_and_nothing_else() {
    let author = Author::new();
    let weather = begun(&author);
    let _alone = guests::alone();
    let hold = Arc::new(AtomicBool::new(false));
    let (vendor, project) = (vendor(hold.clone()), Project::new());
    project.secret("example.key", "tok_author_41fa9c02");
    let takes = "updates = \"same-grants\"";
    config(&project, &vendor, "^0.1.0-dev", takes);
    let mut command = author.command(portcullis_tests::binary(), "");
    command.arg("--config").arg(project.path("portcullis.toml"));
    command.args(["dev", "weather", "--connection", "example", "--stream", "items"]);
    let mut dev = Watched::start(command);

    // Never approved: it waits, and an approval is a change.
    dev.next(OUT, "`example` is not approved");
    dev.next(OUT, "approve example");
    dev.next(ERR, "watching");
    assert_eq!(vendor.count(), 0);
    let first = in_registry(&project);
    assert!(first.version.starts_with("0.1.0-dev.2"), "{}", first.version);
    project.approve("example", &first);
    dev.next(OUT, "stream items of `example`");
    dev.next(OUT, "  GET https://api.example.com/v1/items?limit=100  200  ");
    dev.next(OUT, "  succeeded, run run_");
    dev.next(OUT, "  2 records");
    dev.next(ERR, "watching");

    // It asks for nothing more, and the connection says that such a build is taken.
    edit(&weather.join("src/lib.rs"), PUSH, PUSH_OTHER);
    dev.next(ERR, "asks for nothing more");
    assert_eq!(dev.next(OUT, "/records/0/id"), "  /records/0/id: \"a\" → \"z\"");
    dev.next(ERR, "watching");
    let second = in_registry(&project);
    assert_ne!(second.digest, first.digest);
    assert_eq!((pinned(&project), vendor.count()), (second.digest.clone(), 2));

    // It asks for more: shown, and nothing runs.
    edit(
        &weather.join("connector.toml"),
        "\"GET https://api.example.com/v1/items\"",
        "\"GET https://api.example.com/v1/**\"",
    );
    dev.next(OUT, "ASKS FOR MORE than 0.1.0-dev.");
    dev.next(OUT, "widened");
    dev.next(OUT, "approve example");
    dev.next(ERR, "watching");
    assert_eq!((pinned(&project), vendor.count()), (second.digest.clone(), 2));
    // The operator does not say that anything is taken.
    config(&project, &vendor, "^0.1.0-dev", "");
    edit(
        &weather.join("connector.toml"),
        "\"GET https://api.example.com/v1/**\"",
        "\"GET https://api.example.com/v1/items\"",
    );
    edit(&weather.join("src/lib.rs"), PUSH_OTHER, PUSH);
    dev.next(OUT, "approve example");
    dev.next(ERR, "watching");
    assert_eq!((pinned(&project), vendor.count()), (second.digest.clone(), 2));
    // No connection runs a development build that its config does not ask for.
    config(&project, &vendor, "^0.1", takes);
    dev.next(ERR, "`example` asks for `acme/weather@^0.1`, which is no development build");
    dev.next(ERR, "connector = \"acme/weather@^0.1.0-dev\"");
    dev.next(ERR, "watching");
    assert_eq!((pinned(&project), vendor.count()), (second.digest, 2));

    // Ctrl-C in the middle of a run: it is closed as any other.
    hold.store(true, Ordering::SeqCst);
    config(&project, &vendor, "^0.1.0-dev", takes);
    dev.next(OUT, "stream items of `example`");
    portcullis_tests::wait_for("the request", || (vendor.count() == 3).then_some(()));
    let ended = dev.interrupt();
    hold.store(false, Ordering::SeqCst);
    assert_eq!(ended.status, Some(0));
    let outcomes: Vec<Value> = project.runs(&[]).iter().map(|run| run["outcome"].clone()).collect();
    assert_eq!(outcomes, ["cancelled", "succeeded", "succeeded"]);
}

#[test]
fn what_does_not_go_together_is_said_at_once() {
    let author = Author::new();
    begun(&author);
    for (args, says) in [
        (&["dev", "weather", "--stream", "items"][..], "--connection CONNECTION"),
        (&["dev", "weather", "--connection", "example"], "--stream NAME"),
        (&["dev", "weather", "--connection", "example", "--cassette", "items"], "--cassette"),
        (&["dev", "weather", "--deliver", "--check"], "--check"),
        (&["dev", "weather", "--forged"], "--deliver"),
    ] {
        let ran = author.portcullis("", args);
        assert_eq!(ran.status.code(), Some(2), "{args:?}: {}", both(&ran));
        assert!(both(&ran).contains(says), "{args:?}: {}", both(&ran));
    }
}

/// In the code that `new` writes for a webhook, and what gives another event.
const EVENT: &str = "Event { name, id: Some(id), payload }";
const EVENT_OTHER: &str = "Event { name: format!(\"{name}!\"), id: Some(id), payload }";

#[test]
fn a_sample_delivery_is_signed_and_verified_and_a_forged_one_reaches_nobody() {
    let author = Author::new();
    let sdk = checkout().join("sdk/rust");
    author.json("", &["new", "acme/bell", "--role", "webhook", "--sdk-path", sdk.to_str().unwrap()]);
    let bell = author.path("bell");
    let _alone = guests::alone();
    let start = |args: &[&str]| {
        let mut command = author.command(portcullis_tests::binary(), "");
        Watched::start({
            command.args(args);
            command
        })
    };
    let mut dev = start(&["dev", "bell", "--deliver", "bell/tests/delivery.json"]);
    let head = dev.next(OUT, "delivery d1: POST ");
    assert!(head.ends_with(", signed as `standard-webhooks` signs, with a made-up secret"), "{head}");
    dev.next(OUT, "  webhook-id: msg_sample");
    dev.next(OUT, "  webhook-signature: v1,");
    dev.next(OUT, "  verified, and handed to the connector");
    dev.next(OUT, "  {\"events\":[{\"name\":\"item.created\",\"id\":\"e1\"");
    dev.next(ERR, "watching");
    edit(&bell.join("src/lib.rs"), EVENT, EVENT_OTHER);
    assert_eq!(dev.next(OUT, "/events/0/name"), "  /events/0/name: \"item.created\" → \"item.created!\"");
    dev.next(ERR, "watching");
    // Another scheme is another signature, and the connector sees the same delivery.
    edit(&bell.join("connector.toml"), "\"standard-webhooks\"", "\"github\"");
    dev.next(OUT, "signed as `github` signs");
    let signature = dev.next(OUT, "  x-hub-signature-256: sha256=");
    assert_eq!(signature.len(), "  x-hub-signature-256: sha256=".len() + 64, "{signature}");
    assert_eq!(dev.next(OUT, "before"), "  the same as before");
    dev.next(ERR, "watching");
    edit(&bell.join("connector.toml"), "[webhook]\nsigning = \"github\"\n", "");
    dev.next(ERR, "`acme/bell` does not say how its vendor signs what it delivers");
    dev.next(ERR, "[webhook]");
    dev.next(ERR, "signing = \"standard-webhooks\"");
    dev.next(ERR, "watching");
    assert_eq!(dev.interrupt().status, Some(0));

    fs::write(bell.join("connector.toml"), {
        let text = fs::read_to_string(bell.join("connector.toml")).unwrap();
        format!("{text}\n[webhook]\nsigning = \"stripe\"\n")
    })
    .unwrap();
    // Without a file too, what `new` wrote has something to make an event of.
    let mut dev = start(&["dev", "bell", "--deliver"]);
    dev.next(OUT, "  verified, and handed to the connector");
    dev.next(OUT, "  {\"events\":[{\"name\":\"sample!\",\"id\":\"sample\"");
    dev.next(ERR, "watching");
    assert_eq!(dev.interrupt().status, Some(0));
    let mut forged = start(&["dev", "bell", "--deliver", "--forged"]);
    let head = forged.next(OUT, "delivery sample: POST /bell");
    assert!(head.ends_with(", signed as `stripe` signs, with another secret"), "{head}");
    forged.next(OUT, "  stripe-signature: t=");
    let refused = forged.next(OUT, "  refused: no signature fits: ");
    assert!(refused.ends_with("; the connector is not called"), "{refused}");
    forged.next(ERR, "watching");
    assert_eq!(*forged.lines[OUT].lock().unwrap().last().unwrap(), refused, "nothing comes of it");
    assert_eq!(forged.interrupt().status, Some(0));

    // As a run of a connection: one that is verified, and none of one that is forged.
    let project = Project::new();
    project.config("[connections.example]\nconnector = \"acme/bell@^0.1.0-dev\"\nallow = \"requested\"\n");
    let config = project.path("portcullis.toml");
    let live = ["--config", config.to_str().unwrap(), "dev", "bell", "--connection", "example", "--deliver"];
    let live = [&live[..], &["bell/tests/delivery.json"]].concat();
    let mut dev = start(&live);
    dev.next(
        OUT,
        "  stripe: hmac-sha256 of `{timestamp}.{body}` in `stripe-signature` behind `v1=`, hex, its time in",
    );
    dev.next(ERR, "watching");
    project.approve("example", &in_registry_of(&project, "bell"));
    dev.next(OUT, "  verified, and handed to the connector");
    dev.next(OUT, "  succeeded, run run_");
    dev.next(OUT, "  {\"events\":[{\"name\":\"item.created!\"");
    dev.next(ERR, "watching");
    assert_eq!(dev.interrupt().status, Some(0));
    let mut dev = start(&[&live[..], &["--forged"]].concat());
    dev.next(OUT, "  refused: no signature fits: ");
    dev.next(ERR, "watching");
    assert_eq!(dev.interrupt().status, Some(0));
    let runs = project.runs(&[]);
    let runs: Vec<_> = runs.iter().map(|run| (&run["operation"], &run["outcome"])).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
}

/// The lines of a block, of which `…` stands for what is another one each time.
fn shown_in(document: &str, command: &str) -> Vec<String> {
    let (_, after) = document.split_once(&format!("$ {command}\n")).expect(command);
    let block = after.split("```").next().unwrap();
    block.lines().take_while(|line| !line.starts_with("$ ")).map(str::to_owned).collect()
}

#[test]
fn the_guide_shows_what_a_delivery_looks_like() {
    let author = Author::elsewhere();
    let guide = fs::read_to_string(checkout().join("docs/authors/dev.md")).unwrap();
    let delivered =
        "portcullis dev connectors/examples/orders --deliver connectors/examples/orders/tests/order.json";
    let _alone = guests::alone();
    for command in [delivered.to_owned(), format!("{delivered} --forged")] {
        let mut words = command.split(' ');
        assert_eq!(words.next(), Some("portcullis"));
        let mut dev = author.command(portcullis_tests::binary(), "");
        dev.current_dir(checkout()).args(words);
        let mut dev = Watched::start(dev);
        let lines = shown_in(&guide, &command);
        assert!(lines.len() >= 4, "{lines:?}");
        for line in lines {
            let mut parts = line.split('…');
            let first = parts.next().unwrap();
            let found = dev.next(OUT, first);
            let ends = parts.next_back().unwrap_or(first);
            assert!(found.starts_with(first) && found.ends_with(ends), "{line}\n{found}");
        }
        dev.next(ERR, "watching");
        assert_eq!(dev.interrupt().status, Some(0));
    }
}
