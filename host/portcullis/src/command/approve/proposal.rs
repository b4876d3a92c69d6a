//! What the new version proposes in place of a `config` of an older `config-version`: its own `migration.config` is asked, in a
//! sandbox that reaches nothing, before anybody approves it. Shown to be pasted, never written; what its own schema would refuse,
//! or TOML has not, is no proposal.
use crate::{
    cassette::inline,
    command::{block_on, test::Sandbox},
    config::Connection,
    exit::Failure,
    output,
    registry::Package,
};
use portcullis_engine::Schema;
use portcullis_manifest::{Approval, Role};
use portcullis_runtime::{Operation, Output};
use serde_json::{Value, json};

/// A config that nobody reads through is none that anybody approves.
const PROPOSAL_BYTES_MAX: usize = 64 * 1024;

/// What became of asking.
#[derive(Debug, PartialEq)]
pub struct Proposal {
    connection: String,
    from: u32,
    to: u32,
    said: Said,
}

#[derive(Debug, PartialEq)]
enum Said {
    /// Another config than the one that stands there.
    Config(Value),
    /// The same.
    Unchanged,
    /// Why there is none.
    Nothing(String),
}

impl Proposal {
    /// Asks, where the number grew since the former approval and the connector plays the role.
    pub fn of(connection: &Connection, former: Option<&Approval>, package: &Package) -> Option<Self> {
        let component = &package.component;
        let (from, to) = Self::is_asked(former, package)?;
        let config = connection.config.to_string();
        let asked = block_on(async {
            let sandbox = Sandbox::of(&package.bytes, component.clone()).await?;
            let moved = sandbox.alone(Operation::MigrateConfig { from_version: from, config }).await;
            moved.map_err(|error| Failure::fault("the connector failed at it").because(&error))
        });
        let said = match asked {
            Ok(Output::Json(text)) => judged(&text, connection, component.manifest.config_schema.as_ref()),
            Ok(_) => Said::Nothing("the answer does not belong to the call".to_owned()),
            Err(failure) => Said::Nothing(failure.to_string()),
        };
        Some(Self { connection: connection.name.clone(), from, to, said })
    }

    /// The two numbers, where it would.
    pub fn is_asked(former: Option<&Approval>, package: &Package) -> Option<(u32, u32)> {
        let (component, former) = (&package.component, former?);
        let (from, to) = (former.config_version, component.manifest.config_version);
        let same = former.connector == component.manifest.name;
        (same && from < to && component.roles.contains(&Role::Migration)).then_some((from, to))
    }

    /// What a person reads above the question.
    pub fn text(&self) -> String {
        let yours = format!("; or leave yours, where it is of version {} already", self.to);
        format!("{}{}", self.shown(), if matches!(self.said, Said::Config(_)) { &yours } else { "" })
    }

    fn shown(&self) -> String {
        let Self { connection, from, to, said } = self;
        let head = format!("config-version {from} → {to}: ");
        match said {
            Said::Config(config) => format!(
                "{head}the connector proposes this in place of your config; nothing is written for you\n\n\
                 [connections.{connection}]\nconfig = {}\n\n\
                 paste it and type the command again",
                inline(config)
            ),
            Said::Unchanged => format!("{head}the connector says that your config may stay as it is"),
            Said::Nothing(why) => format!(
                "{head}the connector proposes no config, so hold yours against what its new schema says: {}",
                output::shown_line(why)
            ),
        }
    }

    /// A refusal, with the proposal as its remedy where it has no other.
    pub fn beside(&self, failure: Failure) -> Failure {
        match failure.help {
            Some(_) => failure,
            None => failure.with_help(self.shown()),
        }
    }

    /// The same for programs.
    pub fn as_json(&self) -> Value {
        let (config, toml, why) = match &self.said {
            Said::Config(config) => (config.clone(), Some(format!("config = {}", inline(config))), None),
            Said::Unchanged => (Value::Null, None, Some("the config may stay as it is")),
            Said::Nothing(why) => (Value::Null, None, Some(why.as_str())),
        };
        json!({ "from": self.from, "to": self.to, "config": config, "toml": toml, "why": why })
    }
}

/// Written by a stranger: a table, of bounded size, that TOML can say and the new schema takes.
fn judged(text: &str, connection: &Connection, schema: Option<&Value>) -> Said {
    let Some(config) = serde_json::from_str(text).ok().filter(Value::is_object) else {
        return Said::Nothing("what it gave is no table".to_owned());
    };
    if config == connection.config {
        return Said::Unchanged;
    }
    let line = inline(&config);
    if line.len() > PROPOSAL_BYTES_MAX {
        return Said::Nothing(format!("what it gave is larger than {PROPOSAL_BYTES_MAX} bytes"));
    }
    if has_null(&config) || toml::from_str::<toml::Table>(&format!("config = {line}")).is_err() {
        return Said::Nothing("what it gave can't be written as TOML".to_owned());
    }
    let Some(schema) = schema else {
        return Said::Nothing("it takes no config any more: remove yours".to_owned());
    };
    match Schema::new(schema.to_string()).validate_in_time(text) {
        Err(error) => Said::Nothing(format!("its config schema can't be used: {}", error.words())),
        Ok(faults) => match faults.first() {
            None => Said::Config(config),
            Some(fault) => Said::Nothing(format!(
                "what it gave is refused by its own schema: `config{}`: {}",
                fault.place().replace('/', "."),
                fault.message
            )),
        },
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(entries) => entries.values().any(has_null),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::{Config, authored};
    use std::path::Path;

    fn connection() -> Connection {
        let text =
            "[connections.crm]\nconnector = \"acme/crm\"\nconfig = { page = 1 }\nallow = \"requested\"\n";
        let mut config: Config = authored::parse(Path::new("/portcullis.toml"), text).unwrap();
        config.connections.remove("crm").unwrap()
    }

    #[test]
    fn what_is_proposed_can_be_pasted() {
        let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
                            "properties": {"pages": {"type": "integer"}}});
        let judged = |text: &str| super::judged(text, &connection(), Some(&schema));
        let proposal = |said| Proposal { connection: "crm".to_owned(), from: 1, to: 2, said };
        let given = r#"{"pages": 1, "a b": ["x\"\u202e", 1.50, {"c": true}]}"#;
        let shown = proposal(judged(given)).text();
        let line = "[connections.crm]\nconfig = { pages = 1, \"a b\" = [\"x\\\"\\U0000202E\", 1.50, { c = true }] }\n";
        assert!(shown.contains(line), "{shown}");
        let pasted: toml::Table = toml::from_str(line).unwrap();
        assert_eq!(pasted["connections"]["crm"]["config"]["a b"][0].as_str(), Some("x\"\u{202e}"));
        assert_eq!(judged(r#"{"page":1}"#), Said::Unchanged);
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(PROPOSAL_BYTES_MAX));
        for (given, why) in [
            ("7", "no table"),
            ("{", "no table"),
            (r#"{"a":[{"b":null}]}"#, "can't be written as TOML"),
            (r#"{"a":123456789012345678901234567890}"#, "can't be written as TOML"),
            (r#"{"pages":"1"}"#, "refused by its own schema: `config.pages`"),
            (large.as_str(), "larger than 65536 bytes"),
        ] {
            let shown = proposal(judged(given)).text();
            assert!(shown.contains(why) && shown.contains("hold yours against"), "{given:.80}: {shown}");
            assert!(!shown.contains("config ="), "{shown}");
        }
        let none = super::judged("{}", &connection(), None);
        assert!(matches!(&none, Said::Nothing(why) if why.contains("remove yours")), "{none:?}");
    }
}
