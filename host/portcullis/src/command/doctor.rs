//! `doctor`: what is wrong with a setup, each finding with a remedy. Reads and changes nothing: no data lock, no row, no file, no
//! request. Secrets are read as a call would read them, and none is kept or shown.
mod connections;
mod files;
mod machine;
mod routes;
mod secrets;

use crate::{
    cli::{Arguments, Doctor},
    config::Config,
    exit::{Exit, Failure, Result},
    output, remedy,
};
use serde_json::json;

const CORRECT: &str = "correct that line; `portcullis config check` shows it underlined";

/// Looks at everything, and says what it found: what is well, then what may be wrong, then what is.
pub async fn run(arguments: &Arguments, options: &Doctor) -> Result<Exit> {
    let mut findings = Findings::default();
    // First: a process that is hardened can't ask the kernel for its page map.
    machine::kernel(&mut findings);
    portcullis_runtime::harden_process()
        .map_err(|error| Failure::fault("cannot switch core dumps off").because(&error))?;
    match Config::read(&arguments.config) {
        Ok(config) => with(&config, options, &mut findings).await,
        Err(failure) => findings.failure("config", &failure, CORRECT),
    }
    findings.list.sort_by_key(|finding| finding.severity);
    let errors = findings.of(Severity::Error);
    if arguments.json {
        findings.list.iter().for_each(|finding| output::json_line(&finding.json()));
    } else {
        findings.list.iter().for_each(|finding| output::line(&finding.text()));
        output::line(&format!(
            "\n{}, {}, {} ok",
            output::count(errors, "error"),
            output::count(findings.of(Severity::Warning), "warning"),
            findings.of(Severity::Ok)
        ));
    }
    Ok(if errors == 0 { Exit::Success } else { Exit::Fault })
}

async fn with(config: &Config, options: &Doctor, findings: &mut Findings) {
    let faults = config.credential_faults();
    if faults.is_empty() {
        findings.ok("config", format!("`{}` holds", config.file.display()));
    } else {
        let failure = Failure::documents(faults);
        findings.failure("config", &failure, CORRECT);
    }
    files::look(config, findings);
    secrets::look(config, findings).await;
    let usable = connections::look(config, findings);
    routes::look(config, findings).await;
    machine::clock(config, findings);
    if options.online {
        connections::reach(&usable, findings).await;
    }
}

/// How bad it is; in the order in which it is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Ok,
    Warning,
    Error,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    severity: Severity,
    about: String,
    what: String,
    remedy: Option<String>,
}

impl Finding {
    fn text(&self) -> String {
        let what = output::shown_line(&remedy::unsecret(&self.what));
        let mut text = format!("{:<7}  {}: {what}", self.severity.word(), remedy::unsecret(&self.about));
        for line in self.remedy.as_deref().map(remedy::pasteable).iter().flat_map(|remedy| remedy.lines()) {
            text.push_str(&format!("\n         → {line}"));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "severity": self.severity.word(), "about": remedy::unsecret(&self.about), "what": remedy::unsecret(&self.what),
            "remedy": self.remedy.as_deref().map(remedy::pasteable),
        })
    }
}

/// All of them.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn of(&self, severity: Severity) -> usize {
        self.list.iter().filter(|finding| finding.severity == severity).count()
    }

    fn ok(&mut self, about: impl Into<String>, what: impl Into<String>) {
        self.list.push(Finding {
            severity: Severity::Ok,
            about: about.into(),
            what: what.into(),
            remedy: None,
        });
    }

    fn warning(&mut self, about: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, about.into(), what.into(), remedy.into());
    }

    fn error(&mut self, about: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, about.into(), what.into(), remedy.into());
    }

    fn add(&mut self, severity: Severity, about: String, what: String, remedy: String) {
        self.list.push(Finding { severity, about, what, remedy: Some(remedy) });
    }

    /// What would end a command, as an error: one for each place in a document.
    fn failure(&mut self, about: &str, failure: &Failure, or_else: &str) {
        let remedy = |help: Option<&String>| {
            help.or(failure.help.as_ref()).map_or(or_else, |help| help.as_str()).to_owned()
        };
        for diagnostic in &failure.diagnostics {
            self.error(about, diagnostic.to_string(), remedy(diagnostic.help.as_ref()));
        }
        if failure.diagnostics.is_empty() {
            self.error(about, failure.to_string(), remedy(None));
        }
    }
}
