//! A newer version that the config does not fit yet: how it differs from what is approved, so that whoever binds what it lacks knows
//! what for.
use super::{Found, compared};
use crate::{
    approvals,
    command::review,
    config::{Config, pinned},
    difference::Difference,
    output,
};
use serde_json::{Value, json};

/// The newest version, and what it would change.
pub struct Unfit {
    connection: String,
    version: String,
    digest: String,
    approved: String,
    /// How it stands to that.
    way: &'static str,
    is_ended: bool,
    /// What is approved does, with the config as it is.
    runs: bool,
    difference: Difference,
    /// Origins that nothing is bound to.
    unbound: Vec<String>,
}

impl Unfit {
    /// None where nothing is approved that it could be compared with, or where it is not even known what it would send.
    pub fn of(config: &Config, connection: &str) -> Option<Self> {
        let found = Found::of(config, connection).ok()?;
        let (former, component) = (found.former()?, &found.package.component);
        let (draft, unbound) = pinned::draft(config, found.connection, component, former)?;
        if (&draft.connector, &draft.version) == (&former.connector, &former.version) {
            return None;
        }
        let difference = compared(config, found.connection, former, &draft, component).ok()?;
        let is_ended = approvals::is_revoked(&config.data, connection, former);
        Some(Self {
            connection: connection.to_owned(),
            version: draft.version.to_string(),
            approved: former.version.to_string(),
            way: match (draft.connector == former.connector, draft.version < former.version) {
                (false, _) => "is of another connector",
                (_, true) => "is older",
                _ => "is newer",
            },
            is_ended,
            runs: review::runs(config, found.connection, former),
            digest: draft.digest.clone(),
            difference,
            unbound,
        })
    }

    /// Above the faults of the config, which are the command's error.
    pub fn print(&self, as_json: bool) {
        if as_json {
            output::json_line(&self.as_json());
        } else {
            output::line(&self.text());
        }
    }

    fn text(&self) -> String {
        let Self { connection, version, approved, difference, way, .. } = self;
        let stands = if self.is_ended { "revoked" } else { "approved" };
        let text = format!(
            "`{connection}`: {version} {way} than {approved}, which is {stands}, and the config does not fit it\n\n{}\n\nnext: {}\n",
            difference.text(),
            self.next()
        );
        self.with_names(&text)
    }

    fn next(&self) -> String {
        let Self { connection, approved, .. } = self;
        let until = match (self.is_ended, self.runs) {
            (true, _) => "nothing runs until then".to_owned(),
            (_, true) => format!("{approved} runs on while the config is the one that it was approved with"),
            (_, false) => {
                format!("{approved} does not run: the config is not the one that it was approved with")
            }
        };
        format!(
            "what the config lacks, or has too much, is below; then `portcullis approve {connection}`; {until}"
        )
    }

    fn as_json(&self) -> Value {
        let difference = self.with_names(&self.difference.as_json().to_string());
        json!({
            "connection": self.connection, "verdict": "unfit", "approved": { "version": self.approved, "ended": self.is_ended },
            "newest": { "version": self.version, "digest": self.digest }, "next": self.next(),
            "difference": serde_json::from_str::<Value>(&difference).unwrap_or(Value::Null),
        })
    }

    /// What stands for an origin, as the manifest writes it.
    fn with_names(&self, text: &str) -> String {
        self.unbound.iter().fold(text.to_owned(), |text, name| {
            text.replace(&pinned::placeholder(name), &format!("{{origin.{name}}}"))
        })
    }
}
