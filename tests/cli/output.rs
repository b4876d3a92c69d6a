//! stdout is data; a denial shows the line to paste; nothing that a guest or vendor says moves the terminal.

use crate::snapshot;
use portcullis_tests::{
    Project, Ran, Vendor,
    case::{Case, http},
    corpora,
    project::finish,
    vendor::reply,
};
use serde_json::json;
use std::process::Stdio;

#[test]
fn a_denial_shows_what_to_paste() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"reached"));
    let manifest = http(&["GET https://api.vendor.test/**", "DELETE https://api.vendor.test/**"], "");
    let allow = vec!["GET https://api.vendor.test/**".to_owned()];
    let case = Case { manifest, allow: Some(allow), ..Case::default() }.to(&vendor, &["api.vendor.test"]);
    let project = case.approved();
    let ran = project.run(&[
        "call",
        "probe",
        "send",
        r#"{"method":"DELETE","url":"https://api.vendor.test/v1/things/1"}"#,
    ]);
    let denied = project.run(&["logs", "--status", "denied"]);
    snapshot!("denied-log", project, denied);
    let remedy = project.logs(&["--status", "denied"])[0]["remedy"].as_str().unwrap().to_owned();
    assert!(remedy.contains("DELETE https://api.vendor.test/v1/things/"), "{remedy}");
    assert_eq!(vendor.count(), 0);
    assert!(!ran.stdout.contains("DELETE"), "the guest learns no more than an id: {}", ran.stdout);

    // Pasted, it works.
    let lines: Vec<String> = remedy
        .lines()
        .filter_map(|line| line.split('"').nth(1))
        .filter(|line| line.contains("https://"))
        .map(str::to_owned)
        .collect();
    assert!(!lines.is_empty(), "{remedy}");
    let wider = Case { allow: Some(lines), ..case };
    project.config(&wider.config());
    let ran = project.run(&[
        "call",
        "probe",
        "send",
        r#"{"method":"DELETE","url":"https://api.vendor.test/v1/things/1"}"#,
    ]);
    assert!(ran.stdout.contains("\"status\":200"), "{ran:?}");
}

#[test]
fn nothing_moves_the_terminal() {
    let Some(bombs) = corpora("bombs") else { return };
    let hostile =
        String::from_utf8_lossy(&std::fs::read(bombs.join("log-injection.txt")).unwrap()).into_owned();
    let sent = hostile.clone();
    let vendor = Vendor::tls(&["api.vendor.test"], move |_, wire| {
        reply(wire, 500, &[("Content-Type", "text/plain")], sent.as_bytes())
    });
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        more: "capture = \"all\"".to_owned(),
        ..Case::default()
    };
    let project = case.to(&vendor, &["api.vendor.test"]).approved();
    let traced = |args: &[&str], input: &serde_json::Value| {
        project.run_with(&[&["--log-level", "trace"], args].concat(), input.to_string().as_bytes())
    };
    let mut all = vec![
        traced(
            &["call", "probe", "fail", "-"],
            &json!({"kind": "internal", "message": hostile, "details": json!({"m": hostile}).to_string()}),
        ),
        traced(&["call", "probe", "panic", "-"], &json!({"message": hostile})),
        traced(&["call", "probe", "log", "-"], &json!({"message": hostile})),
        traced(&["call", "probe", "send", "-"], &json!({"method": "GET", "url": "https://api.vendor.test/"})),
        traced(&["call", "probe", &hostile.replace('\0', ""), "-"], &json!({})),
        traced(&["call", "probe", "state-get", "-"], &json!({"key": hostile})),
    ];
    for args in [&["runs"][..], &["logs"], &["--json", "runs"], &["--json", "logs"]] {
        all.push(project.run(args));
    }
    for ran in all {
        for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            let moves = text.chars().find(|char| {
                (char.is_control() && *char != '\n' && *char != '\t')
                    || "\u{202e}\u{2028}\u{2029}".contains(*char)
            });
            assert_eq!(moves, None, "on {stream}:\n{text}");
        }
        for line in ran.stderr.lines() {
            assert!(!line.starts_with("{\"level\":\"info\",\"msg\":\"forged\""), "a forged record: {line}");
        }
    }
}

