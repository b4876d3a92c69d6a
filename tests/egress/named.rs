//! Promise: a URL that a vendor's answer named passes exactly, in that run, without credential, and nothing beside it does; its
//! query is in no sink.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http, is_denied, order},
    vendor::{contains, reply},
};
use serde_json::{Value, json};

const SECRET: &str = "sk_live_named_82kd91s";
const SIGNATURE: &str = "c2lnbmF0dXJlLW9mLWEtdXJs";
const API: &str = "https://api.vendor.test";
const STORE: &str = "https://a.files.test";
const FILE: &[u8] = b"each byte of the export\x00\x01";

fn file(n: usize) -> String {
    format!("{STORE}/exports/{n}?sig={SIGNATURE}&n={n}")
}

/// Names URLs in every place that it is asked for.
fn api() -> Vendor {
    Vendor::tls(&["api.vendor.test"], |asked, wire| {
        let json = [("Content-Type", "application/json")];
        let say = |wire: &mut dyn std::io::Write, status, body: Value| {
            reply(wire, status, &json, body.to_string().as_bytes())
        };
        match asked.path() {
            "/v1/exports/one" => say(wire, 200, json!({"links": {"download": file(1)}})),
            "/v1/exports/failed" => say(wire, 404, json!({"links": {"download": file(1)}})),
            "/v1/exports/moved" => {
                reply(wire, 302, &[("Location", &file(1)), ("Content-Type", "application/json")], b"{}")
            }
            "/v1/exports/many" => {
                let urls: Vec<_> = (1..=65).map(|n| json!({"href": file(n)})).collect();
                say(wire, 200, json!({"files": urls}))
            }
            "/v1/exports/inside" => {
                say(wire, 200, json!({"links": {"download": "https://10.0.0.1/exports/1"}}))
            }
            "/v1/other" => say(wire, 200, json!({"links": {"download": file(1)}})),
            "/v1/uploads" => reply(wire, 201, &[("Location", &format!("{STORE}/up/1?sig={SIGNATURE}"))], b""),
            _ => reply(wire, 200, &[], b""),
        }
    })
}

fn store() -> Vendor {
    Vendor::tls(&["a.files.test"], |asked, wire| match asked.path() {
        "/exports/2" => reply(wire, 302, &[("Location", "https://b.files.test/exports/1")], b""),
        _ => reply(wire, 200, &[], FILE),
    })
}

fn named(allow: &str, of: &str, at: &str, more: &str) -> String {
    format!(
        "[[http]]\nfrom-response = {{ allow = \"{allow}\", of = \"{of}\", at = {at} }}\nwhy = \"a test\"\n{more}\n"
    )
}

fn case(api: &Vendor, store: &Vendor) -> Case {
    let manifest = [
        SLOT.to_owned(),
        http(&["GET,POST https://api.vendor.test/v1/**"], "credential = \"key\""),
        named(
            "GET https://*.files.test/exports/*",
            "GET https://api.vendor.test/v1/exports/*",
            "[\"/links/download\", \"/files/*/href\"]",
            "redirect = \"follow\"",
        ),
        named(
            "GET https://10.0.0.1/**",
            "GET https://api.vendor.test/v1/exports/*",
            "\"/links/download\"",
            "",
        ),
        named(
            "PUT https://a.files.test/up/**",
            "POST https://api.vendor.test/v1/uploads",
            "\"header:location\"",
            "",
        ),
    ];
    let case = Case { manifest: manifest.concat(), more: "capture = \"all\"".to_owned(), ..Case::default() };
    case.bearer().to(api, &["api.vendor.test"]).to(store, &["a.files.test", "b.files.test"])
}

fn ask(path: &str) -> Value {
    order("GET", &format!("{API}{path}"))
}

fn by(way: &str, mut order: Value) -> Value {
    order["by"] = json!(way);
    order["keep"] = json!(true);
    order
}

