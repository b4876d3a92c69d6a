//! Promise: with empty grants every host function denies, or reaches its own connection's, run's or component's data only. The
//! list of functions comes from the WIT itself; one that is missing from the table below fails the test.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, is_denied},
    checkout, guests, netns,
    packets::Packets,
    vendor::reply,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};

/// What a function does with empty grants.
enum Expect {
    /// Nothing: the guest that calls this action with this input gets this error.
    Refuses(&'static str, Value, &'static str),
    /// Only what this very connection stored, or this very component carries.
    Own,
    /// Can't be reached where the function before it refuses, or is not linked at all.
    Unreachable,
    /// The guest's own code, which the host calls.
    Guests,
}

fn url() -> Value {
    json!({"method": "GET", "url": "https://api.vendor.test/", "n": 1})
}

/// One entry for each function of `wit/0.1.0`.
fn table() -> Vec<(&'static str, Expect)> {
    use Expect::{Guests, Own, Refuses, Unreachable};
    vec![
        ("http.send", Refuses("send", url(), "denied")),
        ("http.send-all", Refuses("send-all", url(), "denied")),
        ("http.download", Refuses("download", url(), "denied")),
        ("http.open", Refuses("open", url(), "denied")),
        // There is none but of an `open` that was granted.
        ("http.body-stream.read", Unreachable),
        ("blobs.stat", Refuses("blob-stat", json!({"blob": "blob_of_another"}), "not-found")),
        ("blobs.read", Refuses("blob-read", json!({"blob": "blob_of_another"}), "not-found")),
        ("blobs.create", Own),
        ("blobs.writer.write", Own),
        ("blobs.finish", Own),
        ("state.get", Own),
        ("state.set", Own),
        ("state.delete", Own),
        ("state.list-keys", Own),
        ("assets.get", Own),
        ("log.log", Own),
        // Refused by name at approve without the capability, and with it bound to granted folders: see `files`.
        ("files.writer.write", Unreachable),
        ("files.create", Unreachable),
        ("files.commit", Unreachable),
        ("files.read", Unreachable),
        ("files.list-entries", Unreachable),
        ("files.remove", Unreachable),
        ("lifecycle.check", Guests),
        ("actions.invoke", Guests),
        ("source.discover", Guests),
        ("source.read", Guests),
        ("destination.write", Guests),
        ("destination.complete", Guests),
        ("webhook.handle", Guests),
        ("subscriptions.ensure", Guests),
        ("subscriptions.remove", Guests),
        ("migration.position", Guests),
        ("migration.config", Guests),
        ("migration.state", Guests),
    ]
}

/// `interface.function` and `interface.resource.method` of every file.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(checkout().join("wit/0.1.0")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let text: String =
            text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
        let (mut interface, mut resource) = (String::new(), None::<(String, usize)>);
        let mut depth = 0_usize;
        let spaced =
            text.replace('{', " { ").replace('}', " } ").replace(';', " ; ").replace(": func", " :func ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            match *word {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if resource.as_ref().is_some_and(|(_, within)| *within == depth) {
                        resource = None;
                    }
                }
                "interface" if depth == 0 => interface = words[at + 1].to_owned(),
                "resource" if words.get(at + 2) == Some(&"{") => {
                    resource = Some((words[at + 1].to_owned(), depth))
                }
                word if word.starts_with(":func") => {
                    let within = resource.as_ref().map_or(String::new(), |(name, _)| format!("{name}."));
                    found.insert(format!("{interface}.{within}{}", words[at - 1].trim_start_matches('%')));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_function_of_the_wit_is_in_the_table() {
    let listed: BTreeSet<String> = table().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(listed.len(), table().len(), "one entry each");
    assert_eq!(functions(), listed, "left the WIT, right the table");
}

fn empty() -> Project {
    Case { allow: Some(Vec::new()), ..Case::default() }.approved()
}

#[test]
fn with_empty_grants_every_way_out_refuses() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"reached"));
    let project = empty();
    for (name, expect) in table() {
        let Expect::Refuses(action, input, why) = expect else { continue };
        let (ran, report) = project.call("probe", action, &input);
        assert_eq!(report["outcome"], "succeeded", "{name}: {report:#}\n{}", ran.stderr);
        let answer = report["output"].as_array().map_or(&report["output"], |list| &list[0]);
        assert_eq!(answer["error"], why, "{name}: {answer}");
        // No more than an exchange id, or nothing: no status, no stream, no blob.
        assert!(why == "not-found" || is_denied(answer), "{name}: {answer}");
        assert_eq!(answer.as_object().map(serde_json::Map::len), Some(2), "{name}: {answer}");
        assert!(project.bytes_below("data/spool").is_empty(), "{name} kept something");
    }
    assert_eq!(vendor.connects(), 0);
}

