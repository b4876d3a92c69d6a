//! Promise: whatever goes wrong on the wire, the error's whole chain, the trace and the rows name no secret, even where the secret
//! is a part of the URL.

use crate::canary::{CANARY, clean, clean_run};
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http},
    vendor::{Next, reply},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::TcpListener};

/// Each path goes wrong in its own way.
fn broken() -> Vendor {
    Vendor::tls(&["api.vendor.test"], |asked, wire| {
        let bytes: &[u8] = match asked.path().trim_start_matches("/v1/") {
            "closed" => b"",
            "garbage" => b"\x00\x01\x02 nothing of HTTP\r\n\r\n",
            "half" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
            "chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "gzip" => b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
            "two-lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "large" => b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "away" => {
                let location = format!("https://elsewhere.test/?{}", asked.query());
                return reply(wire, 302, &[("Location", &location)], b"");
            }
            // Nothing comes, and the connection stays.
            "late" => return Next::Keep,
            _ => return reply(wire, 200, &[], b"fine"),
        };
        let _left = wire.write_all(bytes).and_then(|()| wire.flush());
        Next::Close
    })
}

const PATHS: [&str; 9] =
    ["closed", "garbage", "half", "chunk", "gzip", "two-lengths", "large", "away", "late"];

#[test]
fn what_goes_wrong_on_the_wire_names_no_secret() {
    let (vendor, plain) = (broken(), Vendor::plain(|_, wire| reply(wire, 200, &[], b"no TLS")));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for place in ["query = \"api_key\"", "header = \"X-Api-Key\""] {
        let hosts = ["api", "other-name", "plain", "nobody", "unresolved"];
        let rules = hosts.map(|host| format!("GET https://{host}.vendor.test/v1/**"));
        let case = Case {
            manifest: format!("{SLOT}{}", http(&rules, "credential = \"key\"\nredirect = \"follow\"")),
            credentials: format!(
                "[credentials.live]\nscheme = \"api-key\"\n{place}\nsecret = \"file:vendor.key\"\n"
            ),
            slots: "key = \"live\"".to_owned(),
            more: "capture = \"all\"".to_owned(),
            ..Case::default()
        };
        let mut case = case.to(&vendor, &["api.vendor.test", "other-name.vendor.test"]);
        for (host, port) in [("plain", plain.port()), ("nobody", nobody)] {
            case.connect_to.push((format!("{host}.vendor.test:443"), format!("127.0.0.1:{port}")));
        }
        let project = Project::new().always(&["--log-level", "trace"]);
        let component = case.component();
        project.config(&case.config()).install(&component).secret("vendor.key", CANARY);
        project.approve("probe", &component);
        let mut urls: Vec<String> = PATHS.map(|path| format!("https://api.vendor.test/v1/{path}")).into();
        urls.extend(hosts[1..].iter().map(|host| format!("https://{host}.vendor.test/v1/x")));
        let orders: Vec<Value> = urls
            .iter()
            .flat_map(|url| {
                ["send", "open", "download"].map(|by| json!({"url": url, "by": by, "timeout-ms": 700}))
            })
            .collect();
        let input = json!({"requests": orders}).to_string();
        let ran = project.run_with(&["--json", "call", "probe", "send-each", "-"], input.as_bytes());
        clean_run("a traced call", &ran);
        let answers = ran.json()["output"].as_array().expect("a list").clone();
        let kinds: BTreeSet<String> = answers
            .iter()
            .flat_map(|answer| [&answer["error"], &answer["ended"]["error"]])
            .filter_map(|kind| kind.as_str().map(str::to_owned))
            .collect();
        // All of them went wrong, and in different ways.
        assert!(kinds.len() >= 4, "{kinds:?}: {answers:#?}");
        assert!(vendor.saw(CANARY.as_bytes()) || place.starts_with("query"), "the secret was sent");
        for args in [&["--json", "logs"][..], &["logs", "--har"], &["--json", "runs"], &["runs"], &["logs"]] {
            clean_run(&args.join(" "), &project.run(args));
        }
        for (path, bytes) in project.bytes_below("data") {
            clean(&path.display().to_string(), &bytes);
        }
    }
}

/// A certificate is the vendor's text, and so is the name of a host that it told: the chain of what went wrong repeats both.
#[test]
fn what_a_vendor_made_the_chain_repeat_is_masked_in_the_row() {
    const LABEL: &str = "sk-live-zq7trwx9kpend";
    let vendor = Vendor::tls(&[&format!("{LABEL}.other.test")], |_, wire| reply(wire, 200, &[], b"fine"));
    let rules = ["GET https://api.vendor.test/**", "GET https://*.names.test/**"];
    let case =
        Case { manifest: format!("{SLOT}{}", http(&rules, "credential = \"key\"")), ..Case::default() };
    let project = case.bearer().to(&vendor, &["api.vendor.test"]).approved_with(LABEL);
    let order = |url: &str| json!({"requests": [{"url": url}]}).to_string();
    for (url, control) in [
        ("https://api.vendor.test/".to_owned(), "is only valid for"),
        (format!("https://{LABEL}.names.test/"), ".names.test"),
    ] {
        let ran = project.run_with(&["--json", "call", "probe", "send-each", "-"], order(&url).as_bytes());
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(LABEL), "{}\n{}", ran.stdout, ran.stderr);
        let rows = project.logs(&[]);
        let row = rows.last().unwrap().to_string();
        assert!(row.contains(control) && !row.contains(LABEL), "{row}");
    }
    // What a run was given is kept as it was given: here the second URL.
    for name in ["exchanges.db", "exchanges.db-wal"] {
        let bytes = std::fs::read(project.path("data").join(name)).unwrap_or_default();
        assert!(!bytes.windows(LABEL.len()).any(|window| window == LABEL.as_bytes()), "{name}");
    }
}