#[test]
fn what_an_answer_named_is_fetched_by_every_way_and_bare() {
    let (api, store) = (api(), store());
    let project = case(&api, &store).approved_with(SECRET);
    for way in ["send", "send-all", "open", "download"] {
        for naming in ["send", "send-all", "open", "download"] {
            store.clear();
            let orders = [by(naming, ask("/v1/exports/one")), by(way, order("GET", &file(1)))];
            let answers = project.send_each(&orders);
            assert_eq!(answers[1]["status"], 200, "{naming} {way}: {answers:#?}");
            assert_eq!(answers[1]["body"], String::from_utf8_lossy(FILE).as_ref());
            let asked = store.asked();
            assert_eq!(asked[0].target, format!("/exports/1?sig={SIGNATURE}&n=1"));
            assert!(asked[0].header("authorization").is_none() && !store.saw(SECRET.as_bytes()));
        }
    }
    let mut put = order("PUT", &format!("{STORE}/up/1?sig={SIGNATURE}"));
    put["body"] = json!("part");
    let answers = project.send_each(&[order("POST", &format!("{API}/v1/uploads")), put]);
    assert_eq!(answers[1]["status"], 200, "{answers:#?}");
}

#[test]
fn nothing_else_passes() {
    let (api, store) = (api(), store());
    let project = case(&api, &store).approved_with(SECRET);
    let twins = [
        order("GET", &file(2)),
        order("GET", &format!("{STORE}/exports/1?n=1&sig={SIGNATURE}")),
        order("GET", &format!("{STORE}/exports/1")),
        order("GET", &file(1).replace("a.files", "b.files")),
        order("POST", &file(1)),
        order("HEAD", &file(1)),
        order("GET", "https://10.0.0.1/exports/1"),
    ];
    let orders = [&[ask("/v1/exports/one"), ask("/v1/exports/inside")][..], &twins].concat();
    for (order, answer) in orders.iter().zip(project.send_each(&orders)).skip(2) {
        assert!(is_denied(&answer), "{order}: {answer}");
    }
    assert_eq!(store.connects(), 0);
    let row =
        &project.logs(&[]).into_iter().find(|row| row["url"].as_str().unwrap().contains("10.0.0.1")).unwrap();
    assert!(row["detail"].to_string().contains("10.0.0.1") || row.to_string().contains("private"), "{row}");
    // Named by an error, by a redirect, by another rule's answer, or in another run.
    for path in ["/v1/exports/failed", "/v1/exports/moved", "/v1/other", "/v1/exports/none"] {
        let answers = project.send_each(&[ask(path), order("GET", &file(1))]);
        assert!(is_denied(&answers[1]), "{path}: {answers:#?}");
    }
    // The 65th is not kept, and the first are.
    let answers =
        project.send_each(&[ask("/v1/exports/many"), order("GET", &file(65)), order("GET", &file(64))]);
    assert!(is_denied(&answers[1]) && answers[2]["status"] == 200, "{answers:#?}");
    // A hop from a URL that was named needs a rule of its own.
    let answers = project.send_each(&[ask("/v1/exports/many"), order("GET", &file(2))]);
    assert!(is_denied(&answers[1]), "{answers:#?}");
    assert_eq!(
        store.asked().iter().map(|asked| asked.path().to_owned()).collect::<Vec<_>>(),
        ["/exports/64", "/exports/2"]
    );
}

#[test]
fn a_languages_own_fetch_goes_the_same_way() {
    let (api, store) = (api(), store());
    let project = case(&api, &store).fetching(SECRET);
    let get = |authority: &str, path: &str| json!({"method": "GET", "authority": authority, "path": path});
    let target = format!("/exports/1?sig={SIGNATURE}&n=1");
    let orders = [
        get("api.vendor.test", "/v1/exports/one"),
        get("a.files.test", &target),
        get("a.files.test", "/exports/1"),
    ];
    let (ran, report) = project.call("probe", "fetch", &json!({"requests": orders}));
    let output = &report["output"];
    assert_eq!(
        (&output[1]["status"], &output[2]["error"]),
        (&json!(200), &json!("HttpRequestDenied")),
        "{report:#}\n{}",
        ran.stderr
    );
    assert_eq!((store.count(), store.saw(SECRET.as_bytes())), (1, false));
}

