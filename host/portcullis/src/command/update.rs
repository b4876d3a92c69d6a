//! `update`: takes a newer version that asks for nothing beyond what is approved, where the connection says so; every other one
//! waits, and is named with what to type. One connection that can't be looked at hides no other.
use super::{
    approve::grant,
    review::{Reviewed, Verdict},
};
use crate::{
    cli::{Arguments, Update},
    config::Config,
    exit::{Exit, Failure, Result},
    output, remedy,
};
use serde_json::{Value, json};

/// Updates one connection or all.
pub fn run(arguments: &Arguments, options: &Update) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    if let Some(name) = &options.connection {
        let proposal = Proposal::carried_out(&config, arguments, name)?;
        proposal.print(arguments.json);
        return Ok(proposal.exit());
    }
    let mut worst = Exit::Success;
    for name in config.connections.keys() {
        let exit = match Proposal::carried_out(&config, arguments, name) {
            Ok(proposal) => {
                proposal.print(arguments.json);
                proposal.exit()
            }
            Err(failure) => {
                print_failure(name, &failure, arguments.json);
                failure.exit
            }
        };
        worst = if rank(exit) > rank(worst) { exit } else { worst };
    }
    Ok(worst)
}

/// Nothing to do, something that waits, something that is broken.
fn rank(exit: Exit) -> u8 {
    match exit {
        Exit::Success => 0,
        Exit::NotApproved => 1,
        _ => 2,
    }
}

/// What became of one connection's newest version.
struct Proposal {
    result: &'static str,
    headline: String,
    next: Option<String>,
    difference: Option<String>,
    json: Value,
}

impl Proposal {
    fn carried_out(config: &Config, arguments: &Arguments, name: &str) -> Result<Self> {
        let reviewed = Reviewed::of(config, name)?;
        let takes = reviewed.takes();
        let mut proposal = Self {
            result: match reviewed.verdict {
                Verdict::Current => "current",
                _ if takes => "taken",
                _ => "waits",
            },
            headline: reviewed.headline(),
            next: (reviewed.verdict != Verdict::Current && !takes).then(|| reviewed.next()),
            difference: reviewed.asked.difference.as_ref().map(|difference| difference.text()),
            json: reviewed.as_json(),
        };
        if takes && let Some(former) = &reviewed.former {
            let version = &reviewed.asked.approval.version;
            proposal.headline = format!("`{name}`: {version} took the place of {}", former.version);
            proposal.json["next"] = Value::Null;
            proposal.json["approval_id"] = json!(reviewed.asked.approval.approval_id);
            let after = former.approval_id.clone();
            grant(config, reviewed.asked, arguments.wait(), Some(&after))?;
        }
        proposal.json["result"] = json!(proposal.result);
        Ok(proposal)
    }

    fn exit(&self) -> Exit {
        if self.result == "waits" { Exit::NotApproved } else { Exit::Success }
    }

    fn print(&self, as_json: bool) {
        if as_json {
            output::json_line(&self.json);
            return;
        }
        output::line(&format!("{:<8} {}", self.result, self.headline));
        if self.result != "current"
            && let Some(difference) = &self.difference
        {
            output::line(
                &difference.lines().map(|line| format!("         {line}")).collect::<Vec<_>>().join("\n"),
            );
        }
        if let Some(next) = &self.next {
            output::line(&format!("         next: {next}"));
        }
    }
}

/// Where all are looked at, a failure is one of several results; a document's words are shown as every failure shows them.
fn print_failure(name: &str, failure: &Failure, as_json: bool) {
    let (message, help) =
        (remedy::unsecret(&failure.to_string()), failure.help.as_deref().map(remedy::pasteable));
    let places: Vec<_> =
        failure.diagnostics.iter().map(|place| remedy::unsecret(&place.to_string())).collect();
    if as_json {
        output::json_line(&json!({
            "connection": name, "result": "failed", "message": message, "help": help, "diagnostics": places,
        }));
        return;
    }
    output::line(&format!("{:<8} `{name}`: {}", "failed", output::shown_line(&message)));
    for more in places.into_iter().filter(|place| *place != message).chain(help) {
        output::line(&format!("         {}", output::shown_line(&more)));
    }
    output::line(&format!(
        "         next: `portcullis review {name}` shows the places; what is approved stays"
    ));
}
