//! `test`: plays a connector's cassettes in the real sandbox and says of each what holds and what does not.
mod checks;
mod compared;
mod discovered;
mod mistakes;
mod record;
mod report;
mod sandbox;
mod uncalled;

use crate::{
    cassette::{self, Cassette},
    cli::{Arguments, Test},
    command::{build, live::Wanted},
    exit::{Exit, Failure, Result},
};
pub use checks::{Replayed, of, replayed};
use portcullis_manifest::Role;
use report::Check;
pub use report::Report;
pub use sandbox::Sandbox;
use std::{collections::BTreeSet, path::Path};

/// Builds the connector and plays its cassettes.
pub async fn run(arguments: &Arguments, options: &Test) -> Result<Exit> {
    if let Some(connection) = &options.record {
        let made = record::run(arguments, options, connection).await?;
        let mut report = Report::new(arguments.json);
        for check in checks::of(&made.sandbox, &made.cassette, &mut BTreeSet::new()).await? {
            report.add(check);
        }
        return Ok(report.end());
    }
    if Wanted::of(&options.run)?.is_some() || options.name.is_some() || options.force {
        return Err(Failure::new(
            Exit::Usage,
            "`--action`, `--stream`, `--check`, `--as` and `--force` go with `--record`",
        )
        .with_help(
            "`--record CONNECTION` makes a cassette; `--filter PART` chooses among those that are there",
        ));
    }
    let package = build::package(&options.dir)?;
    let folder = options.cassettes.clone().unwrap_or_else(|| options.dir.join(cassette::FOLDER));
    let cassettes = Cassette::read_all(&folder)?;
    let part = options.filter.as_deref();
    let wanted = |cassette: &Cassette| part.is_none_or(|part| cassette.name.contains(part));
    let chosen = chosen(&cassettes, &folder, wanted, part)?;
    let sandbox = Sandbox::new(package).await?;
    let mut report = Report::new(arguments.json);
    let mut used = BTreeSet::new();
    for cassette in &chosen {
        for check in checks::of(&sandbox, cassette, &mut used).await? {
            report.add(check);
        }
    }
    // A part of the cassettes says nothing of what all of them use, nor does one that broke off.
    let are_held = report.failures() == 0;
    if options.filter.is_none() && sandbox.component.roles.contains(&Role::Source) {
        report.add(discovered::compared(&sandbox, &chosen, &mut used).await?);
    }
    if options.filter.is_none() {
        for check in uncalled::of(&sandbox, &chosen).await? {
            report.add(check);
        }
    }
    if options.filter.is_none() && are_held {
        report.add(unused(&sandbox, &used));
    }
    if let Some(file) = &options.junit {
        report.junit(file)?;
    }
    Ok(report.end())
}

/// Those that are wanted, of which there has to be one; `part` = what was typed of their names.
pub fn chosen<'c>(
    cassettes: &'c [Cassette],
    folder: &Path,
    wanted: impl Fn(&Cassette) -> bool,
    part: Option<&str>,
) -> Result<Vec<&'c Cassette>> {
    let chosen: Vec<_> = cassettes.iter().filter(|cassette| wanted(cassette)).collect();
    if chosen.is_empty() {
        let message = match part {
            Some(part) if !cassettes.is_empty() => format!("no cassette has `{part}` in its name"),
            _ => format!("there is no cassette in `{}`", folder.display()),
        };
        return Err(Failure::new(Exit::Usage, message)
            .with_help(
                "a cassette is a call with its exchanges: `portcullis new` writes one, and `--record CONNECTION --stream NAME` makes one \
                 of a live run",
            ));
    }
    Ok(chosen)
}

/// Every declared rule is used by some cassette: one that is not is asked for in vain, or not tested.
pub fn unused(sandbox: &Sandbox, used: &BTreeSet<String>) -> Check {
    let manifest = &sandbox.component.manifest;
    let all = manifest.rules.iter().map(|rule| (&rule.place, rule.rule.to_string()));
    let named = manifest.from_response.iter().map(|from| (&from.rule.place, from.rule.rule.to_string()));
    let left: Vec<String> = all
        .chain(named)
        .filter(|(place, _)| !used.contains(*place))
        .map(|(place, rule)| format!("`{rule}` ({place})"))
        .collect();
    let fault = (!left.is_empty()).then(|| {
        format!(
            "no cassette uses {}\nadd a cassette that does, or remove the rule from connector.toml",
            left.join(", ")
        )
    });
    Check::new("rules", None, fault, std::time::Duration::ZERO)
}
