//! `review`: what the newest version asks for beyond what is approved. Pins, keeps and remembers nothing.
use super::approve::{Asked, Unfit, ask};
use crate::{
    approvals,
    cli::{Arguments, OneConnection},
    config::{Config, Connection, Updates, pinned},
    difference::Difference,
    exit::{Exit, Result},
    output,
    publisher::Signature,
    wiring::connections::refuse_differences,
};
use portcullis_manifest::Approval;
use serde_json::{Value, json};

/// Reviews one connection.
pub fn run(arguments: &Arguments, options: &OneConnection) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let reviewed = Reviewed::of(&config, &options.connection).inspect_err(|_| {
        if let Some(unfit) = Unfit::of(&config, &options.connection) {
            unfit.print(arguments.json);
        }
    })?;
    if arguments.json {
        output::json_line(&reviewed.as_json());
    } else {
        output::line(&reviewed.text());
    }
    Ok(reviewed.exit())
}

/// What is to be done about the newest version that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was approved before.
    NotApproved,
    /// What was approved has ended, and only an approval begins anew.
    Ended,
    /// It is what is approved.
    Current,
    /// A newer version that asks for nothing more.
    Covered,
    /// The same, but its publisher, who has a key, did not sign it.
    Unsigned,
    /// A newer version that asks for more.
    AsksForMore,
    /// No newer version, but not what is approved: the config is another one.
    Differs,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotApproved => "not-approved",
            Self::Ended => "ended",
            Self::Current => "current",
            Self::Covered => "covered",
            Self::Unsigned => "unsigned",
            Self::AsksForMore => "asks-for-more",
            Self::Differs => "differs",
        }
    }
}

/// The newest version that fits, held against what is approved.
pub struct Reviewed<'c> {
    /// The connection.
    pub connection: &'c Connection,
    /// What would be pinned.
    pub asked: Asked<'c>,
    /// What is pinned.
    pub former: Option<Approval>,
    /// What is to be done.
    pub verdict: Verdict,
    /// Whether what is approved runs with the config as it is.
    runs: bool,
}

impl<'c> Reviewed<'c> {
    /// Reads the registry and compares.
    pub fn of(config: &'c Config, name: &str) -> Result<Self> {
        let connection = config.connection(name)?;
        let former = approvals::read_lock(config)?.approvals.remove(name);
        let asked = ask(config, name)?;
        let runs = former.as_ref().is_some_and(|former| runs(config, connection, former));
        let verdict = match &former {
            None => Verdict::NotApproved,
            Some(former) if approvals::is_revoked(&config.data, name, former) => Verdict::Ended,
            Some(former) if asked.approval.version > former.version => {
                // `ask` read the lock too: where it found nothing there, nothing is shown to be covered.
                match asked.difference.as_ref().is_some_and(Difference::is_covered) {
                    true if has_key(config, connection) && asked.signature != Signature::Verified => {
                        Verdict::Unsigned
                    }
                    true => Verdict::Covered,
                    false => Verdict::AsksForMore,
                }
            }
            Some(former)
                if asked.invented.is_empty() && pinned::differences(former, &asked.approval).is_empty() =>
            {
                Verdict::Current
            }
            Some(_) => Verdict::Differs,
        };
        Ok(Self { connection, asked, former, verdict, runs })
    }

    /// For pipelines, as `update` ends: whether it waits for somebody who approves it.
    pub fn exit(&self) -> Exit {
        if self.verdict == Verdict::Current || self.takes() { Exit::Success } else { Exit::NotApproved }
    }

    /// Whether nobody has to be asked: it asks for nothing more, and the connection says that such a version is taken.
    pub fn takes(&self) -> bool {
        self.verdict == Verdict::Covered && self.connection.updates == Updates::SameGrants
    }