fn sinks(project: &Project) -> Vec<(String, Vec<u8>)> {
    let files = project.bytes_below("data").into_iter();
    let mut sinks: Vec<_> = files.map(|(path, bytes)| (path.display().to_string(), bytes)).collect();
    for args in [&["--json", "logs"][..], &["logs"], &["logs", "--har"], &["--json", "runs"], &["runs"]] {
        let ran = project.run(args);
        sinks.push((args.join(" "), [ran.stdout, ran.stderr].concat().into_bytes()));
    }
    sinks
}

fn backwards(mut order: Value) -> Value {
    order["url-backwards"] = order["url"].take().as_str().unwrap().chars().rev().collect::<String>().into();
    order
}

#[test]
fn its_query_is_in_no_sink() {
    let (api, store) = (api(), store());
    let project = case(&api, &store).approved_with(SECRET).always(&["--log-level", "trace"]);
    let put = order("PUT", &format!("{STORE}/up/1?sig={SIGNATURE}"));
    let orders = json!([
        ask("/v1/exports/one"),
        ask("/v1/exports/many"),
        ask("/v1/exports/failed"),
        ask("/v1/exports/moved"),
        by("download", order("GET", &file(1))),
        order("GET", &file(65)),
        order("POST", &file(1)),
        order("POST", &format!("{API}/v1/uploads")),
        put,
        order("GET", &file(2)),
    ]);
    // The input is the operator's own, and stored as it is given.
    let orders: Vec<Value> = orders.as_array().unwrap().iter().cloned().map(backwards).collect();
    for dry in [&[][..], &["--dry-run"]] {
        let input = json!({"requests": orders, "then": "echo", "input": {}}).to_string();
        let args = [&["--json", "call"], dry, &["probe", "send-then", "-"]].concat();
        let ran = project.run_with(&args, input.as_bytes());
        for (sink, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            assert!(!text.contains(SIGNATURE), "{dry:?} {sink}: {text}");
        }
    }
    assert!(store.saw(SIGNATURE.as_bytes()), "it was sent");
    let rows = project.logs(&[]);
    let shown = rows.iter().filter(|row| row["url"] == format!("{STORE}/exports/1?***")).count();
    assert!(shown >= 2, "{rows:#?}");
    for (sink, bytes) in sinks(&project) {
        assert!(!contains(&bytes, SIGNATURE.as_bytes()), "{sink}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn an_operator_reads_it_and_approves_each_change() {
    let (api, store) = (api(), store());
    let case = case(&api, &store);
    let project = case.project();
    project.secret("vendor.key", SECRET);
    let asked = project.run(&["approve", "probe"]).stdout;
    for line in [
        "GET https://*.files.test/exports/*  [redirects are followed",
        "EXFILTRATION CHANNEL: only URLs that answers to `GET https://api.vendor.test/v1/exports/*` name at `/links/download` or `/files/*/href`; without credential",
    ] {
        assert!(asked.contains(line), "{asked}");
    }
    project.approve("probe", &case.component());
    let lock = std::fs::read_to_string(project.path("portcullis.lock")).unwrap();
    for (from, to, field) in [
        ("\"/links/download\", ", "", "`at`"),
        (
            "https://api.vendor.test/v1/exports/*\"\nat = [\"/links/download\", \"/files/*/href\"]",
            "https://api.vendor.test/v1/**\"\nat = [\"/links/download\", \"/files/*/href\"]",
            "`of`",
        ),
        ("https://*.files.test/exports/*", "https://a.files.test/exports/*", "`allow`"),
    ] {
        assert!(lock.contains(from), "{from}: {lock}");
        project.file("portcullis.lock", lock.replacen(from, to, 1).as_bytes());
        let ran = project.run(&["check", "probe"]);
        assert!(
            ran.status != Some(0) && ran.stderr.contains(&format!("{field} is not what was approved")),
            "{}",
            ran.stderr
        );
    }
    project.file("portcullis.lock", lock.as_bytes());
    let denied = project.send(&order("GET", &file(1)));
    assert!(is_denied(&denied));
    let told = project.run(&["logs"]).stdout + &project.logs(&[])[0].to_string();
    assert!(told.contains("named exactly this URL at `/links/download`"), "{told}");
}
