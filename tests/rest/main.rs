//! Promise: any JSON API is read and written without code. The shipped `rest` connector, configured alone, against five vendors'
//! own descriptions: a stream over its pages and a write each, nothing rejected; and the example of its README as it stands.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use portcullis_tests::{
    Project, checkout, guests,
    servers::{self, Server},
    shared, skip,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};

const SECRET: &str = "tok_contract_5b20c7e1aa";
const OBJECTS: usize = 25;

/// A vendor: its description, its double's ways, and the config that an operator writes.
struct Api {
    spec: &'static str,
    host: &'static str,
    vendor: &'static [&'static str],
    config: &'static str,
    write: (&'static str, fn() -> Value),
    /// The body's field that the vendor is to miss when it is misspelt.
    wrong: &'static str,
}

const STRIPE: Api = Api {
    spec: "stripe/stripe-trimmed.json",
    host: "api.stripe.com",
    vendor: &[],
    config: r#"
base-url = "https://api.stripe.com/v1"
streams.rows = { path = "/customers", records = "/data", page-size = { parameter = "limit", records = 10 }, primary-key = ["id"], paging = { by = "last-record", parameter = "starting_after", at = "/id", more = "/has_more" }, cursor = { field = "created", parameter = "created[gte]" } }
actions.write = { method = "POST", path = "/customers/{id}", encoding = "form", body = { name = { "$input" = "/name" }, metadata = { plan = { "$input" = "/plan" } } } }
actions.wrong = { method = "POST", path = "/customers", encoding = "form", body = { emial = "a@b.c" } }
"#,
    write: ("/v1/customers/cus_000001", || json!({"id": "cus_000001", "name": "Ada & Co", "plan": "pro"})),
    wrong: "emial",
};

const GITHUB: Api = Api {
    spec: "github/github-trimmed.json",
    host: "api.github.com",
    vendor: &["--pages", "link", "--list", "issues/list-for-repo"],
    config: r#"
base-url = "https://api.github.com"
streams.rows = { path = "/repos/acme/shop/issues", query = { state = "all" }, page-size = { parameter = "per_page", records = 10 }, primary-key = ["id"], paging = { by = "link" } }
actions.write = { method = "POST", path = "/repos/{owner}/{repo}/issues", body = { title = { "$input" = "/title" }, labels = { "$input" = "/labels" } } }
actions.wrong = { method = "POST", path = "/repos/a/b/issues", body = { title = "x", titel = "y" } }
"#,
    write: (
        "/repos/acme/shop/issues",
        || json!({"owner": "acme", "repo": "shop", "title": "It \"breaks\"", "labels": ["bug"]}),
    ),
    wrong: "titel",
};

const CONFLUENCE: Api = Api {
    spec: "confluence/confluence-v2.json",
    host: "acme.atlassian.net",
    vendor: &["--pages", "next-url", "--list", "getPages", "--at", "results", "--root", "/wiki/api/v2"],
    config: r#"
base-url = "https://acme.atlassian.net/wiki/api/v2"
streams.rows = { path = "/pages", records = "/results", page-size = { parameter = "limit", records = 10 }, primary-key = ["id"], paging = { by = "next-url", at = "/_links/next" } }
actions.write = { method = "POST", path = "/pages/{page}/properties", body = { key = { "$input" = "/key" }, value = { "$input" = "/value" } } }
actions.wrong = { method = "POST", path = "/pages/7/properties", body = { key = "a", valeu = 1 } }
"#,
    write: (
        "/wiki/api/v2/pages/7/properties",
        || json!({"page": 7, "key": "reviewed", "value": {"by": ["ada"]}}),
    ),
    wrong: "valeu",
};

const DRIVE: Api = Api {
    spec: "google-drive/drive-v3.json",
    host: "www.googleapis.com",
    vendor: &[
        "--pages",
        "cursor",
        "--list",
        "drive.comments.list",
        "--at",
        "comments",
        "--root",
        "/drive/v3",
    ],
    config: r#"
base-url = "https://www.googleapis.com/drive/v3"
query = { prettyPrint = false }
streams.rows = { path = "/files/f1/comments", query = { fields = "*" }, records = "/comments", page-size = { parameter = "pageSize", records = 10 }, primary-key = ["id"], paging = { by = "cursor", parameter = "pageToken", at = "/nextPageToken" } }
actions.write = { method = "POST", path = "/files/{file}/comments", query = { fields = "id,content", quotaUser = "{user}" }, body = { "$input" = "/comment" } }
actions.wrong = { method = "POST", path = "/files/f1/comments", query = { feilds = "id" }, body = { content = "x" } }
"#,
    write: (
        "/drive/v3/files/a%20b/comments",
        || json!({"file": "a b", "comment": {"content": "Looks good"}}),
    ),
    wrong: "feilds",
};