/// A project with a run and an exchange, and every command that prints data.
fn printing() -> (Vendor, Project, Vec<Vec<String>>) {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let case = Case { manifest: http(&["GET https://api.vendor.test/**"], ""), ..Case::default() };
    let case = case.to(&vendor, &["api.vendor.test"]);
    let project = case.approved();
    project.call("probe", "send", &json!({ "url": "https://api.vendor.test/" })).0.exits(0);
    let run = project.runs(&[])[0]["run_id"].as_str().unwrap().to_owned();
    let digest = case.component().digest;
    let commands = [
        &["--help"][..],
        &["--version"],
        &["connectors"],
        &["inspect", "test/probe"],
        &["runs"],
        &["runs", "show", &run],
        &["--json", "runs"],
        &["logs"],
        &["logs", "--har"],
        &["check", "probe"],
        &["--json", "check", "probe"],
        &["discover", "probe"],
        &["call", "probe", "echo", "{}"],
        &["--json", "call", "probe", "echo", "{}"],
        &["approve", "probe", "--yes", "--digest", &digest],
        &["revoke", "probe"],
    ];
    let owned = |args: &&[&str]| args.iter().map(|arg| (*arg).to_owned()).collect();
    (vendor, project, commands.iter().map(owned).collect())
}

/// Runs a command whose stdout is this.
fn run_into(project: &Project, args: &[String], stdout: impl Into<Stdio>) -> Ran {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    finish(project.command(&args).stdout(stdout).spawn().expect("portcullis starts"))
}

