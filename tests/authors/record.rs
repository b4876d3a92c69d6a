//! `test --record`: a cassette of a live run. What was recorded replays at once; no secret and no sensitive value is in it, in any
//! encoding; what can't be recorded is said, and nothing is written.

use crate::{Author, both};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_tests::{
    Asked, Project, Vendor,
    canary::{CANARY, clean, needles},
    checkout,
    guests::{self, Installed},
    vendor::{Next, contains, reply},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Output},
};

const HOST: &str = "api.example.com";
const EMAIL: &str = "ada.lovelace@sensitive.test";

/// An operator's project for the connector `acme/weather`, with the canary as its secret.
fn project(component: &Installed, vendor: &Vendor, scheme: &str) -> Project {
    let project = Project::new();
    project.secret("example.key", CANARY).install(component).config(&format!(
        "[credentials.example]\n{scheme}\nsecret = \"file:example.key\"\n\n\
         [connections.example]\nconnector = \"acme/weather@^0.1\"\ncredentials = {{ api-key = \"example\" }}\n\
         allow = \"requested\"\n[connections.example.network]\nconnect-to = {{ \"{HOST}:443\" = \"127.0.0.1:{}\" }}\n\
         ca-file = \"ca.pem\"\naddresses = [\"127.0.0.1/32\"]\n",
        vendor.port()
    ));
    project
}

fn built(author: &Author) -> Installed {
    let told = author.json("", &["build", "weather"]);
    Installed::of(fs::read(author.path("").join(told["file"].as_str().unwrap())).unwrap())
}

fn record(author: &Author, project: &Project, args: &[&str]) -> Output {
    let mut command: Command = author.command(portcullis_tests::binary(), "");
    command.arg("--config").arg(project.path("portcullis.toml"));
    command.args(["test", "weather", "--record", "example"]).args(args).output().unwrap()
}

