//! What a cassette is read as, and what it is refused for.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn parse(text: &str) -> std::result::Result<Cassette, Vec<String>> {
    let faults = |faults: Vec<Diagnostic>| faults.iter().map(ToString::to_string).collect();
    Cassette::parse(Path::new("tests/cassettes/pages.toml"), text).map_err(faults)
}

#[test]
fn a_cassette_is_a_call_with_its_exchanges() {
    let cassette = parse(
        r#"
stream = "things"
config = { page-size = 2 }
max-records = 2
records = '''
{"id":1}

{"id":9007199254740993}
'''
statuses = { 404 = "succeeds" }

[[exchange]]
request = "POST https://api.vendor.test/search?limit=2"
request-body = '{"q":"x"}'
status = 200
headers = { content-type = "application/json", link = "<https://api.vendor.test/next>" }
body = '{"items":[]}'
"#,
    )
    .unwrap();
    assert_eq!((cassette.name.as_str(), &cassette.call), ("pages", &Called::Stream("things".to_owned())));
    assert_eq!((cassette.config["page-size"].as_i64(), cassette.max_records), (Some(2), Some(2)));
    let Expected::Records(records) = &cassette.expected else { panic!() };
    assert_eq!(records[1]["id"].to_string(), "9007199254740993");
    assert_eq!(cassette.statuses[&404], "succeeds");
    let exchange = &cassette.exchanges[0];
    assert_eq!((exchange.method.as_str(), exchange.status), ("POST", 200));
    assert_eq!(exchange.request_body.as_deref(), Some(&br#"{"q":"x"}"#[..]));
    assert_eq!(exchange.headers[1].0, "link");
    assert_eq!(cassette.hosts().unwrap(), ["api.vendor.test"]);
}

#[test]
fn what_is_no_cassette_is_refused_with_its_line() {
    for (text, fault) in [
        ("check = true\nstraem = 1\n", "pages.toml:2:1: unknown key `straem`"),
        ("action = \"a\"\nstream = \"b\"\n", "a cassette is of one call"),
        ("stream = \"a\"\noutput = '{}'\n", "stream a ends with `records = '''…'''` or `error = \"KIND\"`"),
        ("action = \"a\"\noutput = '{'\n", "pages.toml:2:10: `output` is not JSON"),
        (
            "check = true\n[[exchange]]\nrequest = \"GET\"\nstatus = 200\n",
            "pages.toml:3:11: `request` is a method and a URL",
        ),
        ("check = true\n[[exchange]]\nrequest = \"GET https://a.test/\"\nstatus = 99\n", "pages.toml:4:10: "),
        (
            "check = true\n[[exchange]]\nrequest = \"GET https://a.test/\"\nstatus = 200\nbody-file = \"../x\"\n",
            "pages.toml:5:13: ",
        ),
        ("check = true\n[statuses]\n200 = \"succeeds\"\n", "pages.toml:3:1: `200` is no status"),
    ] {
        let faults = parse(text).unwrap_err();
        assert!(faults.iter().any(|found| found.contains(fault)), "{text}: {faults:?}");
    }
}

#[test]
fn what_cannot_be_dialled_is_said_before_it_is_played() {
    for url in
        ["http://a.test/", "https://127.0.0.1/", "https://a.test:8443/x", "https://A.test/", "https:///x"]
    {
        let text = format!("check = true\n[[exchange]]\nrequest = \"GET {url}\"\nstatus = 200\n");
        assert!(parse(&text).unwrap().hosts().is_err(), "{url}");
    }
}
