//! Documented exit codes, and the one error type that carries them to the end of a command.
use crate::remedy;
use portcullis_store::StoreError;
use std::process::ExitCode;

/// How a command ends. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// The run failed.
    Failed = 1,
    /// Wrong usage or invalid input.
    Usage = 2,
    /// A fault in config, manifest, lock, registry or data; or stdout could not be written.
    Fault = 3,
    /// Not approved, revoked, or different from what is approved.
    NotApproved = 4,
    /// The run's effect is unknown.
    Unknown = 5,
    /// Another process holds the data folder or the lock file.
    Held = 6,
    /// Cancelled.
    Cancelled = 7,
    /// The vendor asked for a longer pause than the host waits.
    RateLimited = 8,
    /// A batch is written but for lines that the destination rejected.
    Rejected = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The text behind `portcullis --help`: one line a code.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the run failed; the request to `explain` would be refused; `status` found what needs somebody
  2  wrong usage, or input that its schema refuses
  3  a fault in config, manifest, lock, registry or data, or one that `doctor` finds; or stdout
     could not be written
  4  not approved, revoked, or different from what is approved; a version that `review` or `update`
     found waits for it
  5  the outcome is unknown: an effect may have happened
  6  another process holds the data folder or the lock file; a `revoke` has taken effect
  7  cancelled
  8  rate-limited for longer than the host waits
  9  `write`: the batch is written but for lines that the destination rejected";

/// What a command failed with: words for a person, and the code.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// One line: what was refused.
    pub message: String,
    /// The run that it is about, where one had begun.
    pub run_id: Option<Box<str>>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to paste or type.
    pub help: Option<String>,
    /// Places in documents, where there are any.
    pub diagnostics: Vec<portcullis_manifest::Diagnostic>,
}

impl Failure {
    /// A failure with its code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            run_id: None,
            causes: Vec::new(),
            help: None,
            diagnostics: Vec::new(),
        }
    }

    /// A fault in config, manifest, lock, registry or data.
    pub fn fault(message: impl Into<String>) -> Self {
        Self::new(Exit::Fault, message)
    }

    /// Faults with their places.
    pub fn documents(diagnostics: Vec<portcullis_manifest::Diagnostic>) -> Self {
        let message = match diagnostics.as_slice() {
            [one] => one.to_string(),
            many => format!("{} faults", many.len()),
        };
        Self { diagnostics, ..Self::fault(message) }
    }

    /// The same about a run.
    #[must_use]
    pub fn of_run(mut self, run_id: &str) -> Self {
        self.run_id = Some(run_id.into());
        self
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Message, diagnostics and causes in one line, for who has room for no more.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        for diagnostic in &self.diagnostics {
            if !line.contains(&diagnostic.to_string()) {
                line = format!("{line}; {diagnostic}");
            }
        }
        for cause in &self.causes {
            line = format!("{line}: {cause}");
        }
        remedy::unsecret(&line)
    }

    /// The same with a chain of causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }
}

impl std::fmt::Display for Failure {
    /// One line: what was refused, and why.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Failure {}

/// What commands return.
pub type Result<T> = std::result::Result<T, Failure>;

/// A database of the data folder that can't be used, and what to do about it.
pub fn at_database(action: &str, name: &str, error: &StoreError) -> Failure {
    /// SQLite's numbers for a file that is no database, and for a damaged one.
    const DAMAGED: [i32; 2] = [26, 11];
    let failure = Failure::fault(format!("`{name}` can't be {action}")).because(error);
    let code = match error {
        StoreError::Newer { .. } => {
            return failure.with_help(
                "use the newer `portcullis` that wrote it, or another folder: `data = \"PATH\"` in the config",
            );
        }
        StoreError::Foreign { .. } => {
            return failure.with_help("name another folder: `data = \"PATH\"` in the config");
        }
        StoreError::Open { source, .. } | StoreError::Sql(source) => source.sqlite_error(),
        _ => None,
    };
    // The low byte is the error, what is above it refines it.
    if !code.is_some_and(|code| DAMAGED.contains(&(code.extended_code & 0xff))) {
        return failure;
    }
    let lost = match name {
        "state.db" => {
            "all runs, what is known of their effects, the positions of readers and the connectors' state; nothing else \
             remembers them"
        }
        _ => "what `logs` shows; nothing else depends on it",
    };
    failure.with_help(format!(
        "bring it back from a backup. Or move it away, with its `-wal` and `-shm`: it is made anew, and lost is {lost}"
    ))
}

/// Turns an I/O error into a failure that names the file.
pub fn at_file<'a>(
    action: &'a str,
    path: &'a std::path::Path,
) -> impl FnOnce(std::io::Error) -> Failure + 'a {
    move |error| Failure::fault(format!("cannot {action} `{}`", path.display())).because(&error)
}
