//! Promise: a guest can't set, remove or shadow what the host computes or attaches; a request is framed by the host alone.
//! Asserted on the raw bytes that the vendor got.

use crate::willing;
use portcullis_tests::{
    Project, Vendor,
    case::{BEARER, Case, SLOT, http, is_denied, order, with_headers},
};
use serde_json::json;

const URL: &str = "https://api.vendor.test/v1/things";
const SECRET: &str = "sk_live_51Hq0ZkE9canary7Yw";
/// What a guest tries to bring to the wire.
const MARK: &str = "zq-guest-mark-81723";

fn project(credentials: &str) -> (Vendor, Project) {
    let vendor = willing(&["api.vendor.test"]);
    let rules = ["GET,POST,PUT,DELETE https://api.vendor.test/v1/**"];
    let manifest = format!("{SLOT}{}", http(&rules, "credential = \"key\""));
    let case = Case {
        manifest,
        credentials: credentials.to_owned(),
        slots: "key = \"live\"".to_owned(),
        ..Case::default()
    };
    let project = case.to(&vendor, &["api.vendor.test"]).approved_with(SECRET);
    (vendor, project)
}

#[test]
fn an_ordinary_header_passes() {
    let (vendor, project) = project(BEARER);
    let headers = [("X-Trace", MARK), ("Accept", "application/json"), ("User-Agent", "own/1")];
    assert_eq!(project.send(&with_headers("GET", URL, &headers))["status"], 200);
    let asked = &vendor.asked()[0];
    assert_eq!(
        (asked.header("x-trace"), asked.header("accept"), asked.header("user-agent")),
        (Some(MARK), Some("application/json"), Some("own/1"))
    );
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(
        (asked.header("host"), asked.sni.as_deref()),
        (Some("api.vendor.test"), Some("api.vendor.test"))
    );
    assert_eq!((asked.count("host"), asked.count("authorization"), asked.count("referer")), (1, 1, 0));
}

#[test]
fn a_guest_brings_none_of_the_hosts_own() {
    let (vendor, project) = project(BEARER);
    let names = [
        "Host",
        "host",
        ":authority",
        ":path",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Anything",
        "Accept-Encoding",
        "Authorization",
        "AUTHORIZATION",
        "authorization ",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Anything",
        "X_Forwarded_For",
        "X-HTTP-Method-Override",
        "X_HTTP_Method_Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X_Original_URL",
        "X-Original-Method",
        "X_ORIGINAL_METHOD",
        "X-Original-Host",
        "x-original-anything",
        "X-Host",
        "X_HOST",
        "X-Forwarded",
        "X_FORWARDED",
        "Via",
        "VIA",
        "X-HTTP-Path-Override",
        "X-HTTP-Host-Override",
        "X-HTTP.Method-Override",
        "X-Matched-Path",
        "X-Invoke-Path",
        "X-Middleware-Subrequest",
        "X-Waws-Unencoded-Url",
        "X-Ms-Original-Url",
        "X-Amz-Copy-Source",
        "Destination",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "Proxy",
        "X-Envoy-Original-Path",
        "X-Real-IP",
        "Referer",
        "REFERER",
        "Bad Name",
        "Bad\r\nName",
        "",
    ];
    let orders: Vec<_> = names.iter().map(|name| with_headers("POST", URL, &[(name, MARK)])).collect();
    let answers = project.send_each(&orders);
    for (name, answer) in names.iter().zip(&answers) {
        assert!(
            answer["status"] == 200 || is_denied(answer) || answer["error"] == "malformed",
            "{name:?}: {answer}"
        );
    }
    let rows = project.logs(&["--status", "denied"]);
    assert_eq!(
        rows.len(),
        answers.iter().filter(|answer| is_denied(answer)).count(),
        "each refusal has its row"
    );
    assert!(!vendor.saw(MARK.as_bytes()), "{}", String::from_utf8_lossy(&vendor.bytes()));
    for asked in vendor.asked() {
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
        assert_eq!(
            (asked.header("host"), asked.count("host"), asked.count("authorization")),
            (Some("api.vendor.test"), 1, 1)
        );
        assert_eq!(
            (
                asked.count("transfer-encoding"),
                asked.count("expect"),
                asked.count("upgrade"),
                asked.count("te")
            ),
            (0, 0, 0, 0)
        );
    }
}

#[test]
fn a_rule_may_list_a_referer() {
    let vendor = willing(&["api.vendor.test"]);
    let listed = http(&["GET https://api.vendor.test/v1/**"], "guest-headers = [\"referer\"]");
    let case = Case { manifest: listed, ..Case::default() };
    let project = case.to(&vendor, &["api.vendor.test"]).approved();
    assert_eq!(project.send(&with_headers("GET", URL, &[("Referer", MARK)]))["status"], 200);
    assert_eq!(vendor.asked()[0].header("referer"), Some(MARK));
    assert!(is_denied(&project.send(&with_headers("GET", URL, &[("Via", MARK)]))));
    assert_eq!(vendor.count(), 1);
}

#[test]
fn a_value_holds_no_second_line() {
    let (vendor, project) = project(BEARER);
    let values = [
        "YQ0KWC1TbXVnZ2xlZDogenEtZ3Vlc3QtbWFyay04MTcyMw==",
        "YQpYLVNtdWdnbGVkOiB6cS1ndWVzdC1tYXJrLTgxNzIz",
        "enEtZ3Vlc3QtbWFyay04MTcyMwA=",
        "YQ0KIHpxLWd1ZXN0LW1hcmstODE3MjM=",
    ];
    let orders: Vec<_> = values
        .iter()
        .map(|value| json!({"method": "GET", "url": URL, "headers": [["X-Value", {"base64": value}]]}))
        .collect();
    for answer in project.send_each(&orders) {
        assert!(is_denied(&answer) || answer["error"] == "malformed", "{answer}");
    }
    assert_eq!(vendor.connects() * vendor.count(), 0, "nothing was asked");
    // The twin: bytes that a value may hold.
    let odd = json!({"method": "GET", "url": URL, "headers": [["X-Value", {"base64": "YSBiCWPDqQ=="}]]});
    assert_eq!(project.send(&odd)["status"], 200);
}

