//! The command line: every flag with its help in one place.
use crate::exit::EXIT_CODES;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

mod authors;
mod flows;
mod positions;
mod store;

pub use authors::{Build, Dev, New, OneRun, Test};
pub use flows::{Flows, FlowsCommand, FlowsTest, RunFlow};
pub use positions::{Positions, PositionsCommand, PositionsReset};
pub use store::{StoreBackup, StoreCommand, StoreRestore};

/// Where no other is named.
pub const CONFIG_FILE: &str = "portcullis.toml";

/// Runs connectors: sandboxed WebAssembly components that reach exactly what an operator approved.
#[derive(Parser, Debug)]
#[command(name = "portcullis", version, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
pub struct Arguments {
    /// The one config file; relative paths in it start at its folder
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG_FILE)]
    pub config: PathBuf,
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Seconds to wait for another process that holds the data folder or the lock file
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,
    /// Write the process's own events to stderr, as JSON: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<tracing::Level>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// How long to wait for the data folder.
    pub fn wait(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.wait)
    }
}

/// `schema`
#[derive(Args, Debug)]
pub struct Schema {
    /// Of which document
    #[arg(value_name = "DOCUMENT", default_value = "config")]
    pub of: SchemaOf,
}

/// Documents that people write.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum SchemaOf {
    /// `portcullis.toml`
    Config,
    /// `connector.toml`
    Manifest,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show the whole product at work, offline, against a vendor double on loopback
    Demo(Demo),
    /// Make a folder to begin in: a commented config, registry, data and secrets
    Init(Init),
    /// Check the config file alone, or show what it means
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the JSON Schema of the config file or of a connector's manifest, for editors
    Schema(Schema),
    /// Write a new connector: a folder that builds and passes its tests
    New(New),
    /// Build a connector from its folder and put it into the registry
    Build(Build),
    /// Build a connector and play its cassettes in the sandbox
    Test(Test),
    /// Build, and play or run, at each change of a connector's folder, until Ctrl-C
    Dev(Dev),
    /// List what the registry holds and what each connection runs
    Connectors,
    /// What is stored for a connection
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// Show what a component says of itself, without running it
    Inspect(Inspect),
    /// Show what a connection's connector asks for, and pin it in the lock
    Approve(Approve),
    /// Show what the newest version asks for beyond what is approved, and pin nothing
    Review(OneConnection),
    /// Take newer versions that ask for nothing more, and say which ones wait for an approval
    Update(Update),
    /// End an approval at once, for running calls too
    Revoke(Revoke),
    /// Say what would become of a request, by which rules, without sending it
    Explain(Explain),
    /// Look for what is wrong with the setup, each finding with a remedy; changes nothing
    Doctor(Doctor),
    /// Take webhooks and have them handed over, until Ctrl-C or SIGTERM; SIGHUP reads the config anew
    Serve,
    /// Have a running `serve` read its config anew
    Reload,
    /// Say on one screen what needs somebody, since when, and what to do
    Status,
    /// List how far readers have come; have one go on elsewhere, or begin anew
    Positions(Positions),
    /// Look through the databases, copy them, put a copy back
    #[command(subcommand)]
    Store(StoreCommand),
    /// List what vendors delivered; show, replay or discard one delivery
    Deliveries(Deliveries),
    /// Run the connector's own check of its config and credentials
    Check(OneConnection),
    /// List the streams that the connector finds
    Discover(OneConnection),
    /// Run one action
    Call(Call),
    /// List flows: what begins each, when it comes due, what waits and what is dead; try one without effects
    Flows(Flows),
    /// Begin a run of a flow and wait for its end, in a `serve` that runs, or here
    Run(RunFlow),
    /// Read one stream
    Read(Read),
    /// Hand one stored webhook delivery to a connector, without a server
    Deliver(Deliver),
    /// Hand one batch of records to a destination
    Write(Write),
    /// List runs, or show one
    Runs(Runs),
    /// Show exchanges: every request that left or was refused
    Logs(Logs),
    /// Print what a shell completes commands and options by
    Completions(Completions),
    /// Write man pages: one for each command
    Man(Man),
    /// Group refused requests by the rule that would let them pass, and write out such rules
    Denials(Denials),
}

