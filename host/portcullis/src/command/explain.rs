//! `explain`: whether a request would leave, by which two rules, with which credential, to where; or what misses.
use crate::{
    cli::{Arguments, Explain},
    config::{Config, Connection},
    exit::{Exit, Result},
    output,
    wiring::explain::Explainer,
};
use portcullis_egress::{Explained, Question, error::DenialDetail};
use serde_json::{Value, json};

/// Explains one request. Nothing is sent.
pub async fn run(arguments: &Arguments, options: &Explain) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let explainer = Explainer::open(&config, &options.connection)?;
    let connection = config.connection(&options.connection)?;
    let operation = match (&options.action, &options.stream) {
        (Some(action), _) => explainer.action(action)?,
        (None, Some(stream)) => explainer.stream(stream)?,
        (None, None) => None,
    };
    let question = Question {
        method: &options.method,
        url: &options.url,
        operation,
        slot: options.slot.as_deref(),
        look_up: options.online,
    };
    let (exit, value, text) = match explainer.egress.explain(question).await {
        Ok(explained) => {
            let shown = Shown::of(&config, connection, &explained);
            (Exit::Success, shown.json(&explained), shown.text(&explained, connection))
        }
        Err(denial) => (Exit::Failed, denial_json(&denial), denial_text(&denial)),
    };
    if arguments.json {
        output::json_line(&value)
    } else {
        output::line(&text)
    }
    Ok(exit)
}

/// What egress does not know of an allowed request: how config and lock call it.
struct Shown {
    /// Credential, where it goes, slot.
    credential: Option<(String, String, String)>,
}

impl Shown {
    fn of(config: &Config, connection: &Connection, explained: &Explained) -> Self {
        let credential = explained.authorized.credential().and_then(|slot| {
            let name = connection.credentials.get(slot)?;
            let place = config.credentials.get(name)?.place().to_string();
            Some((name.clone(), place, slot.to_owned()))
        });
        Self { credential }
    }

    fn json(&self, explained: &Explained) -> Value {
        let authorized = &explained.authorized;
        let (host, port) = &explained.dialled;
        json!({
            "allowed": true,
            "request": format!("{} {}", authorized.method(), authorized.url().without_query()),
            "manifest_rule": authorized.manifest_rule(),
            "manifest_place": authorized.manifest_place(),
            "operator_place": authorized.operator_place(),
            "safe": authorized.is_safe(),
            "credential": self.credential.as_ref().map(|(name, place, slot)| json!({"name": name, "place": place, "slot": slot})),
            "dialled": { "host": host, "port": port, "connect_to": explained.mapped },
            "addresses": explained.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn text(&self, explained: &Explained, connection: &Connection) -> String {
        let authorized = &explained.authorized;
        let (host, port) = &explained.dialled;
        let credential = match &self.credential {
            Some((name, place, slot)) => format!("`{name}` in the {place} (slot `{slot}`)"),
            None => "none".to_owned(),
        };
        let to = if explained.mapped { ", where `connect-to` leads" } else { "" };
        let addresses = match explained.addresses.as_slice() {
            [] => policy(connection, authorized.url().scheme()),
            all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        [
            format!("allowed: {} {}", authorized.method(), authorized.url().without_query()),
            format!("  manifest rule  `{}` ({})", authorized.manifest_rule(), authorized.manifest_place()),
            format!("  operator rule  {}", authorized.operator_place()),
            format!("  credential     {credential}"),
            format!("  dialled        {host}:{port}{to}"),
            format!("  addresses      {addresses}"),
        ]
        .join("\n")
    }
}

/// Which addresses a name may have.
fn policy(connection: &Connection, scheme: &str) -> String {
    let listed: Vec<_> = connection.network.addresses.iter().map(ToString::to_string).collect();
    let listed = listed.join(", ");
    match (scheme, listed.as_str()) {
        ("http", "") => "none: `http://` reaches loopback alone, and `addresses` lists none of it".to_owned(),
        ("http", listed) => format!("loopback alone, as far as `addresses` lists it: {listed}"),
        (_, "") => "public ones; `--online` looks them up".to_owned(),
        (_, listed) => format!("public ones, and those in {listed}; `--online` looks them up"),
    }
}

fn denial_json(denial: &DenialDetail) -> Value {
    json!({ "allowed": false, "reason": denial.reason, "remedy": denial.remedy })
}

fn denial_text(denial: &DenialDetail) -> String {
    let mut text = format!("denied: {}", output::shown_line(&denial.reason));
    if let Some(remedy) = &denial.remedy {
        text.push_str("\nto allow it:\n");
        text.push_str(&remedy.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));
    }
    text
}
