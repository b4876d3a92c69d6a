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
    assert_eq!(cassette.statuses[&Refusal::Status(404)], "succeeds");
    let exchange = &cassette.exchanges[0];
    assert_eq!((exchange.method.as_str(), exchange.status), ("POST", 200));
    assert_eq!(exchange.request_body.as_deref(), Some(&br#"{"q":"x"}"#[..]));
    assert_eq!(exchange.headers[1].0, "link");
    assert_eq!(cassette.hosts().unwrap(), ["api.vendor.test"]);
}

#[test]
fn a_delivery_is_a_table_with_the_keys_of_deliver() {
    let cassette = parse(
        r#"
events = """
{"name":"a","id":"e1","payload":{"n":9007199254740993}}

{"name":"b","payload":[]}
"""

[reply]
status = 202
headers = { x-a = "b" }
body = "taken"

[delivery]
id = "d1"
method = "POST"
path = "/hooks"
query = "a=1"
headers = { X-Topic = "t" }
body = "{}"
"#,
    )
    .unwrap();
    let Called::Delivery(delivery) = &cassette.call else { panic!() };
    assert_eq!((delivery.query.as_str(), delivery.body.as_slice()), ("a=1", &b"{}"[..]));
    assert_eq!(delivery.headers, [("x-topic".to_owned(), b"t".to_vec())]);
    let Expected::Handled { events, reply } = &cassette.expected else { panic!() };
    assert_eq!(events[0]["payload"]["n"].to_string(), "9007199254740993");
    assert_eq!((events.len(), &events[1]["id"]), (2, &Value::Null));
    assert_eq!(*reply, Some((202, vec![("x-a".to_owned(), b"b".to_vec())], b"taken".to_vec())));
}

#[test]
fn a_batch_and_the_end_of_a_read_have_the_keys_of_write() {
    let cassette = parse(
        r#"
write = "rows"
mode = "upsert"
primary-key = ["id"]
generation = 3
batch = '''
{"id":1}
{"id":2}
'''
rejected = { 2 = "invalid-input" }
"#,
    )
    .unwrap();
    let Called::Batch(batch) = &cassette.call else { panic!() };
    assert_eq!((batch.stream.name.as_str(), batch.mode.as_str(), batch.generation), ("rows", "upsert", 3));
    assert_eq!(batch.records, b"{\"id\":1}\n{\"id\":2}\n");
    assert_eq!(batch.stream.primary_key, ["id"]);
    assert_eq!(cassette.expected, Expected::Rejected(BTreeMap::from([(2, "invalid-input".to_owned())])));
    let cassette = parse("complete = \"rows\"\ngeneration = 3\nremoved-max = 9\nremoved = 2\n").unwrap();
    let complete = Called::Complete { stream: "rows".to_owned(), generation: 3, removed_max: Some(9) };
    assert_eq!((cassette.call, cassette.expected), (complete, Expected::Removed(2)));
    let failing = parse("write = \"rows\"\nbatch = '{}'\nerror = \"unsupported\"\n").unwrap();
    assert_eq!(failing.expected, Expected::Error("unsupported".to_owned()));
}

#[test]
fn what_is_handed_over_is_refused_with_its_line() {
    let delivery = "[delivery]\nid = \"d\"\nmethod = \"POST\"\npath = \"/\"\n";
    for (text, fault) in [
        ("write = \"a\"\naction = \"b\"\nbatch = '{}'\n".to_owned(), "a cassette is of one call"),
        ("write = \"a\"\ncomplete = \"b\"\nbatch = '{}'\n".to_owned(), "a cassette is of one call"),
        ("write = \"a\"\ninput = '{}'\nbatch = '{}'\n".to_owned(), "a cassette is of one call"),
        ("write = \"a\"\n".to_owned(), "the batch has no records"),
        ("write = \"a\"\nbatch = '[]'\n".to_owned(), "pages.toml:2:1: line 1 is no JSON object"),
        ("write = \"a\"\nmode = \"merge\"\nbatch = '{}'\n".to_owned(), "pages.toml:2:8: `mode` is `merge`"),
        (
            "write = \"a\"\nbatch = '{}'\nrejected = { 0 = \"x\" }\n".to_owned(),
            "pages.toml:3:14: `0` is no line",
        ),
        ("write = \"a\"\nbatch = '{}'\nevents = ''\n".to_owned(), "pages.toml:3:1: unknown key `events`"),
        (
            "write = \"a\"\nbatch = '{}'\nrecords = ''\n".to_owned(),
            "write a ends with `rejected = { LINE = \"KIND\" }`",
        ),
        ("complete = \"a\"\n".to_owned(), "`removed` is missing"),
        (delivery.to_owned(), "a delivery has events, or a reply"),
        (format!("events = ''\n{}", delivery.replace("POST", "post")), "`method` is no method"),
        (format!("events = ''\n{}", delivery.replace("method = \"POST\"\n", "")), "`method` is missing"),
        (
            format!("events = '{{\"name\":\"a\"}}'\n{delivery}"),
            "pages.toml:1:10: a line of `events` is no event",
        ),
        (
            format!("events = '{{\"name\":\"a\",\"payload\":1,\"nmae\":1}}'\n{delivery}"),
            "pages.toml:1:10: a line of `events` is no event",
        ),
    ] {
        let faults = parse(&text).unwrap_err();
        assert!(faults.iter().any(|found| found.contains(fault)), "{text}: {faults:?}");
        assert!(
            faults.len() == 1 || fault.contains("unknown"),
            "one mistake is one fault: {text}: {faults:?}"
        );
    }
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

#[test]
fn what_is_no_text_is_base64() {
    let text = "check = true\n[[exchange]]\nrequest = \"GET https://a.test/\"\nstatus = 200\nbody-base64 = '''\nAAEC\n/w==\n'''\n";
    assert_eq!(parse(text).unwrap().exchanges[0].body, [0, 1, 2, 255]);
    let faults = parse(&text.replace("AAEC", "A?EC")).unwrap_err();
    assert!(faults[0].contains("pages.toml:5:15: `body-base64` is no base64"), "{faults:?}");
}

/// A whole cassette, as people read it.
#[test]
fn a_printed_cassette_reads_well() {
    let exchange = |method: &str, request_body: Option<&[u8]>, body: &[u8]| Recorded {
        resumed: false,
        statuses: Default::default(),
        method: method.to_owned(),
        url: "https://api.vendor.test/v1/things?limit=2".to_owned(),
        request_body: request_body.map(<[u8]>::to_vec),
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_vec(),
    };
    let cassette = Cassette {
        name: "pages".to_owned(),
        file: "pages.toml".into(),
        call: Called::Stream("things".to_owned()),
        config: serde_json::json!({"page-size": 2, "since": {"a b": "x\"y", "list": [1.50, true]}}),
        origins: BTreeMap::new(),
        max_records: Some(2),
        lookback: false,
        expected: Expected::Records(vec![serde_json::json!({"id": 1}), serde_json::json!({"id": "it's"})]),
        statuses: [(Refusal::Status(404), SUCCEEDS.to_owned())].into(),
        exchanges: vec![
            exchange("GET", None, b"{\n  \"a\": 'x'\n}\n"),
            exchange("POST", Some(b"{\"q\":\"'\"}"), &[0, 159, 146, 150]),
            exchange("GET", None, b""),
        ],
    };
    let text = cassette.print("Recorded.\nTwice.").unwrap();
    let expected = r#"# Recorded.
# Twice.
stream = "things"
config = { page-size = 2, since = { "a b" = "x\"y", list = [1.5, true] } }
max-records = 2
records = '''
{"id":1}
{"id":"it's"}
'''
statuses = { 404 = "succeeds" }

[[exchange]]
request = "GET https://api.vendor.test/v1/things?limit=2"
status = 200
headers = { content-type = "application/json" }
body = '''
{
  "a": 'x'
}
'''

[[exchange]]
request = "POST https://api.vendor.test/v1/things?limit=2"
request-body = '''
{"q":"'"}'''
status = 200
headers = { content-type = "application/json" }
body-base64 = '''
AJ+Slg=='''

[[exchange]]
request = "GET https://api.vendor.test/v1/things?limit=2"
status = 200
headers = { content-type = "application/json" }
"#;
    assert_eq!(text, expected);
}

/// Every body, header and input comes back to the byte, whatever it is.
#[test]
fn what_is_printed_is_read_again() {
    let words = [
        "",
        "'",
        "''",
        "'''",
        "''''",
        "a'",
        "\n",
        "\r\n",
        "\n'",
        "\\",
        "\"",
        "\"\"\"",
        "\t",
        "\u{2028}",
        "\u{feff}a",
        "\u{0}",
        "é😀",
        "{\"a\":1}\n",
        "'''\n",
        "# no comment",
        "\u{7f}",
        "x\u{200b}y",
        " \n ",
        "\\u0000",
        "a\rb",
    ];
    for first in words {
        for second in words {
            let joined = format!("{first}{second}");
            let cassette = Cassette {
                name: "pages".to_owned(),
                file: "tests/cassettes/pages.toml".into(),
                call: Called::Action { name: format!("a{first}"), input: joined.clone() },
                config: serde_json::json!({ joined.clone(): [second] }),
                origins: [("o".to_owned(), "https://a.test".parse().unwrap())].into(),
                max_records: None,
                lookback: false,
                expected: Expected::Output(serde_json::json!({ "x": joined })),
                statuses: BTreeMap::new(),
                exchanges: vec![Recorded {
                    resumed: false,
                    statuses: Default::default(),
                    method: "POST".to_owned(),
                    url: "https://a.test/x?a=b".to_owned(),
                    request_body: Some(joined.clone().into_bytes()),
                    status: 599,
                    headers: vec![(format!("x-{first}"), joined.clone())],
                    body: [joined.as_bytes(), if second.is_empty() { b"\xff" } else { b"" }].concat(),
                }],
            };
            let printed = cassette.print(&joined).unwrap();
            let read = parse(&printed).unwrap_or_else(|faults| panic!("{joined:?}: {faults:?}\n{printed}"));
            assert_eq!(
                (&read.call, &read.config, &read.expected),
                (&cassette.call, &cassette.config, &cassette.expected)
            );
            assert_eq!(
                (&read.exchanges, &read.origins),
                (&cassette.exchanges, &cassette.origins),
                "{printed}"
            );
        }
    }
}