const TWILIO: Api = Api {
    spec: "twilio/twilio-trimmed.json",
    host: "api.twilio.com",
    vendor: &["--pages", "page", "--list", "ListMessage", "--at", "messages"],
    config: r#"
base-url = "https://api.twilio.com/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef"
streams.rows = { path = "/Messages.json", records = "/messages", page-size = { parameter = "PageSize", records = 10 }, primary-key = ["id"], paging = { by = "page", parameter = "Page", first = 0 } }
actions.write = { method = "POST", path = "/Messages.json", encoding = "form", body = { "$input" = "" } }
actions.wrong = { method = "POST", path = "/Messages.json", encoding = "form", body = { To = "+1", Bdoy = "x" } }
"#,
    write: (
        "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json",
        || json!({"To": "+4930123", "From": "+4930456", "Body": "a & b"}),
    ),
    wrong: "Bdoy",
};

fn server(spec: &str, host: &str, vendor: &[&str]) -> Option<Server> {
    let spec = shared().map(|shared| shared.join("specs").join(spec)).filter(|spec| spec.is_file());
    let Some(spec) = spec else {
        skip("no ../shared/specs beside the checkout");
        return None;
    };
    servers::openapi_paged(&spec, SECRET, OBJECTS, &[host], vendor)
}

/// Where the test's double stands instead of the vendor.
fn network(connection: &str, host: &str, port: u16) -> String {
    format!(
        "\n[connections.{connection}.network]\nconnect-to = {{ \"{host}:443\" = \"127.0.0.1:{port}\" }}\n\
         ca-file = \"ca.pem\"\naddresses = [\"127.0.0.1/32\"]\n"
    )
}

fn project(api: &Api, port: u16) -> Project {
    let connector = guests::connector("rest");
    let project = Project::new();
    project.config(&format!(
        "[credentials.token]\nscheme = \"bearer\"\nsecret = \"file:token\"\n\n[connections.api]\n\
         connector = \"portcullis/rest@^0.1\"\ncredentials = {{ key = \"token\" }}\n\
         origins = {{ api = \"https://{}\" }}\nallow = \"requested\"\n[connections.api.config]\n{}{}",
        api.host,
        api.config,
        network("api", api.host, port)
    ));
    project.secret("token", SECRET).install(&connector).approve("api", &connector);
    project
}

/// What the vendor counted since the last time, and forgets now.
#[track_caller]
fn verdict(server: &Server, accepted: usize, rejected: usize) -> Value {
    let verdict = server.control("GET", "/");
    let counts = ["accepted", "rejected", "unauthorised", "failed"].map(|count| verdict[count].clone());
    assert_eq!(counts, [json!(accepted), json!(rejected), json!(0), json!(0)], "{verdict:#}");
    server.control("POST", "/reset");
    verdict["requests"].clone()
}

#[track_caller]
fn check(api: &Api, pages: usize) {
    if let Some(server) = server(api.spec, api.host, api.vendor) {
        check_at(&server, api, pages);
    }
}

#[track_caller]
fn check_at(server: &Server, api: &Api, pages: usize) {
    let project = project(api, server.port);
    project.run(&["check", "api"]).exits(0);
    verdict(server, 1, 0);

    let ran = project.run(&["read", "api", "rows"]);
    let ids: BTreeSet<String> = ran.exits(0).lines().iter().map(|row| row["id"].to_string()).collect();
    assert_eq!((ids.len(), ran.lines().len()), (OBJECTS, OBJECTS), "{}", api.spec);
    verdict(server, pages, 0);

    let (path, input) = (api.write.0, (api.write.1)());
    let (ran, report) = project.call("api", "write", &input);
    assert_eq!(report["outcome"], "succeeded", "{report:#}\n{}", ran.stderr);
    let requests = verdict(server, 1, 0);
    let url = requests[0]["url"].as_str().unwrap();
    assert_eq!(url.split('?').next(), Some(path), "{requests:#}");

    // The judge does reject, and says so to whoever called.
    let (_, report) = project.call("api", "wrong", &json!({}));
    assert_eq!(
        (&report["outcome"], &report["error"]["kind"]),
        (&json!("failed"), &json!("invalid-input")),
        "{report:#}"
    );
    assert!(report["error"]["message"].as_str().unwrap().contains(api.wrong), "{report:#}");
    verdict(server, 0, 1);
}