fn stderr(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

fn noisy(wire: &mut dyn Write, body: &str) -> Next {
    let headers = [
        ("Content-Type", "application/json"),
        ("Date", "Sun, 01 Mar 2026 10:00:00 GMT"),
        ("Set-Cookie", "session=9f2c"),
        ("X-Request-Id", "req_1"),
        ("Link", "<https://a.test>; rel=a"),
        ("Link", "<https://b.test>; rel=b"),
    ];
    reply(wire, 200, &headers, body.as_bytes())
}

#[test]
fn what_was_recorded_replays_at_once() {
    let author = Author::new();
    let sdk = checkout().join("sdk/rust");
    let roles = ["--role", "source", "--role", "action"];
    author
        .json("", &[&["new", "acme/weather", "--sdk-path", sdk.to_str().unwrap()][..], &roles[..]].concat());
    // The cassettes that come with it are not what this is about.
    fs::remove_dir_all(author.path("weather/tests")).unwrap();
    let _alone = guests::alone();
    let component = built(&author);
    let vendor = Vendor::tls(&[HOST], |asked: &Asked, wire: &mut dyn Write| match &*asked.method {
        "POST" => noisy(wire, r#"{"id": "c", "updated_at": "2026-03-03"}"#),
        _ if asked.query().contains("cursor=p2") => {
            noisy(wire, "{\"items\": [{\"id\": \"b\", \"updated_at\": \"2026-03-02\"}],\n \"next\": null}")
        }
        _ => noisy(
            wire,
            r#"{"items": [{"id": "a", "updated_at": "2026-03-01", "name": "it's"}], "next": "p2"}"#,
        ),
    });
    let project = project(&component, &vendor, "scheme = \"bearer\"");
    let refused = record(&author, &project, &["--stream", "items"]);
    assert_eq!((refused.status.code(), vendor.count()), (Some(4), 0), "{}", both(&refused));
    assert!(
        !author.path("weather/tests").exists(),
        "nothing runs, and nothing is recorded, before it is approved"
    );
    project.approve("example", &component);

    let ran = record(&author, &project, &["--stream", "items", "--max-records", "1"]);
    assert_eq!(ran.status.code(), Some(0), "{}", both(&ran));
    let (out, told) = (String::from_utf8_lossy(&ran.stdout).into_owned(), stderr(&ran));
    assert!(out.contains("ok    items  ") && out.contains("ok    items again  "), "{out}");
    assert!(out.contains("ok    items status 503  ") && out.contains(" 0 failed"), "{out}");
    assert!(told.contains("recorded `weather/tests/cassettes/items.toml`: 2 exchanges, run run_"), "{told}");
    assert!(
        told.contains("headers that are left out: content-length, date, set-cookie, x-request-id"),
        "{told}"
    );
    let cassette = fs::read_to_string(author.path("weather/tests/cassettes/items.toml")).unwrap();
    let expected = "# Recorded by `portcullis test --record example` of acme/weather 0.1.0. Secrets and sensitive values are masked: `***`.\n\
                    stream = \"items\"\nmax-records = 1\nrecords = '''\n\
                    {\"id\":\"a\",\"updated_at\":\"2026-03-01\",\"name\":\"it's\"}\n{\"id\":\"b\",\"updated_at\":\"2026-03-02\"}\n'''\n\n\
                    [[exchange]]\nrequest = \"GET https://api.example.com/v1/items?limit=1\"\nstatus = 200\n\
                    headers = { content-type = \"application/json\", link = \"<https://a.test>; rel=a, <https://b.test>; rel=b\" }\n\
                    body = '''\n{\"items\": [{\"id\": \"a\", \"updated_at\": \"2026-03-01\", \"name\": \"it's\"}], \"next\": \"p2\"}'''\n\n\
                    [[exchange]]\nrequest = \"GET https://api.example.com/v1/items?limit=1&cursor=p2\"\nstatus = 200\n\
                    headers = { content-type = \"application/json\", link = \"<https://a.test>; rel=a, <https://b.test>; rel=b\" }\n\
                    body = '''\n{\"items\": [{\"id\": \"b\", \"updated_at\": \"2026-03-02\"}],\n \"next\": null}'''\n";
    assert_eq!(cassette, expected);

    // A run like any other.
    let runs = project.runs(&[]);
    assert_eq!(
        (runs[0]["kind"].as_str(), runs[0]["outcome"].as_str()),
        (Some("read"), Some("succeeded")),
        "{runs:?}"
    );
    assert_eq!(project.logs(&[]).len(), 2);

    // What is there stays, and is looked at before anything is sent.
    let asked = vendor.count();
    let again = record(&author, &project, &["--stream", "items"]);
    assert_eq!(again.status.code(), Some(2), "{}", both(&again));
    assert!(
        stderr(&again).contains("is there already") && stderr(&again).contains("--force"),
        "{}",
        both(&again)
    );
    assert_eq!(vendor.count(), asked);
    let forced = record(&author, &project, &["--stream", "items", "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", both(&forced));
    let cassette = fs::read_to_string(author.path("weather/tests/cassettes/items.toml")).unwrap();
    assert!(!cassette.contains("max-records") && cassette.contains("items?limit=100"), "{cassette}");

    let action = ["--action", "create-item", "--input", r#"{"name": "Ada"}"#, "--as", "made"];
    let made = record(&author, &project, &action);
    assert_eq!(made.status.code(), Some(0), "{}", both(&made));
    let cassette = fs::read_to_string(author.path("weather/tests/cassettes/made.toml")).unwrap();
    assert!(cassette.contains("action = \"create-item\"\ninput = '{\"name\": \"Ada\"}'\n"), "{cassette}");
    assert!(cassette.contains("request-body = '{\"name\":\"Ada\"}'\n"), "{cassette}");
    assert!(vendor.saw(CANARY.as_bytes()), "the secret was sent");

    // All of them, as a pipeline runs them: every rule is used.
    let all = author.portcullis("", &["test", "weather"]);
    assert_eq!(all.status.code(), Some(0), "{}", both(&all));
    for wrong in [&["--as", "../up"][..], &["--as", ".hidden"], &["--as", ""]] {
        let ran = record(&author, &project, &[&["--stream", "items"], wrong].concat());
        assert_eq!(ran.status.code(), Some(2), "{}", both(&ran));
    }
}

const MANIFEST: &str = r#"
[connector]
name = "acme/weather"
version = "0.1.0"
position-version = 1
config-version = 1
roles = ["actions"]
summary = "Asks as it is told"
config-schema = "any.json"

[credentials.api-key]
schemes = ["SCHEME"]
why = "a test"

[[http]]
allow = ["GET,POST https://api.example.com/v1/**"]
credential = "api-key"
why = "a test"

[actions.look]
input = "any.json"
output = "any.json"
sensitive = ["email", "count"]
"#;

const CODE: &str = r#"//! Asks as it is told.
use portcullis_sdk::{
    Actions, Config, Error, ErrorKind, Input, Lifecycle, Outcome, Result, connector, http, json,
    serde_json::{Value, json},
};

struct Connector;
connector!(Connector: actions);

impl Lifecycle for Connector {}

impl Actions for Connector {
    fn invoke(_: Config, _: &str, input: Input, _: Option<json::Json>) -> Result<Outcome> {
        let input: Value = input.parse()?;
        let mut came = Vec::new();
        for path in input["paths"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let url = format!("https://api.example.com/{path}");
            let request = match input["email"].as_str() {
                Some(email) => http::post(url).json(&json!({ "email": email, "path": path })),
                None => http::get(url),
            };
            let answer = request.send()?;
            if input["mode"] == "count" {
                let answer: Value = answer.json()?;
                let missing = || Error::new(ErrorKind::ContractDrift, "no count");
                came.push(json!(answer["count"].as_u64().ok_or_else(missing)?));
            } else {
                let upper = String::from_utf8_lossy(answer.body()).to_uppercase();
                came.push(json!({ "status": answer.status(), "upper": upper }));
            }
        }
        Outcome::done(&came)
    }
}
"#;

/// The connector that asks as it is told, in the folder of `new`.
fn told_connector(author: &Author, scheme: &str) -> Installed {
    if !author.path("weather").exists() {
        let sdk = checkout().join("sdk/rust");
        author.json("", &["new", "acme/weather", "--role", "action", "--sdk-path", sdk.to_str().unwrap()]);
        // Its cassettes are of other code.
        fs::remove_dir_all(author.path("weather/tests")).unwrap();
    }
    let weather = author.path("weather");
    fs::write(weather.join("connector.toml"), MANIFEST.replace("SCHEME", scheme)).unwrap();
    fs::write(weather.join("src/lib.rs"), CODE).unwrap();
    let any = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema"}"#;
    fs::write(weather.join("any.json"), any).unwrap();
    built(author)
}

/// Gives the key back in every encoding, in text, JSON, headers, an error, pieces and among bytes that are no text.
fn echoing() -> Vendor {
    let known = needles();
    Vendor::tls(&[HOST], move |asked: &Asked, wire: &mut dyn Write| {
        let texts: Vec<String> =
            known.iter().map(|(_, needle)| String::from_utf8_lossy(needle).into_owned()).collect();
        let json = [("Content-Type", "application/json")];
        match asked.path().trim_start_matches("/v1/") {
            "json" => {
                let body = json!({"echo": texts, "email": EMAIL, "deep": [{"Email": EMAIL}]});
                reply(wire, 200, &json, body.to_string().as_bytes())
            }
            "text" => reply(wire, 200, &[("Content-Type", "text/html")], texts.join(" and ").as_bytes()),
            "error" => reply(wire, 400, &json, json!({ "error": CANARY }).to_string().as_bytes()),
            "header" => {
                let coded = STANDARD.encode(CANARY);
                let location = format!("https://x.test/?k={CANARY}");
                let headers = [
                    ("X-Echo", CANARY),
                    ("X-Echo-64", &coded),
                    ("X-Api-Key", CANARY),
                    ("Location", &location),
                ];
                reply(wire, 200, &headers, b"ok")
            }
            "bytes" => {
                let mut bytes = vec![0, 255, 1];
                known.iter().for_each(|(_, needle)| bytes.extend([needle, &[0_u8, 254][..]].concat()));
                reply(wire, 200, &[("Content-Type", "application/octet-stream")], &bytes)
            }
            "count" => reply(wire, 200, &json, br#"{"count": 7}"#),
            "large" => reply(wire, 200, &json, format!("\"{}\"", "x".repeat(1 << 19)).as_bytes()),
            "half" => reply(wire, 200, &json, format!("\"{}\"", "y".repeat(400_000)).as_bytes()),
            "cut" => Next::Close,
            _ => reply(wire, 200, &json, b"{}"),
        }
    })
}

fn cassette(author: &Author, name: &str) -> String {
    fs::read_to_string(author.path(&format!("weather/tests/cassettes/{name}.toml"))).unwrap()
}

#[test]
fn no_secret_and_nothing_sensitive_is_in_it() {
    let author = Author::new();
    let _alone = guests::alone();
    for (scheme, credential) in
        [("api-key-query", "scheme = \"api-key\"\nquery = \"api_key\""), ("bearer", "scheme = \"bearer\"")]
    {
        let component = told_connector(&author, scheme);
        let vendor = echoing();
        let project = project(&component, &vendor, credential);
        project.approve("example", &component);
        let paths = ["v1/json?a=1", "v1/text", "v1/error", "v1/header", "v1/bytes"];
        for (name, input) in [
            ("got", json!({ "paths": paths, "note": CANARY })),
            ("posted", json!({ "paths": paths, "email": EMAIL, "note": STANDARD.encode(CANARY) })),
        ] {
            let input = input.to_string();
            let ran = record(
                &author,
                &project,
                &["--action", "look", "--input", &input, "--as", name, "--force", "--json"],
            );
            clean("stdout", &ran.stdout);
            clean("stderr", &ran.stderr);
            let lines: Vec<Value> = String::from_utf8_lossy(&ran.stdout)
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(
                (&lines[0]["does_not_replay"], &lines[0]["exchanges"]),
                (&Value::Null, &json!(5)),
                "{}",
                both(&ran)
            );
            let passed =
                |test: String| lines.iter().any(|line| line["test"] == json!(test) && line["passed"] == true);
            assert!(passed(name.to_owned()) && passed(format!("{name} again")), "{scheme}: {}", both(&ran));
            let text = cassette(&author, name);
            clean(name, text.as_bytes());
            assert!(!text.contains(EMAIL) && !text.contains(&EMAIL.to_uppercase()), "{text}");
            assert!(text.contains("\"email\":\"***\"") && text.contains("\"Email\":\"***\""), "{text}");
            assert!(!text.contains("api_key"), "what a credential adds is in no URL: {text}");
            let read: toml::Table = text.parse().unwrap();
            let exchanges = read["exchange"].as_array().unwrap();
            let coded: Vec<_> =
                exchanges.iter().filter_map(|exchange| exchange.get("body-base64")?.as_str()).collect();
            assert_eq!(coded.len(), 1, "what is no text is base64: {text}");
            let bytes = STANDARD.decode(coded[0].replace('\n', "")).unwrap();
            assert!(bytes.starts_with(&[0, 255, 1]) && contains(&bytes, b"********"), "{text}");
            clean("the bytes", &bytes);
        }
        let arrived = needles().iter().any(|(_, needle)| vendor.saw(needle));
        assert!(arrived, "{scheme}: the secret was sent");
    }
}

#[test]
fn what_a_cassette_can_not_hold_is_said_and_nothing_is_written() {
    let author = Author::new();
    let _alone = guests::alone();
    let component = told_connector(&author, "bearer");
    let vendor = echoing();
    let project = project(&component, &vendor, "scheme = \"bearer\"");
    project.approve("example", &component);
    let folder = author.path("weather/tests/cassettes");
    let look = |paths: &[&str]| {
        let input = json!({ "paths": paths }).to_string();
        record(&author, &project, &["--action", "look", "--input", &input])
    };
    for (paths, says, remedy) in [
        (
            &["v1/large"][..],
            "the answer of `GET https://api.example.com/v1/large` has 524290 bytes, and a cassette takes 524288 bytes of a body",
            "`body-file`",
        ),
        (
            &["v1/half", "v1/half", "v1/half"],
            "the exchanges of this run have more than 1048576 bytes",
            "`body-file`",
        ),
        (&["v1/half", "v1/half"], "the cassette would have ", "ask for less"),
        (&["v2/other"], "`GET https://api.example.com/v2/other` was denied", "[[http]]"),
        (&["v1/cut"], "`GET https://api.example.com/v1/cut` had no answer", "record again"),
    ] {
        let ran = look(&[&["v1/count"], paths].concat());
        let told = stderr(&ran);
        assert_eq!(ran.status.code(), Some(1), "{paths:?}: {}", both(&ran));
        assert!(
            told.contains("nothing was recorded: ") && told.contains(says) && told.contains(remedy),
            "{paths:?}: {told}"
        );
        assert!(!folder.exists(), "{paths:?}");
    }
    // What is masked may be what the connector needs: it is told, in the file too.
    let ran = record(
        &author,
        &project,
        &["--action", "look", "--input", r#"{"paths": ["v1/count"], "mode": "count"}"#],
    );
    assert_eq!(ran.status.code(), Some(1), "{}", both(&ran));
    let told = stderr(&ran);
    assert!(told.contains("masked: exchange 1, body"), "{told}");
    assert!(told.contains("it does not replay yet: the run succeeded, and its replay "), "{told}");
    assert!(told.contains("make something up in its place"), "{told}");
    let text = cassette(&author, "look");
    assert!(
        text.contains("# It does not replay yet: ") && text.contains("body = '{\"count\":\"***\"}'"),
        "{text}"
    );
    assert!(!text.contains('7'), "nothing of the live run's output: {text}");

    for (args, code, says) in [
        (&["test", "weather", "--record", "example"][..], 2, "--stream NAME"),
        (&["test", "weather", "--action", "look"], 2, "`--record CONNECTION`"),
        (&["test", "weather", "--record", "nobody", "--check"], 2, "nobody"),
        (&["test", "weather", "--record", "example", "--action", "look", "--input", "{"], 2, "is no JSON"),
    ] {
        let mut command = author.command(portcullis_tests::binary(), "");
        let ran = command.arg("--config").arg(project.path("portcullis.toml")).args(args).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{args:?}: {}", both(&ran));
        assert!(stderr(&ran).contains(says), "{args:?}: {}", both(&ran));
    }
}
