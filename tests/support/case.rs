//! A project whose one connection, `probe`, runs the probe under the rules of a test: written once here, so that a test shows
//! only what it is about.

use crate::{
    Project,
    guests::{self, Installed},
};
use serde_json::{Value, json};

/// What a test sets; everything may be left out.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// `connector.toml` after `[connector]`: slots and `[[http]]`.
    pub manifest: String,
    /// The operator's rules; none = `"requested"`.
    pub allow: Option<Vec<String>>,
    /// `host:port` → `127.0.0.1:port`.
    pub connect_to: Vec<(String, String)>,
    /// Listed ranges.
    pub addresses: Vec<String>,
    /// `[credentials.*]` and `[secrets.*]` blocks.
    pub credentials: String,
    /// The inline table of slots: `key = "live"`.
    pub slots: String,
    /// More keys of `[connections.probe]`.
    pub more: String,
    /// More keys of `[connections.probe.limits]`.
    pub limits: String,
}

/// A list of rules as one `[[http]]` table; `attributes` are its other lines.
pub fn http<T: AsRef<str>>(rules: &[T], attributes: &str) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("  {},\n", quoted(rule.as_ref()))).collect();
    format!("[[http]]\nallow = [\n{}]\nwhy = \"a test\"\n{attributes}\n", rules.concat())
}

/// A slot that takes bearer tokens.
pub const SLOT: &str = "[credentials.key]\nschemes = [\"bearer\", \"basic\", \"api-key-header\", \"api-key-query\"]\nwhy = \"a test\"\n\n";

/// A credential `live` that reads `vendor.key`.
pub const BEARER: &str = "[credentials.live]\nscheme = \"bearer\"\nsecret = \"file:vendor.key\"\n";

/// TOML's basic string.
pub fn quoted(text: &str) -> String {
    // JSON's escapes are TOML's, but for the slash that neither needs.
    Value::from(text).to_string()
}

impl Case {
    /// The connection's part of the config.
    pub fn config(&self) -> String {
        let allow = match &self.allow {
            None => "\"requested\"".to_owned(),
            Some(rules) => {
                format!("[{}]", rules.iter().map(|rule| quoted(rule)).collect::<Vec<_>>().join(",\n  "))
            }
        };
        let connect_to: Vec<String> =
            self.connect_to.iter().map(|(from, to)| format!("{} = {}", quoted(from), quoted(to))).collect();
        let addresses: Vec<String> = self.addresses.iter().map(|range| quoted(range)).collect();
        format!(
            "{}\n[connections.probe]\nconnector = \"test/probe@^1\"\ncredentials = {{ {} }}\nallow = {allow}\n{}\n\
             [connections.probe.limits]\nrequests = 2000\n{}\n\
             [connections.probe.network]\nca-file = \"ca.pem\"\nconnect-to = {{ {} }}\naddresses = [{}]\n",
            self.credentials,
            self.slots,
            self.more,
            self.limits,
            connect_to.join(", "),
            addresses.join(", ")
        )
    }

    /// Reaches `vendor` under these names' default ports, whatever DNS says.
    pub fn to(mut self, vendor: &crate::Vendor, names: &[&str]) -> Self {
        for name in names {
            self.connect_to.push((format!("{name}:443"), format!("127.0.0.1:{}", vendor.port())));
        }
        self.addresses = vec!["127.0.0.1/32".to_owned()];
        self
    }

    /// Binds slot `key` to the credential `live`, whose secret is in `vendor.key`.
    pub fn bearer(mut self) -> Self {
        self.credentials = BEARER.to_owned();
        self.slots = "key = \"live\"".to_owned();
        self
    }

    /// The component.
    pub fn component(&self) -> Installed {
        guests::probe(&self.manifest)
    }

    /// The project of the guest that sends by `wasi:http`, approved, with a secret in `vendor.key`.
    #[track_caller]
    pub fn fetching(&self, secret: &str) -> Project {
        let component = guests::fetch(&self.manifest);
        let project = Project::new();
        project.config(&self.config().replace("\"test/probe@^1\"", "\"test/fetch@^1\"")).install(&component);
        project.secret("vendor.key", secret).approve("probe", &component);
        project
    }

    /// The project, not yet approved.
    pub fn project(&self) -> Project {
        let project = Project::new();
        project.config(&self.config()).install(&self.component());
        project
    }

    /// The project with a secret in `vendor.key`, approved.
    #[track_caller]
    pub fn approved_with(&self, secret: &str) -> Project {
        let project = self.project();
        project.secret("vendor.key", secret).approve("probe", &self.component());
        project
    }

    /// The project with its connection approved.
    #[track_caller]
    pub fn approved(&self) -> Project {
        let project = self.project();
        project.approve("probe", &self.component());
        project
    }
}

/// An order to send.
pub fn order(method: &str, url: &str) -> Value {
    json!({"method": method, "url": url})
}

/// An order to send with headers.
pub fn with_headers(method: &str, url: &str, headers: &[(&str, &str)]) -> Value {
    json!({"method": method, "url": url, "headers": headers})
}

impl Project {
    /// Has the guest send each of these in one call; what came of each: `{"status", "headers", "body"}` or
    /// `{"error", "detail"}`.
    #[track_caller]
    pub fn send_each(&self, orders: &[Value]) -> Vec<Value> {
        let (ran, report) = self.call("probe", "send-each", &json!({"requests": orders}));
        assert_eq!(report["outcome"], "succeeded", "{report:#}\n{}", ran.stderr);
        let output = report["output"].as_array().expect("a list").clone();
        assert_eq!(output.len(), orders.len());
        output
    }

    /// The same for one.
    #[track_caller]
    pub fn send(&self, order: &Value) -> Value {
        self.send_each(std::slice::from_ref(order)).remove(0)
    }
}

/// Whether the guest was told no, and no more than an exchange id.
pub fn is_denied(answer: &Value) -> bool {
    answer["error"] == "denied"
        && answer["detail"]
            .as_str()
            .is_some_and(|detail| detail.starts_with("exch_") && !detail.contains(' '))
}