#[test]
fn data_that_stdout_did_not_take_is_an_error() {
    let (_vendor, project, commands) = printing();
    for args in commands {
        let lock = std::fs::read(project.path("portcullis.lock")).unwrap();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ran = run_into(&project, &args, full);
        ran.exits(3);
        assert!(ran.stderr.contains("stdout can't be written"), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("No space left"), "{args:?}: {}", ran.stderr);
        let last = &project.runs(&[])[0];
        if args.iter().any(|arg| ["check", "discover", "call"].contains(&arg.as_str())) {
            assert!(ran.stderr.contains(last["run_id"].as_str().unwrap()), "{args:?}: {}", ran.stderr);
            assert_eq!(last["outcome"], "succeeded", "{args:?}");
        }
        if args[0] == "--json" {
            let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
            assert_eq!(error["error"]["exit_code"], 3, "{args:?}");
        }
        let now = std::fs::read(project.path("portcullis.lock")).unwrap();
        match args[0].as_str() {
            "revoke" => assert_ne!(lock, now, "it is ended, whoever reads of it"),
            _ => assert_eq!(lock, now, "{args:?}: nobody approves what nobody could read"),
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let (_vendor, project, commands) = printing();
    for args in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = run_into(&project, &args, writer);
        ran.exits(0);
        let said = ran.stderr.lines().filter(|line| !line.starts_with("approved `probe`"));
        assert_eq!(said.collect::<Vec<_>>(), Vec::<&str>::new(), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_json_where_json_was_asked_for() {
    let project = Case::default().approved();
    for args in [
        &["--json", "aprove"][..],
        &["call", "--json"],
        &["--json", "read", "probe", "rows", "--resume", ""],
        &["--json", "read", "probe", "rows", "--resume", &"n".repeat(129)],
        &["--json", "read", "probe", "rows", "--resume", "a\u{1b}[31m"],
    ] {
        let ran = project.run(args);
        ran.exits(2);
        let error = &ran.json()["error"];
        assert_eq!(error["exit_code"], 2, "{error:#}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error:#}");
        assert_eq!(ran.stderr, "");
    }
    assert!(project.runs(&[]).is_empty());
    project.run(&["read", "probe", "rows", "--resume", &"ä".repeat(128)]);
    assert_eq!(project.runs(&[]).len(), 1, "a name that may be");
}

#[test]
fn a_validated_read_stops_in_front_of_what_does_not_fit() {
    let stream = "[streams.rows]\nschema = \"id-is-text.json\"\nprimary-key = [\"id\"]\n";
    let manifest = format!("{}\n{stream}", http(&["GET https://api.vendor.test/**"], ""));
    let project = Case { manifest, ..Case::default() }.approved();
    let ran = project.run(&["read", "probe", "rows", "--validate"]);
    ran.exits(1);
    assert_eq!(ran.stdout, "");
    snapshot!("drifted-read", project, ran);
    assert_eq!(project.runs(&[])[0]["reason"], "contract-drift");
    let as_it_is = project.run(&["read", "probe", "rows"]);
    as_it_is.exits(0);
    assert_eq!(as_it_is.lines().len(), 1);
}

#[test]
fn json_lines_are_whole() {
    let project = Case::default().approved();
    project.run(&["call", "probe", "echo", "{\"a\":1.10}"]).exits(0);
    let plain = project.run(&["call", "probe", "echo", "{\"a\":1.10,\"b\":12345678901234567890123}"]);
    assert_eq!(plain.stdout.trim(), "{\"a\":1.10,\"b\":12345678901234567890123}", "every digit is kept");
    for args in [
        &["--json", "connectors"][..],
        &["--json", "runs"],
        &["--json", "logs"],
        &["--json", "inspect", "test/probe"],
        &["--json", "check", "probe"],
    ] {
        let ran = project.run(args);
        ran.exits(0);
        ran.lines();
    }
    snapshot!("inspect", project, project.run(&["inspect", "test/probe"]));
    snapshot!("connectors", project, project.run(&["connectors"]));
}

#[test]
fn har_has_what_was_sent_and_what_was_refused() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        reply(wire, 200, &[("Content-Type", "application/json")], b"{\"id\":1}")
    });
    let manifest = http(&["GET,POST https://api.vendor.test/**"], "");
    let more = "capture = \"all\"".to_owned();
    let case = Case { manifest, more, ..Case::default() }.to(&vendor, &["api.vendor.test"]);
    let project = case.approved();
    for order in [
        json!({ "url": "https://api.vendor.test/v1/items?limit=2&flag" }),
        json!({ "method": "POST", "url": "https://api.vendor.test/v1/items", "body": "{\"n\":1}",
                "headers": [["content-type", "application/json"]] }),
        json!({ "url": "https://other.vendor.test/" }),
    ] {
        project.call("probe", "send", &order);
    }
    let ran = project.run(&["logs", "--har"]);
    ran.exits(0);
    let har: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(har["log"]["version"], "1.2");
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        for key in ["startedDateTime", "time", "request", "response", "cache", "timings"] {
            assert!(!entry[key].is_null(), "{key}: {entry:#}");
        }
        for key in
            ["method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize"]
        {
            assert!(!entry["request"][key].is_null(), "{key}: {entry:#}");
        }
        for key in ["status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL"] {
            assert!(!entry["response"][key].is_null(), "{key}: {entry:#}");
        }
    }
    let pair = |name: &str, value: &str| json!({ "name": name, "value": value });
    assert_eq!(entries[0]["request"]["queryString"], json!([pair("limit", "2"), pair("flag", "")]));
    assert_eq!(entries[0]["response"]["content"]["text"], "{\"id\":1}");
    assert_eq!(entries[0]["serverIPAddress"], "127.0.0.1");
    assert_eq!(
        entries[1]["request"]["postData"],
        json!({ "mimeType": "application/json", "text": "{\"n\":1}" })
    );
    assert_eq!(
        (&entries[2]["response"]["status"], &entries[2]["_portcullis"]["outcome"]),
        (&0.into(), &"denied".into())
    );
}
