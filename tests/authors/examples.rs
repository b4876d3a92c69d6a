//! `connectors/examples`: each is built as it ships, and does what it says against a double of its vendor. What is copied works.

use portcullis_tests::{
    Asked, Next, Project, Vendor, guests,
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

/// What delivers to it is of a later version.
#[test]
fn orders_are_built_and_can_be_inspected() {
    let component = guests::connector("examples/orders");
    let project = Project::new();
    project.install(&component);
    let (ran, told) = project.run_json(&["inspect", "examples/orders"]);
    ran.exits(0);
    assert_eq!((&told["roles"], &told["digest"]), (&json!(["webhook"]), &json!(component.digest)));
}
