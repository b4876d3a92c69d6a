//! Cassettes at each change, as `test` plays them; of each is shown what it asks for and what is new in what comes of it.
use super::shown;
use crate::{
    cassette::{self, Cassette, Expected},
    cli::{Arguments, Dev},
    command::{
        build,
        test::{Report, Sandbox, chosen, of, replayed, unused},
    },
    exit::Result,
    output,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;

/// What is played, and what came of it last.
pub struct Plays<'a> {
    arguments: &'a Arguments,
    options: &'a Dev,
    former: BTreeMap<String, Value>,
}

impl<'a> Plays<'a> {
    /// Nothing was played yet.
    pub fn new(arguments: &'a Arguments, options: &'a Dev) -> Self {
        Self { arguments, options, former: BTreeMap::new() }
    }

    /// Builds and plays once.
    pub async fn round(&mut self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let (dir, as_json) = (&self.options.dir, self.arguments.json);
        let Some(built) = build::built_until(dir, stop).await? else { return Ok(()) };
        let cassettes = Cassette::read_all(&dir.join(cassette::FOLDER))?;
        let only = self.options.cassette.as_deref();
        let played = chosen(
            &cassettes,
            &dir.join(cassette::FOLDER),
            |cassette| only.is_none_or(|only| cassette.name == only),
            only,
        )?;
        let sandbox = Sandbox::new(built.package(dir)?).await?;
        let (mut report, mut used) = (Report::new(as_json), BTreeSet::new());
        for cassette in played {
            if *stop.borrow() {
                return Ok(());
            }
            let replayed = replayed(&sandbox, cassette).await?;
            if !as_json {
                output::line(&format!("{}: {}", cassette.name, cassette.call.words()));
            }
            replayed.exchanges.iter().for_each(|exchange| shown::show(exchange, as_json));
            let is = value(&replayed.came, &replayed.words);
            shown::result(&cassette.name, &is, self.former.get(&cassette.name), as_json);
            self.former.insert(cassette.name.clone(), is);
            for check in of(&sandbox, cassette, &mut used).await? {
                report.add(check);
            }
        }
        // A part of the cassettes says nothing of what all of them use.
        if only.is_none() {
            report.add(unused(&sandbox, &used));
        }
        report.end();
        Ok(())
    }
}

/// For people and programs.
pub fn value(came: &Expected, words: &str) -> Value {
    match came {
        Expected::Success => json!("it works"),
        Expected::Output(output) => output.clone(),
        Expected::Records(records) => json!({ "records": records }),
        Expected::Handled { events, reply } => {
            json!({ "events": events, "reply": reply.as_ref().map(|(status, ..)| *status) })
        }
        Expected::Rejected(lines) => json!({ "rejected": lines }),
        Expected::Removed(removed) => json!({ "removed": removed }),
        Expected::Error(kind) => json!({ "error": kind, "message": words }),
    }
}