#[test]
fn with_empty_grants_no_packet_leaves() {
    netns::isolated(
        || drop(guests::probe("")),
        || {
            let packets = Packets::on_lo();
            let project = empty();
            for (_, expect) in table() {
                if let Expect::Refuses(action, input, _) = expect {
                    project.call("probe", action, &input);
                }
            }
            project.call("probe", "sockets", &json!({}));
            assert_eq!(packets.take(), [], "no lookup, no connect, no datagram");
        },
    );
}

/// `wasi:http` has one function that reaches outside; the others make and read what it takes and gives.
#[test]
fn with_empty_grants_wasi_http_refuses() {
    netns::isolated(
        || drop(guests::fetch("")),
        || {
            let project =
                Case { allow: Some(Vec::new()), ..Case::default() }.fetching("a secret that nobody asks for");
            let packets = Packets::on_lo();
            let requests = json!({"requests": [
                {"method": "GET", "authority": "api.vendor.test", "path": "/"},
                {"method": "POST", "scheme": "http", "authority": "127.0.0.1:80", "path": "/", "body": "x"},
            ]});
            for action in ["fetch", "fetch-all"] {
                let (ran, report) = project.call("probe", action, &requests);
                let denied = json!({"error": "HttpRequestDenied"});
                assert_eq!(report["output"], json!([denied, denied]), "{report:#}\n{}", ran.stderr);
            }
            assert_eq!(packets.take(), [], "no lookup, no connect, no datagram");
        },
    );
}

#[test]
fn wasi_is_linked_empty() {
    let project = empty();
    let (_, report) = project.call("probe", "sockets", &json!({}));
    assert_eq!(
        report["output"],
        json!({"tcp": false, "tcp6": false, "udp": false, "name": false}),
        "{report:#}"
    );
    let (_, report) = project.call("probe", "environment", &json!({}));
    let seen = &report["output"];
    assert_eq!(
        (&seen["variables"], &seen["arguments"], &seen["folders"]),
        (&json!([]), &json!([]), &json!([])),
        "{report:#}"
    );
    assert_eq!((&seen["file"], &seen["cwd"]), (&json!(false), &Value::Null));
    assert!(seen["stdin"].as_i64().unwrap() <= 0);
}

/// Two connections of the same connector beside each other.
fn neighbours() -> Project {
    let component = guests::probe("");
    let project = Project::new();
    let config = Case { allow: Some(Vec::new()), ..Case::default() }.config();
    let other = config.replace("connections.probe", "connections.other");
    project.config(&format!("{config}\n{other}")).install(&component);
    project.approve("probe", &component).approve("other", &component);
    project
}

#[test]
fn state_is_the_connections_own() {
    let project = neighbours();
    let set = |connection: &str, key: &str, value: &str| {
        let (_, report) = project.call(connection, "state-set", &json!({"key": key, "value": value}));
        assert!(report["output"]["version"].is_u64(), "{report:#}");
    };
    let get = |connection: &str, key: &str| {
        project.call(connection, "state-get", &json!({"key": key})).1["output"].clone()
    };
    let keys = |connection: &str| {
        project.call(connection, "state-list", &json!({"prefix": ""})).1["output"]["keys"].clone()
    };
    set("probe", "shared", "of probe");
    assert_eq!(get("probe", "shared")["value"], "of probe");
    assert_eq!((get("other", "shared"), keys("other")), (Value::Null, json!([])));
    set("other", "shared", "of other");
    project.call("other", "state-delete", &json!({"key": "shared"}));
    assert_eq!(
        (get("probe", "shared")["value"].clone(), keys("probe")),
        (json!("of probe"), json!(["shared"]))
    );
    // Keys that could mean another place, were they joined to a path or a prefix.
    for key in [
        "../probe/shared",
        "probe/shared",
        "other:shared",
        "shar%65d",
        "SHARED",
        "shared ",
        "s\u{200b}hared",
        "%",
        "_hared",
    ] {
        assert_eq!(get("other", key)["value"], Value::Null, "{key:?}");
    }
    let odd = project.call("other", "state-get", &json!({"key": "shared\u{0}"})).1;
    assert_eq!(odd["output"]["value"], Value::Null, "{odd:#}");
}

#[test]
fn assets_and_logs_are_the_components_own() {
    let project = empty();
    for name in ["manifest", "portcullis:manifest", "../manifest", "name", "producers", ""] {
        let (_, report) = project.call("probe", "asset", &json!({"name": name}));
        assert_eq!(report["output"], Value::Null, "{name}: {report:#}");
    }
    let (_, report) = project.call("probe", "log", &json!({"message": "to whom it may concern"}));
    assert_eq!(report["outcome"], "succeeded");
}
