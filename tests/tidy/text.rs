//! Words and calls that have no place here, and calls that have one.
use crate::{files, host, none, read, source, texts};

/// Calls that leave the process, and the one folder that may make them.
const WAYS_OUT: [&str; 12] = [
    "reqwest",
    "hyper::client",
    "hyper_util::client",
    "hickory_resolver",
    "TcpStream::connect",
    "TcpSocket::new",
    "UdpSocket",
    "UnixStream::connect",
    "lookup_host",
    "to_socket_addrs",
    "getaddrinfo",
    "ToSocketAddrs",
];

/// The socket in the data folder by which a command asks the process that serves: it leaves no machine.
const CONTROL: (&str, &str) = ("UnixStream::connect", "host/server/src/control.rs");

#[test]
fn there_is_one_way_out() {
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| source.ships()) {
        if !source.path.starts_with("host/egress/src/dial") {
            let ways = WAYS_OUT.iter().filter(|way| (**way, source.path.as_str()) != CONTROL);
            faults.extend(ways.flat_map(|way| source.find(way)));
        }
    }
    none("network calls outside `egress/dial`", faults);
}

#[test]
fn secrets_are_exposed_where_they_are_attached() {
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| source.ships()) {
        if !source.path.starts_with("host/egress/src/") && !source.path.starts_with("host/secrets/src/") {
            faults.extend(source.find(".expose"));
            faults.extend(source.find("Secret::expose"));
        }
    }
    none("`Secret::expose` outside `secrets` and `egress`", faults);
}

#[test]
fn nothing_a_guest_or_a_file_sends_panics() {
    const PANICS: [&str; 7] =
        [".unwrap()", ".expect(\"", ".unwrap_err()", ".expect_err(\"", "todo!(", "unimplemented!(", "dbg!("];
    let sources = host();
    let shipped = sources.iter().filter(|source| source.ships());
    none(
        "panics outside tests",
        shipped.flat_map(|source| PANICS.iter().flat_map(|panic| source.find(panic))).collect(),
    );
}

#[test]
fn errors_are_types() {
    let sources = host();
    let shipped = sources.iter().filter(|source| source.ships());
    let faults = shipped
        .flat_map(|source| source.find("Result<").into_iter().filter(|line| line.contains(", String>")));
    // A map's values may be strings: what counts is the error of a `Result`.
    none("`Result<_, String>`", faults.filter(|line| is_string_error(line)).collect());
}

fn is_string_error(line: &str) -> bool {
    line.match_indices("Result<").any(|(at, _)| {
        let (mut depth, mut comma) = (0, None);
        for (i, byte) in line.bytes().enumerate().skip(at + 6) {
            match byte {
                b'<' | b'(' | b'[' => depth += 1,
                b'>' if line.as_bytes()[i - 1] == b'-' => {}
                b'>' | b')' | b']' => depth -= 1,
                b',' if depth == 1 => comma = Some(i),
                _ => {}
            }
            if depth == 0 {
                return comma.is_some_and(|comma| line[comma + 1..i].trim() == "String");
            }
        }
        false
    })
}

/// Features and failpoints: the shipped code is the tested code.
#[test]
fn the_guard_has_no_second_form() {
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| !source.is_test) {
        faults.extend(source.find("feature ="));
        if source.path.starts_with("host/grants/") || source.path.starts_with("host/egress/src/dial") {
            faults.extend(source.find("failpoints"));
            faults.extend(source.find("debug_assertions"));
        }
    }
    none("code that a build setting changes", faults);
}

#[test]
fn tests_run_and_do_not_sleep() {
    let mut faults = Vec::new();
    for folder in ["host", "tests", "sdk", "connectors"] {
        for source in source::all(files(folder, &[".rs"])) {
            // A guest does what its test tells it to.
            if source.path.starts_with("tests/guests/") && source.path != "tests/guests/main.rs" {
                continue;
            }
            // Tests are what is looked at here, so the text is read, not the code without them.
            for (at, line) in source.text.lines().enumerate() {
                let line = line.trim_start();
                let ignored = line.starts_with("#[ignore");
                let sleeps =
                    (folder == "tests" || source.is_test) && line.contains(concat!("thread::", "sleep("));
                if ignored || sleeps {
                    faults.push(format!("{}:{}: {line}", source.path, at + 1));
                }
            }
        }
    }
    none("tests that are ignored, or that sleep", faults);
}

/// What is declared: names that say nothing, and synonyms of words that have one meaning here.
#[test]
fn names_say_what_they_are() {
    const EMPTY: [&str; 5] = ["manager", "helper", "helpers", "utils", "common"];
    const SYNONYMS: [&str; 6] = ["plugin", "plugins", "integration", "integrations", "job", "account"];
    const DECLARES: [&str; 8] = ["struct ", "enum ", "trait ", "type ", "fn ", "mod ", "const ", "static "];
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| !source.is_test) {
        for (at, line) in source.code.lines().enumerate() {
            let Some(name) = DECLARES.iter().find_map(|word| declared(line, word)) else { continue };
            let words = words(name);
            let banned =
                words.iter().any(|word| EMPTY.contains(&word.as_str()) || SYNONYMS.contains(&word.as_str()));
            let getter = line.contains("fn ") && name.starts_with("get_");
            if banned || getter {
                faults.push(format!("{}:{}: `{name}`", source.path, at + 1));
            }
        }
        let folders = source.path.trim_end_matches(".rs").split('/');
        if folders.into_iter().any(|part| EMPTY.contains(&part) || SYNONYMS.contains(&part)) {
            faults.push(source.path.clone());
        }
    }
    none("names that say nothing, or that mean a word of the vocabulary", faults);
}

fn declared<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let at = line.find(word)?;
    let before = line[..at].chars().next_back();
    if before.is_some_and(|c| !c.is_whitespace() && c != ')') {
        return None;
    }
    let name = &line[at + word.len()..];
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    (end > 0).then_some(&name[..end])
}

/// `RunManager`, `run_manager` and `RUN_MANAGER` as words.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && lower_before) {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().expect("one at least").extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words
}

#[test]
fn prose_uses_the_vocabulary() {
    let mut faults = Vec::new();
    for path in texts().into_iter().filter(|path| !path.starts_with("tests/") && !path.ends_with(".json")) {
        for (at, line) in read(&path).lines().enumerate() {
            let lower = line.to_lowercase();
            if lower.split(|c: char| !c.is_alphanumeric()).any(|word| word == "plugin" || word == "plugins") {
                faults.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    none("`plugin`, where `connector` is meant", faults);
}

/// The repository speaks of the product alone, and builds in any folder.
#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let needles =
        [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!(".libr", "ary/"), concat!("/ro", "ot/.")];
    let mut faults = Vec::new();
    for path in texts() {
        for (at, line) in read(&path).lines().enumerate() {
            if needles.iter().any(|needle| line.contains(needle)) {
                faults.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    none("paths of one machine", faults);
}

#[test]
fn words_of_names() {
    assert_eq!(words("RunManager"), ["run", "manager"]);
    assert_eq!(words("job_count"), ["job", "count"]);
    assert!(is_string_error("fn a() -> Result<Vec<u8>, String> {"));
    assert!(!is_string_error("fn a() -> Result<BTreeMap<String, String>, Error> {"));
}