    /// What a person reads: the verdict, the difference, what to type.
    pub fn text(&self) -> String {
        let signature = self.asked.signature.words(&self.connection.connector.publisher);
        let mut text =
            format!("{}\n  {}\n  signature {signature}", self.headline(), self.asked.approval.digest);
        match &self.asked.difference {
            Some(difference) => text.push_str(&format!("\n\n{}", difference.text())),
            None => text.push_str(&format!("\n\n{}", self.asked.text())),
        }
        format!("{text}\n\nnext: {}", self.next())
    }

    /// One line.
    pub fn headline(&self) -> String {
        let Approval { connector, version, .. } = &self.asked.approval;
        let name = &self.connection.name;
        match (&self.former, self.verdict) {
            (None, _) => format!("`{name}` is not approved; the newest that fits is {connector} {version}"),
            (Some(former), Verdict::Ended) => {
                format!(
                    "`{name}`: {} is revoked; the newest that fits is {connector} {version}",
                    former.version
                )
            }
            (Some(_), Verdict::Current) => {
                format!("`{name}`: {connector} {version} is approved, and the newest that fits")
            }
            (Some(former), Verdict::Differs) => {
                format!("`{name}`: {connector} {version} fits, and {} is approved otherwise", former.version)
            }
            (Some(former), _) => {
                format!("`{name}`: {connector} {version} is newer than {}, which is approved", former.version)
            }
        }
    }

    /// What to type, and what runs until then.
    pub fn next(&self) -> String {
        let name = &self.connection.name;
        let approved = self.former.as_ref().map(|former| former.version.to_string()).unwrap_or_default();
        let until = if self.runs {
            format!("{approved} keeps running until then")
        } else {
            format!("{approved} does not run: config or lock are not what it was approved with")
        };
        let approve = format!("`portcullis approve {name}` shows all that it asks for, and pins it");
        match (self.verdict, self.connection.updates) {
            (Verdict::NotApproved, _) => format!("{approve}; nothing runs until then"),
            (Verdict::Ended, _) => format!("{approve}; nothing runs until then, and no `update` takes it"),
            (Verdict::Current, _) => "nothing".to_owned(),
            (Verdict::Covered, Updates::SameGrants) => {
                format!("`portcullis update {name}` takes it; {until}")
            }
            (Verdict::Covered, Updates::Ask) => {
                format!("{approve}; {until} (with `updates = \"same-grants\"`, `update` would take it)")
            }
            (Verdict::Unsigned, _) => {
                let publisher = &self.connection.connector.publisher;
                format!("{approve}; it asks for nothing more, but `{publisher}` did not sign it; {until}")
            }
            (Verdict::AsksForMore | Verdict::Differs, _) => format!("{approve}; {until}"),
        }
    }

    /// The same for programs.
    pub fn as_json(&self) -> Value {
        let Self { connection, asked, former, verdict, runs } = self;
        json!({
            "connection": connection.name,
            "connector": asked.approval.connector.to_string(),
            "verdict": verdict.as_str(),
            "approved": former.as_ref().map(|former| json!({
                "approval_id": former.approval_id, "approved_at": former.approved_at, "digest": former.digest,
                "version": former.version.to_string(), "runs": runs,
            })),
            "newest": { "version": asked.approval.version.to_string(), "digest": asked.approval.digest,
                        "signature": asked.signature.as_str() },
            "difference": asked.difference.as_ref().map(Difference::as_json),
            "lock_differs": asked.invented,
            "next": self.next(),
        })
    }
}

fn has_key(config: &Config, connection: &Connection) -> bool {
    config.publishers.contains_key(&connection.connector.publisher)
}

/// Whether what is approved is what the config and the approved component give today.
pub(super) fn runs(config: &Config, connection: &Connection, former: &Approval) -> bool {
    let Some(package) = approvals::seen_package(config, former) else { return false };
    if !pinned::manifest_differences(former, &package.component.manifest).is_empty() {
        return false;
    }
    !approvals::is_revoked(&config.data, &connection.name, former)
        && refuse_differences(config, connection, former, &package.component).is_ok()
}
