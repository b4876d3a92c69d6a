//! `connectors/examples`: each is built as it ships, and does what it says against a double of its vendor. What is copied works.

use crate::{Author, both};
use portcullis_tests::{
    Asked, Next, Project, Vendor, checkout, guests,
    vendor::{reply, reply_json},
};
use serde_json::json;
use std::io::Write;

const TOKEN: &str = "tok_example_7be10c55";

fn project(name: &str, bound: &str, host: &str, vendor: &Vendor) -> Project {
    let component = guests::connector(&format!("examples/{name}"));
    let project = Project::new();
    project.secret("token", TOKEN).install(&component).config(&format!(
        r#"
[credentials.token]
scheme = "bearer"
secret = "file:token"

[connections.example]
connector = "examples/{name}@^0.1"
{bound}
allow = "requested"
[connections.example.network]
connect-to = {{ "{host}:443" = "127.0.0.1:{}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]
"#,
        vendor.port()
    ));
    project.approve("example", &component);
    project
}

#[test]
fn weather_is_read() {
    let answer = |_: &Asked, wire: &mut dyn Write| {
        reply_json(wire, &json!({"hourly": {"time": ["T14:00"], "temperature_2m": [7.25]}}))
    };
    let vendor = Vendor::tls(&["api.open-meteo.com"], answer);
    let place = "config = { latitude = 52.5, longitude = 13.4 }";
    let project = project("weather", place, "api.open-meteo.com", &vendor);
    let ran = project.run(&["read", "example", "hours", "--validate"]);
    ran.exits(0);
    assert_eq!(ran.stdout, "{\"time\":\"T14:00\",\"celsius\":7.25}\n");
    assert_eq!(vendor.asked()[0].query(), "latitude=52.5&longitude=13.4&hourly=temperature_2m");
}

#[test]
fn an_issue_is_opened_once_and_no_path_leads_elsewhere() {
    let answer = |asked: &Asked, wire: &mut dyn Write| -> Next {
        let issue = json!({"number": 7, "title": "x", "state": "open", "html_url": "https://github.com/"});
        match (&*asked.method, asked.path()) {
            ("POST", "/repos/acme/shop/issues") => reply_json(wire, &issue),
            _ => reply(wire, 404, &[], b"{}"),
        }
    };
    let vendor = Vendor::tls(&["api.github.com"], answer);
    let project = project("issues", "credentials = { token = \"token\" }", "api.github.com", &vendor);
    let new = json!({"owner": "acme", "repo": "shop", "title": "x"});
    let (ran, told) = project.call("example", "open-issue", &new);
    ran.exits(0);
    assert_eq!(told["output"]["number"], 7, "{told}");
    let asked = vendor.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    let up = json!({"owner": "..", "repo": "..", "title": "x"});
    project.call("example", "open-issue", &up).0.exits(1);
    assert_eq!(vendor.count(), 1, "refused before it left");
}

#[test]
fn an_order_is_one_event() {
    let component = guests::connector("examples/orders");
    let project = Project::new();
    project
        .install(&component)
        .config("[connections.shop]\nconnector = \"examples/orders@^0.1\"\nallow = \"requested\"\n");
    project.approve("shop", &component);
    let order = checkout().join("connectors/examples/orders/tests/order.json");
    let ran = project.run(&["deliver", "shop", order.to_str().unwrap()]);
    ran.exits(0);
    // Each digit as the shop wrote it.
    let event = r#"{"name":"orders/create","id":"e1","payload":{"id":12345678901234567890,"total":1.10}}"#;
    assert_eq!(ran.stdout, format!("{event}\n"));
}

#[test]
fn examples_hold_their_cassettes() {
    let author = Author::elsewhere();
    for (name, cassettes) in [("weather", 2), ("orders", 2), ("issues", 2)] {
        let folder = checkout().join("connectors/examples").join(name);
        let _alone = guests::alone();
        let ran = author.portcullis("", &["test", folder.to_str().unwrap()]);
        assert!(ran.status.success(), "{name}\n{}", both(&ran));
        let found = std::fs::read_dir(folder.join("tests/cassettes")).unwrap().count();
        assert_eq!(found, cassettes, "{name}");
    }
}