#[test]
fn a_method_is_one_of_the_rules_and_no_more_than_a_method() {
    let (vendor, project) = project(BEARER);
    let methods = [
        "TRACE",
        "TRACK",
        "CONNECT",
        "PATCH",
        "get",
        "Post",
        "",
        "GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\nGET",
        "G\u{0}T",
    ];
    for (method, answer) in methods.iter().zip(project.send_each(&methods.map(|method| order(method, URL)))) {
        assert!(is_denied(&answer) || answer["error"] == "malformed", "{method:?}: {answer}");
    }
    assert_eq!(vendor.count(), 0);
    let allowed = ["GET", "POST", "PUT", "DELETE"];
    assert!(
        project
            .send_each(&allowed.map(|method| order(method, URL)))
            .iter()
            .all(|answer| answer["status"] == 200)
    );
    assert_eq!(vendor.asked().iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), allowed);
}

#[test]
fn a_query_names_no_other_method() {
    let (vendor, project) = project(BEARER);
    let queries = [
        "_method=DELETE",
        "_HttpMethod=DELETE",
        "$httpMethod=DELETE",
        "%5Fmethod=DELETE",
        "a=1&_method=DELETE",
        "_METHOD=DELETE",
        "%24httpMethod=DELETE",
        "_method%00=DELETE",
        "_method%20=DELETE",
        "%20_method=DELETE",
        "[method=DELETE",
        "%5Bmethod=DELETE",
        "-method=DELETE",
        "_method[]=DELETE",
    ];
    for (query, answer) in
        queries.iter().zip(project.send_each(&queries.map(|query| order("POST", &format!("{URL}?{query}")))))
    {
        assert!(is_denied(&answer) || answer["error"] == "malformed", "{query}: {answer}");
    }
    assert_eq!(vendor.count(), 0);
    assert_eq!(project.send(&order("POST", &format!("{URL}?method=DELETE&x_method=1")))["status"], 200);
}

#[test]
fn a_guest_does_not_shadow_an_api_key() {
    let header =
        "[credentials.live]\nscheme = \"api-key\"\nheader = \"X-Api-Key\"\nsecret = \"file:vendor.key\"\n";
    let (vendor, project) = project(header);
    let names = ["X-Api-Key", "x-api-key", "X_Api_Key", "x_api-key", "X.Api.Key"];
    project.send_each(&names.map(|name| with_headers("GET", URL, &[(name, MARK)])));
    assert_eq!(project.send(&order("GET", URL))["status"], 200);
    assert!(!vendor.saw(MARK.as_bytes()));
    for asked in vendor.asked() {
        assert_eq!(
            (asked.header("x-api-key"), asked.count("x-api-key"), asked.count("x_api_key")),
            (Some(SECRET), 1, 0)
        );
    }

    let query =
        "[credentials.live]\nscheme = \"api-key\"\nquery = \"api_key\"\nsecret = \"file:vendor.key\"\n";
    let (vendor, project) = self::project(query);
    let pairs = [
        "api_key=zq-guest-mark-81723",
        "a=1&api_key=zq-guest-mark-81723",
        "api%5Fkey=zq-guest-mark-81723",
        "api%5fkey=zq-guest-mark-81723",
        "api_key%00=zq-guest-mark-81723",
        "api[key=zq-guest-mark-81723",
        "api%5Bkey=zq-guest-mark-81723",
        "api_key%20=zq-guest-mark-81723",
        "api.key=zq-guest-mark-81723",
        "%61pi_key=zq-guest-mark-81723",
        "%20api_key=zq-guest-mark-81723",
        "+api_key=zq-guest-mark-81723",
        "api_key[]=zq-guest-mark-81723",
    ];
    let orders = pairs.map(|pair| order("GET", &format!("{URL}?{pair}")));
    for (pair, answer) in pairs.iter().zip(project.send_each(&orders)) {
        assert!(is_denied(&answer) || answer["error"] == "malformed", "{pair}: {answer}");
    }
    assert_eq!(project.send(&order("GET", &format!("{URL}?limit=1")))["status"], 200);
    assert!(!vendor.saw(MARK.as_bytes()));
    let last = vendor.asked().pop().unwrap();
    assert_eq!(last.query(), format!("limit=1&api_key={SECRET}"));
}

#[test]
fn bodies_have_the_hosts_own_length() {
    let (vendor, project) = project(BEARER);
    let sent = json!({"method": "POST", "url": URL, "headers": [["Content-Type", "text/plain"]], "body": "0123456789"});
    assert_eq!(project.send(&sent)["status"], 200);
    assert_eq!(project.send(&json!({"method": "POST", "url": URL, "body-bytes": 100_000}))["status"], 200);
    let asked = vendor.asked();
    assert_eq!(
        (asked[0].header("content-length"), asked[0].body.as_slice()),
        (Some("10"), &b"0123456789"[..])
    );
    assert_eq!(asked[1].body.len(), 100_000);
    assert!(
        asked.iter().all(|asked| asked.count("content-length") == 1 && asked.count("transfer-encoding") == 0)
    );
}
