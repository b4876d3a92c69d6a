//! The tutorial as its reader goes through it: every file is written as shown, every command run as shown, in an empty folder, with
//! a terminal in front of it; and what is shown as output came out. In place of the vendor stands a double: the config gets the
//! lines that lead there, and nothing else is added.

use crate::Author;
use portcullis_tests::{
    Asked, Vendor,
    authority::authority,
    binary, checkout, guests,
    vendor::{reply, reply_json},
};
use serde_json::json;
use std::{
    collections::VecDeque,
    fs,
    io::Write,
    os::fd::{FromRawFd, OwnedFd},
    process::Stdio,
};

/// Where the source reads, and where the vendor is that `new` writes for.
const HOSTS: [&str; 2] = ["api.open-meteo.com", "api.example.com"];

/// A fenced block: what stands behind the fence, and its text.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for line in document.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(info), None) => {
                let (language, file) =
                    info.split_once(' ').map_or((info, None), |(l, f)| (l, Some(f.to_owned())));
                open = Some(Block { language: language.to_owned(), file, text: String::new() });
            }
            (None, Some(block)) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "the last fence is closed");
    found
}

/// `$ COMMAND` and the lines below it.
fn commands(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command, Vec::new())),
            (None, Some((_, output))) => output.push(line),
            (None, None) => panic!("output before a command: {line}"),
        }
    }
    found
}

/// Whether a line is as shown; `…` is any text.
fn is_shown(line: &str, shown: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return line.trim_end() == shown.trim_end();
    }
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A terminal with this typed into it: its inner side.
#[expect(unsafe_code, reason = "std makes no terminals")]
fn terminal(typed: &str) -> (OwnedFd, OwnedFd) {
    let (mut outer, mut inner) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: both pointers live through the call, the others may be null; what it gives is owned by nobody else.
    let (outer, inner) = unsafe {
        assert_eq!(libc::openpty(&raw mut outer, &raw mut inner, none, none.cast(), none.cast()), 0);
        (OwnedFd::from_raw_fd(outer), OwnedFd::from_raw_fd(inner))
    };
    fs::File::from(outer.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
    (outer, inner)
}

fn vendor() -> Vendor {
    let answer = |asked: &Asked, wire: &mut dyn Write| match (&*asked.method, &*asked.target) {
        ("GET", "/v1/forecast?latitude=52.52&longitude=13.41&hourly=temperature_2m") => {
            let columns =
                json!({"time": ["2026-03-01T14:00", "2026-03-01T15:00"], "temperature_2m": [7.25, 6.5]});
            reply_json(wire, &json!({ "hourly": columns }))
        }
        ("POST", "/v1/items") => reply_json(wire, &json!({"id": "c", "updated_at": "2026-03-03"})),
        ("PUT", "/v1/rows/a") => reply_json(wire, &json!({})),
        ("PUT", "/v1/rows/b") => reply(wire, 422, &[], b"{}"),
        other => panic!("nobody asks for {other:?}"),
    };
    Vendor::tls(&HOSTS, answer)
}

/// The config as shown, with the lines that lead to the double, where the connector reaches anything.
fn leading(config: &str, vendor: &Vendor) -> String {
    let header = config.lines().find_map(|line| line.strip_prefix("[connections.")).unwrap();
    let connection = header.trim_end_matches(']');
    let host = match connection {
        "berlin" => HOSTS[0],
        "bell" => return config.to_owned(),
        _ => HOSTS[1],
    };
    format!(
        "{config}[connections.{connection}.network]\nconnect-to = {{ \"{host}:443\" = \"127.0.0.1:{}\" }}\n\
         ca-file = \"ca.pem\"\naddresses = [\"127.0.0.1/32\"]\n",
        vendor.port()
    )
}

#[test]
fn every_command_of_the_tutorial_does_what_it_shows() {
    let vendor = vendor();
    let ran = walk("tutorial.md", &vendor, |file, text| {
        let example = checkout().join("connectors/examples/weather").join(file);
        assert_eq!(fs::read_to_string(&example).unwrap(), text, "{}", example.display());
    });
    assert!(ran >= 30, "the commands are found: {ran}");
    assert_eq!(vendor.count(), 5, "`check`, `read`, one `call`, two records");
}

/// Writes every file of a document of docs/authors and runs every command; how many there were. `seen` is told of each file
/// that is not the operator's.
pub(crate) fn walk(document: &str, vendor: &Vendor, seen: impl Fn(&str, &str)) -> usize {
    let document = fs::read_to_string(checkout().join("docs/authors").join(document)).unwrap();
    let author = Author::new();
    let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let (mut folder, mut ran, mut refusal) = (String::new(), 0, String::new());
    let _alone = guests::alone();
    for block in blocks(&document) {
        if let Some(file) = &block.file {
            let mut text = block.text.clone();
            if file == "portcullis.toml" {
                fs::write(author.path(&folder).join("ca.pem"), authority().pem()).unwrap();
                text = leading(&text, vendor);
            } else {
                seen(file, &text);
            }
            fs::write(author.path(&folder).join(file), text).unwrap();
            continue;
        }
        if block.language == "text" {
            let shown: Vec<&str> = block.text.lines().map(str::trim).collect();
            let told: Vec<&str> = refusal.lines().map(str::trim).collect();
            assert_eq!(told, shown, "what `build` said last");
            continue;
        }
        assert_eq!(block.language, "console");
        for (command, shown) in commands(&block.text) {
            if let Some(to) = command.strip_prefix("cd ") {
                folder = format!("{folder}{to}/");
                continue;
            }
            let (_outer, inner) = terminal("yes\n");
            let mut shell = author.command("sh", &folder);
            let output =
                shell.args(["-c", command]).env("PATH", &path).stdin(Stdio::from(inner)).output().unwrap();
            let (stdout, stderr) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "$ {command}\n{stdout}\n{stderr}");
            let mut lines: VecDeque<&str> = stdout.lines().collect();
            for shown in shown {
                let at =
                    lines.iter().position(|line| is_shown(line, shown) || is_shown(line.trim_start(), shown));
                let at =
                    at.unwrap_or_else(|| panic!("$ {command}\nno line `{shown}` in\n{stdout}\n{stderr}"));
                lines.drain(..=at);
            }
            if command.contains("|| echo \"refused\"") {
                refusal = stderr.into_owned();
            }
            ran += 1;
        }
    }
    ran
}

#[test]
fn what_is_shown_is_compared() {
    assert!(is_shown("size     417 bytes", "size     … bytes"));
    assert!(!is_shown("size     417 byte", "size     … bytes"));
    assert!(!is_shown("roles    action", "roles    source"));
    assert!(is_shown("ok. 2 passed; 0", "ok. 2 passed; …"));
    assert_eq!(commands("$ a\nb\n$ c\n"), [("a", vec!["b"]), ("c", vec![])]);
}