/// A judge takes half a minute of CPU to read these two descriptions: one for all that is asked of it.
#[test]
fn stripe_by_last_record() {
    let Some(server) = server(STRIPE.spec, STRIPE.host, STRIPE.vendor) else { return };
    check_at(&server, &STRIPE, 3);
    an_incremental_read_asks_for_the_last_second_again(&server);
}

#[test]
fn github_by_link() {
    let Some(server) = server(GITHUB.spec, GITHUB.host, GITHUB.vendor) else { return };
    check_at(&server, &GITHUB, 3);
    the_readmes_example(&server);
}

#[test]
fn confluence_by_next_url() {
    check(&CONFLUENCE, 3);
}

#[test]
fn google_drive_by_cursor() {
    check(&DRIVE, 3);
}

#[test]
fn twilio_by_page() {
    // One more than there are pages with records: only that one is the end.
    check(&TWILIO, 4);
}

#[track_caller]
fn an_incremental_read_asks_for_the_last_second_again(server: &Server) {
    let project = project(&STRIPE, server.port);
    let file = project.path("rows.ndjson");
    let arguments = ["read", "api", "rows", "--output", file.to_str().unwrap(), "--resume", "n"];
    project.run(&arguments).exits(0);
    server.control("POST", "/reset");
    project.run(&arguments).exits(0);
    let requests = verdict(server, 1, 0);
    let url = requests[0]["url"].as_str().unwrap();
    assert!(url.contains("created%5Bgte%5D=1700000008"), "{url}");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), OBJECTS + 1, "the one of the last second came again");
}

#[track_caller]
fn the_readmes_example(server: &Server) {
    let readme = fs::read_to_string(checkout().join("connectors/rest/README.md")).unwrap();
    let block = |kind: &str| {
        let (_, rest) = readme.split_once(&format!("```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    // The double's issues have numbers alone; the rest is as an operator would copy it.
    let config = block("toml");
    let plain = config.replace(
        "cursor = { field = \"updated_at\", parameter = \"since\", order = \"ascending\" }\n",
        "cursor = { field = \"id\", order = \"ascending\" }\n",
    );
    assert_ne!(config, plain);
    let connector = guests::connector("rest");
    let project = Project::new();
    let whole = format!("{plain}{}", network("github", GITHUB.host, server.port));
    project.file("portcullis.toml", whole.as_bytes());
    project.secret("github.token", SECRET).install(&connector);
    for line in block("console").lines() {
        let arguments = line.strip_prefix("$ portcullis ").unwrap();
        let (words, quoted) = arguments.split_once(" '").unwrap_or((arguments, ""));
        let mut arguments: Vec<&str> = words.split(' ').collect();
        arguments.extend(Some(quoted.trim_end_matches('\'')).filter(|input| !input.is_empty()));
        if arguments[0] == "approve" {
            arguments.extend(["--yes", "--digest", &connector.digest]);
        }
        project.run(&arguments).exits(0);
    }
    let text = fs::read_to_string(project.path("issues.ndjson")).unwrap();
    assert_eq!(text.lines().count(), OBJECTS);
    let requests = verdict(server, 3, 0);
    let sent: Value = serde_json::from_str(requests[2]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent, json!({"title": "It breaks", "labels": ["bug"]}));

    // What the input's schema or the operator's list does not have never leaves.
    let (ran, report) = project.call("github", "create-issue", &json!({"titel": "x"}));
    ran.exits(1);
    assert_eq!(report["error"]["kind"], "invalid-input", "{report:#}");
    let (ran, report) = project.call("github", "close-issue", &json!({}));
    ran.exits(1);
    assert_eq!(report["error"]["kind"], "unsupported", "{report:#}");
    let wider = whole
        .replace("path = \"/repos/acme/shop/issues\"\nbody", "path = \"/repos/acme/other/issues\"\nbody");
    project.file("portcullis.toml", wider.as_bytes());
    let (ran, report) = project.call("github", "create-issue", &json!({"title": "x"}));
    ran.exits(1);
    assert_eq!(report["error"]["kind"], "denied", "{report:#}");
    verdict(server, 0, 0);
}