/// `demo`
#[derive(Args, Debug)]
pub struct Demo {
    /// Leave config, registry, lock and data in DIR, and keep the vendor double running until Ctrl-C
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `init`
#[derive(Args, Debug)]
pub struct Init {
    /// The folder; made where it does not exist. Without it, that of `--config`
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `config`
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Say `ok`, or every fault with its line and what to write instead; looks at neither lock nor secrets
    Check,
    /// Show each value with the line it comes from; a secret only as its reference, which is not read
    Show(ConfigShow),
}

/// `config show`
#[derive(Args, Debug)]
pub struct ConfigShow {
    /// All that holds: defaults too, and whole paths
    #[arg(long)]
    pub resolved: bool,
}

/// `connections`
#[derive(Subcommand, Debug)]
pub enum ConnectionsCommand {
    /// Delete a connection's state, positions and exchanges, and the input and output of its runs
    Forget(ConnectionsForget),
}

/// `connections forget`
#[derive(Args, Debug)]
pub struct ConnectionsForget {
    /// Its name, in `[connections.*]` or in what is stored
    pub connection: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `inspect`
#[derive(Args, Debug)]
pub struct Inspect {
    /// `PUBLISHER/NAME`, `PUBLISHER/NAME@VERSION`, or a file
    #[arg(value_name = "REF")]
    pub reference: String,
}

/// `approve`
#[derive(Args, Debug)]
pub struct Approve {
    /// Name in `[connections.*]`
    pub connection: String,
    /// Do not ask; needs `--digest`
    #[arg(long, requires = "digest")]
    pub yes: bool,
    /// Approve this digest and no other
    #[arg(long, value_name = "sha256:HEX")]
    pub digest: Option<String>,
}

/// `update`
#[derive(Args, Debug)]
pub struct Update {
    /// Name in `[connections.*]`; all of them where none is named
    pub connection: Option<String>,
}

/// `revoke`
#[derive(Args, Debug)]
pub struct Revoke {
    /// A connection's name; `sha256:HEX`: every approval of that component; or the id of one, `apr_…`
    #[arg(value_name = "CONNECTION|DIGEST|APPROVAL")]
    pub target: String,
}

/// `explain`
#[derive(Args, Debug)]
pub struct Explain {
    /// Name in `[connections.*]`
    pub connection: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// The whole URL
    pub url: String,
    /// As this action would send it, whose `http` list may allow less
    #[arg(long, value_name = "NAME", conflicts_with = "stream")]
    pub action: Option<String>,
    /// As a read of this stream would send it
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// The credential slot that the connector would name
    #[arg(long, value_name = "NAME")]
    pub slot: Option<String>,
    /// Look the host's name up, and judge each of its addresses
    #[arg(long)]
    pub online: bool,
}

/// `doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// Look up the name of each granted host too, judge its addresses, connect and shake hands by TLS; no request is sent
    #[arg(long)]
    pub online: bool,
}

/// `check`, `discover`
#[derive(Args, Debug)]
pub struct OneConnection {
    /// Name in `[connections.*]`
    pub connection: String,
}

/// `call`
#[derive(Args, Debug)]
pub struct Call {
    /// Name in `[connections.*]`
    pub connection: String,
    /// The action
    pub action: String,
    /// Send nothing that may have an effect, and show what would leave: safe requests (GET, HEAD and
    /// what a rule calls `safe`) are sent, the rest is held back, and the connector is told `cancelled`
    #[arg(long)]
    pub dry_run: bool,
    /// Input as JSON; `-` reads it from stdin
    #[arg(value_name = "JSON")]
    pub input: Option<String>,
    /// Read the input from a file
    #[arg(long = "input", value_name = "FILE", conflicts_with = "input")]
    pub input_file: Option<PathBuf>,
}

/// `read`
#[derive(Args, Debug)]
pub struct Read {
    /// Name in `[connections.*]`
    pub connection: String,
    /// The stream
    pub stream: String,
    /// Write the records to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on where the read of this name (1 to 128 visible characters) stopped, and remember where
    /// this one stops
    #[arg(long, value_name = "NAME")]
    pub resume: Option<String>,
    /// Records a page at most
    #[arg(long, value_name = "N")]
    pub max_records: Option<u32>,
    /// Hold each record against the schema that the manifest has of this stream; one that does not fit
    /// ends the read before its page is written, and the position stays in front of it
    #[arg(long)]
    pub validate: bool,
}

/// `deliver`
#[derive(Args, Debug)]
#[command(after_help = DELIVERY)]
pub struct Deliver {
    /// Name in `[connections.*]`
    pub connection: String,
    /// The delivery, as one JSON document; `-` reads it from stdin
    pub file: PathBuf,
    /// Send nothing that may have an effect, and show what would leave, as `call --dry-run` does
    #[arg(long)]
    pub dry_run: bool,
}

const DELIVERY: &str = "\
A delivery, as it is stored:
  { \"id\": \"d1\", \"method\": \"POST\", \"path\": \"/hooks/orders\", \"query\": \"\",
    \"headers\": [[\"content-type\", \"application/json\"]], \"body\": \"{\\\"id\\\":1}\" }
`body-base64` in place of `body` holds bytes that are no text. Prints a line of JSON for each event,
and one for the reply where there is one. No signature is verified: nothing was received.";

/// `write`
#[derive(Args, Debug)]
#[command(after_help = BATCH)]
pub struct Write {
    /// Name in `[connections.*]`
    pub connection: String,
    /// The stream
    pub stream: String,
    /// The records, NDJSON: one object a line, at most 8 MiB in all; `-` reads them from stdin
    pub file: PathBuf,
    /// How they are written
    #[arg(long, value_enum, value_name = "MODE", default_value_t = WriteMode::Append)]
    pub mode: WriteMode,
    /// Properties that name a record, separated by commas; what the manifest says where absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub primary_key: Vec<String>,
    /// JSON Schema of a record, for the connector; the manifest's of this stream where absent, else
    /// anything goes
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Grows with each complete read of the stream
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub generation: u64,
    /// Once all lines are written, have the connector remove what is older than this generation
    #[arg(long)]
    pub complete: bool,
    /// Remove nothing where that were more records than this
    #[arg(long, value_name = "N", requires = "complete")]
    pub removed_max: Option<u64>,
    /// Write rejected lines there: number, error and record; `-` writes them to stdout
    #[arg(long, value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    /// Send nothing that may have an effect, and show what would leave, as `call --dry-run` does
    #[arg(long)]
    pub dry_run: bool,
}

const BATCH: &str = "\
Lines that the connector rejects come back with their numbers, counted from 1; the others are
written, and the command ends with 9. Each command is one batch of one run, and its id never comes
again. `complete` is called only with `--complete`.";

/// `--mode`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WriteMode {
    /// Each record is added
    Append,
    /// By primary key
    Upsert,
    /// By primary key, and `--complete` removes the rest
    Replace,
}

impl From<WriteMode> for portcullis_engine::Mode {
    fn from(mode: WriteMode) -> Self {
        match mode {
            WriteMode::Append => Self::Append,
            WriteMode::Upsert => Self::Upsert,
            WriteMode::Replace => Self::Replace,
        }
    }
}

/// `completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// Whose
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Args, Debug)]
pub struct Man {
    /// The folder; made where it does not exist. Pages of an earlier version in it are written over
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// When something began
#[derive(Args, Debug)]
pub struct Period {
    /// Only what began in the last `30m`, `2h`, `7d`, or at and after a moment: `2026-11-27T02:00:00Z`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what began before that
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `runs`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Runs {
    /// One of them
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// Only of this connection
    #[arg(long)]
    pub connection: Option<String>,
    /// Only of this flow
    #[arg(long, value_name = "NAME")]
    pub flow: Option<String>,
    /// Only with this outcome: succeeded, failed, dead-lettered, cancelled, unknown, dry-run, open
    #[arg(long)]
    pub outcome: Option<String>,
    /// Only with this correlation id
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// When
    #[command(flatten)]
    pub period: Period,
    /// Newest N
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `runs show`
#[derive(Subcommand, Debug)]
pub enum RunsCommand {
    /// Show one run with its steps, attempts and effects
    Show(RunsShow),
    /// Have a dead run of a flow tried once more, from the step that failed; asks first where an effect may repeat
    Replay(DecideRun),
    /// Give a dead run of a flow up, and the records that a run could not write
    Discard(DecideRun),
}

/// `runs replay`, `runs discard`
#[derive(Args, Debug)]
pub struct DecideRun {
    /// `run_…`
    pub run: String,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

/// `runs show`
#[derive(Args, Debug)]
pub struct RunsShow {
    /// `run_…`
    pub run: String,
}

/// `deliveries`
#[derive(Args, Debug)]
pub struct Deliveries {
    /// One of them
    #[command(subcommand)]
    pub command: Option<DeliveriesCommand>,
    /// Only of this route
    #[arg(long)]
    pub route: Option<String>,
    /// Only of this connection
    #[arg(long)]
    pub connection: Option<String>,
    /// Only in this state: queued, running, done, dead, discarded
    #[arg(long)]
    pub state: Option<String>,
    /// When
    #[command(flatten)]
    pub period: Period,
    /// Newest N
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `deliveries …`
#[derive(Subcommand, Debug)]
pub enum DeliveriesCommand {
    /// Show one delivery as it came, with the events that were read in it
    Show(OneDelivery),
    /// Have dead deliveries handed over again; asks first where an effect may repeat
    Replay(DecideDeliveries),
    /// Give dead deliveries up
    Discard(DecideDeliveries),
}

/// `deliveries show`
#[derive(Args, Debug)]
pub struct OneDelivery {
    /// `dlv_…`
    pub delivery: String,
}

/// `deliveries replay`, `deliveries discard`
#[derive(Args, Debug)]
pub struct DecideDeliveries {
    /// `dlv_…`
    #[arg(required_unless_present = "all")]
    pub delivery: Option<String>,
    /// All that are dead, as far as the options below let them pass
    #[arg(long, conflicts_with = "delivery")]
    pub all: bool,
    /// Only of this route
    #[arg(long, requires = "all")]
    pub route: Option<String>,
    /// Only of this connection
    #[arg(long, requires = "all")]
    pub connection: Option<String>,
    /// When they came
    #[command(flatten)]
    pub period: Period,
    /// So many a second, at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub per_second: u32,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `logs`
#[derive(Args, Debug)]
pub struct Logs {
    /// Only of this run
    #[arg(long)]
    pub run: Option<String>,
    /// Only of this connection
    #[arg(long)]
    pub connection: Option<String>,
    /// Only this status: `404`, `4xx`, `denied`, `failed`, `withheld`
    #[arg(long)]
    pub status: Option<String>,
    /// Only with this correlation id
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// The exchange with this id, with headers and bodies
    #[arg(long, value_name = "ID")]
    pub exchange: Option<String>,
    /// When
    #[command(flatten)]
    pub period: Period,
    /// Newest N
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// One HAR 1.2 document instead
    #[arg(long)]
    pub har: bool,
    /// Go on with each exchange that ends from now on, until Ctrl-C
    #[arg(long, conflicts_with_all = ["har", "until"])]
    pub follow: bool,
}

/// `denials`
#[derive(Args, Debug)]
pub struct Denials {
    /// Only of this connection
    #[arg(long)]
    pub connection: Option<String>,
    /// When
    #[command(flatten)]
    pub period: Period,
    /// Write out the fewest rules of `allow` that let the groups with these numbers pass
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub allow: Vec<usize>,
}

#[cfg(test)]
mod tests;
