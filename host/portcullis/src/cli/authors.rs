//! The commands of authors: `new`, `build`, `test`, `dev`.
use clap::{Args, ValueEnum};
use portcullis_manifest::Role;
use std::path::PathBuf;

/// `test`
#[derive(Args, Debug)]
pub struct Test {
    /// The connector's folder
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Cassettes of another folder than the connector's own `tests/cassettes`
    #[arg(long, value_name = "DIR")]
    pub cassettes: Option<PathBuf>,
    /// Only cassettes with this in their name
    #[arg(long, value_name = "PART")]
    pub filter: Option<String>,
    /// Write a JUnit report too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Make a cassette first, of one run of this approved connection, and play that one. It is a live
    /// run: what it changes at the vendor is changed
    #[arg(long, value_name = "CONNECTION", conflicts_with_all = ["filter", "junit"])]
    pub record: Option<String>,
    /// What is run
    #[command(flatten)]
    pub run: OneRun,
    /// The new cassette's name; that of the action or stream where absent
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Write over a cassette of that name
    #[arg(long)]
    pub force: bool,
}

/// What `test --record` and `dev --connection` run
#[derive(Args, Debug)]
pub struct OneRun {
    /// With a connection: call this action
    #[arg(long, value_name = "NAME", conflicts_with = "stream")]
    pub action: Option<String>,
    /// Its input: JSON, or a file that holds it
    #[arg(long, value_name = "JSON|FILE", requires = "action")]
    pub input: Option<String>,
    /// With a connection: read this stream
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Records a page at most
    #[arg(long, value_name = "N", requires = "stream")]
    pub max_records: Option<u32>,
    /// With a connection: run the connector's own check
    #[arg(long, conflicts_with_all = ["action", "stream"])]
    pub check: bool,
}

/// `new`
#[derive(Args, Debug)]
pub struct New {
    /// Its name, such as `acme/weather`: lower-case letters, digits and `-`
    #[arg(value_name = "PUBLISHER/NAME")]
    pub name: String,
    /// What it does; give it again for more
    #[arg(long = "role", value_name = "ROLE", default_value = "source")]
    pub roles: Vec<NewRole>,
    /// The folder, which does not exist yet; `NAME` where absent
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The crate `portcullis-sdk` in this folder, in place of the one that is written to `sdk/`
    #[arg(long, value_name = "DIR")]
    pub sdk_path: Option<PathBuf>,
}

/// `--role`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NewRole {
    /// Reads streams of records, page by page
    Source,
    /// Does single things that are asked for
    #[value(alias = "actions")]
    Action,
    /// Takes records in batches
    Destination,
    /// Reads what a vendor delivers
    Webhook,
}

impl From<NewRole> for Role {
    fn from(role: NewRole) -> Self {
        match role {
            NewRole::Source => Self::Source,
            NewRole::Action => Self::Actions,
            NewRole::Destination => Self::Destination,
            NewRole::Webhook => Self::Webhook,
        }
    }
}

/// `build`
#[derive(Args, Debug)]
pub struct Build {
    /// The connector's folder, with its `connector.toml`
    pub dir: PathBuf,
    /// Registry folder; the config's where there is one, else `./registry`
    #[arg(long, value_name = "DIR")]
    pub registry: Option<PathBuf>,
    /// Build again at each change, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// `dev`
#[derive(Args, Debug)]
pub struct Dev {
    /// The connector's folder
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Play this cassette alone
    #[arg(long, value_name = "NAME", conflicts_with = "connection")]
    pub cassette: Option<String>,
    /// Run something of this connection in place of cassettes. Each is a live run, of an approved digest:
    /// a build that asks for nothing more is approved where the connection says `updates = "same-grants"`
    #[arg(long, value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// Sign a delivery as this connector's vendor does, with a made-up secret, verify it and hand it over. FILE
    /// is a delivery as `deliver` takes it, or a body alone; without FILE the body has an `id` and a `type`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cassette", "action", "stream", "check"])]
    pub deliver: Option<Option<PathBuf>>,
    /// Sign it with another secret: it is refused, and the connector is not called
    #[arg(long, requires = "deliver")]
    pub forged: bool,
    /// What is run
    #[command(flatten)]
    pub run: OneRun,
}
