//! `test --record`: a cassette of one live run. The exchanges come masked from the pipeline; what has to come of them is what the
//! sandbox makes of them, not what the live run gave: so nothing that was masked gets into the file by another way, and what is
//! written replays, or it is said why not.
use super::{checks, sandbox::Sandbox};
use crate::{
    cassette::{
        self, Called, Cassette, Expected,
        recorder::{CASSETTE_BYTES_MAX, Recorder, Taken},
    },
    cli::{Arguments, Test},
    command::{
        build,
        live::{self, Live, Wanted},
        report,
    },
    compared::differences,
    config::{self, Config},
    exit::{Exit, Failure, Result, at_file},
    files, output,
};
use portcullis_engine::Outcome;
use portcullis_manifest::ConnectorName;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Differences that are named; a person looks at the first.
const DIFFERENCES_SHOWN: usize = 5;
const NAME_BYTES_MAX: usize = 100;

/// A cassette that was made, in its file.
pub struct Made {
    /// As it is read from its file.
    pub cassette: Cassette,
    /// Where it is played.
    pub sandbox: Sandbox,
}

/// Makes one.
pub async fn run(arguments: &Arguments, options: &Test, connection: &str) -> Result<Made> {
    let wanted = Wanted::of(&options.run)?.ok_or_else(|| {
        Failure::new(Exit::Usage, "`--record` makes a cassette of one run, and none is named")
            .with_help("add `--stream NAME`, `--action NAME --input JSON` or `--check`")
    })?;
    let config = Config::read(&arguments.config)?;
    let connected = config.connection(connection)?;
    let file = place(options, &wanted.call)?;
    let package = build::package(&options.dir)?;
    refuse_other(&connected.connector, &package.component.manifest.name, &options.dir, connection)?;
    let built = package.component.digest.clone();
    // What does not compile is found before anything is sent.
    let sandbox = Sandbox::new(package).await?;
    let recorder = Arc::new(Recorder::default());
    let live =
        live::run(arguments, connection, &wanted, recorder.clone(), report::cancel_on_signal()).await?;
    if !arguments.json && !is_recordable(live.report.outcome) {
        report::explain(&live.report);
    }
    if !is_recordable(live.report.outcome) {
        let message = format!("nothing was recorded: the run ended as `{}`", live.report.outcome.as_str());
        return Err(Failure::new(report::exit(&live.report), message).of_run(&live.report.run_id));
    }
    let sensitive = !connected.sensitive.is_empty() || has_sensitive(&sandbox);
    let taken = recorder.taken(sensitive).map_err(|failure| failure.of_run(&live.report.run_id))?;
    let cassette = Cassette {
        name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        file,
        call: masked_call(&wanted.call, &live).await,
        config: masked_value(&connected.config, &live).await,
        origins: connected.origins.clone(),
        max_records: wanted.max_records,
        lookback: false,
        expected: Expected::Success,
        statuses: Default::default(),
        exchanges: taken.exchanges.clone(),
    };
    let (expected, fault) = expected(&sandbox, &cassette, &live).await?;
    let cassette = Cassette { expected, ..cassette };
    let version = &sandbox.component.manifest.version;
    let mut words = format!(
        "Recorded by `portcullis test --record {connection}` of {} {version}. Secrets and sensitive values are masked: `***`.",
        connected.connector
    );
    if let Some(fault) = &fault {
        words.push_str(&format!("\nIt does not replay yet: {}", fault.lines().next().unwrap_or_default()));
    }
    let cassette = write(&cassette, &words, &live, options.force).await?;
    tell(arguments, &cassette, &taken, &live, fault.as_deref());
    if differs_from_approved(&config, connection, &built) && !arguments.json {
        output::note(
            "  it ran as approved, and replays with what is in the folder now, which is another digest",
        );
    }
    Ok(Made { cassette, sandbox })
}

/// An error of the connector is something to record; an end by the host, or an unknown one, is not.
fn is_recordable(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded | Outcome::Failed)
}

fn refuse_other(approved: &ConnectorName, here: &ConnectorName, dir: &Path, connection: &str) -> Result<()> {
    if approved == here {
        return Ok(());
    }
    let message = format!("`{connection}` runs `{approved}`, and `{}` is `{here}`", dir.display());
    Err(Failure::new(Exit::Usage, message).with_help("name a connection of this connector, or its folder"))
}

/// Where the cassette goes. One that is there stays, unless somebody says otherwise; looked at before anything is sent.
fn place(options: &Test, call: &Called) -> Result<PathBuf> {
    let default = match call {
        Called::Check => "check",
        Called::Discover => "discover",
        Called::Action { name, .. } | Called::Stream(name) => name.as_str(),
        Called::Delivery(_) => "delivery",
        Called::Batch(_) | Called::Complete { .. } => "batch",
    };
    let name = options.name.as_deref().unwrap_or(default);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') || !name.bytes().all(plain) {
        let message = format!("`{}` is no name of a cassette", output::shown_line(name));
        return Err(Failure::new(Exit::Usage, message)
            .with_help("`--as NAME`: letters, digits, `-`, `_` and `.`; the file is NAME.toml"));
    }
    let folder = options.cassettes.clone().unwrap_or_else(|| options.dir.join(cassette::FOLDER));
    let file = folder.join(format!("{name}.toml"));
    match file.symlink_metadata() {
        Ok(_) if !options.force => {
            Err(Failure::new(Exit::Usage, format!("`{}` is there already", file.display()))
                .with_help("`--force` writes over it, `--as NAME` makes another"))
        }
        _ => Ok(file),
    }
}

fn has_sensitive(sandbox: &Sandbox) -> bool {
    let manifest = &sandbox.component.manifest;
    manifest.actions.values().any(|action| !action.sensitive.is_empty())
        || manifest.streams.values().any(|stream| !stream.sensitive.is_empty())
}

async fn masked_call(call: &Called, live: &Live) -> Called {
    match call {
        Called::Action { name, input } => {
            Called::Action { name: name.clone(), input: live.way_out.masked(input).await }
        }
        other => other.clone(),
    }
}

async fn masked_value(value: &Value, live: &Live) -> Value {
    let masked = live.way_out.masked(&value.to_string()).await;
    serde_json::from_str(&masked).unwrap_or_else(|_| json!({}))
}

/// What has to come of it: what the sandbox makes of it, where that ends as the live run did. Where not, nothing of the live run is
/// written down, since what it gave may hold what is masked here.
async fn expected(sandbox: &Sandbox, cassette: &Cassette, live: &Live) -> Result<(Expected, Option<String>)> {
    cassette.hosts()?;
    let replayed = checks::replayed(sandbox, cassette).await?;
    let failure = live.report.failure.as_ref();
    let same = match (&replayed.came, failure) {
        (Expected::Error(kind), Some(failure)) => *kind == failure.kind,
        (came, None) => !matches!(came, Expected::Error(_)) && records_of(came) == lines(&live.records).len(),
        (_, Some(_)) => false,
    };
    if same && replayed.amiss.is_none() {
        return Ok((replayed.came, None));
    }
    let ran =
        failure.map_or_else(|| "succeeded".to_owned(), |failure| format!("ended as `{}`", failure.kind));
    let mut comes = match &replayed.came {
        Expected::Error(kind) => format!("its replay ends as `{kind}`: {}", replayed.words),
        _ if same => "so does its replay".to_owned(),
        came => {
            format!("its replay gives {} of {} records", records_of(came), lines(&live.records).len())
        }
    };
    comes.extend(replayed.amiss.iter().map(|amiss| format!("; what is wrong: {amiss}")));
    let empty = match (&cassette.call, failure) {
        (_, Some(failure)) => Expected::Error(failure.kind.clone()),
        (
            Called::Check
            | Called::Discover
            | Called::Delivery(_)
            | Called::Batch(_)
            | Called::Complete { .. },
            None,
        ) => Expected::Success,
        (Called::Action { .. }, None) => Expected::Output(Value::Null),
        (Called::Stream(_), None) => Expected::Records(Vec::new()),
    };
    Ok((empty, Some(format!("the run {ran}, and {comes}"))))
}

fn records_of(came: &Expected) -> usize {
    if let Expected::Records(records) = came { records.len() } else { 0 }
}

fn lines(records: &[u8]) -> Vec<&[u8]> {
    records.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect()
}

/// Writes it, and reads it again: what is tested is what lies there.
async fn write(cassette: &Cassette, words: &str, live: &Live, force: bool) -> Result<Cassette> {
    let file = &cassette.file;
    let text =
        cassette.print(words).ok_or_else(|| Failure::new(Exit::Usage, "no delivery or batch is recorded"))?;
    if text.len() > CASSETTE_BYTES_MAX {
        let message = format!(
            "nothing was recorded: the cassette would have {} bytes, more than {}",
            text.len(),
            CASSETTE_BYTES_MAX
        );
        return Err(Failure::new(Exit::Failed, message)
            .with_help("ask for less: by the config, the input or `--max-records`"));
    }
    // Asked once more, of the very bytes that are written.
    if live.way_out.holds_secret(text.as_bytes()).await {
        let message = "nothing was recorded: a secret of the connection would stand in the cassette";
        return Err(Failure::new(Exit::Failed, message)
            .with_help("a name, a key or the connector itself holds it: see `portcullis logs` for the exchanges, which are masked"));
    }
    let read = Cassette::parse(file, &text).map_err(Failure::documents)?;
    let folder = config::folder_of(file);
    std::fs::create_dir_all(folder).map_err(at_file("create", folder))?;
    match force {
        true => files::write_whole(file, text.as_bytes(), 0o644)?,
        false => files::write_new(file, text.as_bytes(), 0o644)?,
    }
    if files::read_regular(file, CASSETTE_BYTES_MAX as u64)? != text.as_bytes() {
        return Err(Failure::fault(format!("`{}` was made by somebody else meanwhile", file.display()))
            .with_help("`--force` writes over it, `--as NAME` makes another"));
    }
    Ok(read)
}

fn tell(arguments: &Arguments, cassette: &Cassette, taken: &Taken, live: &Live, fault: Option<&str>) {
    let other = if fault.is_none() { other_values(cassette, live) } else { Vec::new() };
    if arguments.json {
        output::json_line(&json!({
            "recorded": cassette.file.display().to_string(), "run_id": live.report.run_id,
            "exchanges": cassette.exchanges.len(), "headers_left_out": taken.left_out, "masked": taken.masked,
            "notes": taken.notes, "other_than_live": other, "does_not_replay": fault,
        }));
        return;
    }
    let exchanges = output::count(cassette.exchanges.len(), "exchange");
    output::note(&format!("recorded `{}`: {exchanges}, run {}", cassette.file.display(), live.report.run_id));
    if let Some(failure) = &live.report.failure {
        output::note(&format!("  the run ended as `{}`, and that is what has to come of it", failure.kind));
    }
    if !taken.left_out.is_empty() {
        let names: Vec<&str> = taken.left_out.iter().map(String::as_str).collect();
        output::note(&format!("  headers that are left out: {}", names.join(", ")));
    }
    if !taken.masked.is_empty() {
        output::note(&format!("  masked: {}", taken.masked.join("; ")));
    }
    taken.notes.iter().for_each(|note| output::note(&format!("  {note}")));
    if !other.is_empty() {
        output::note(&format!(
            "  what has to come of it is what the replay gives; the live run gave other values at {}: they are masked, or of \
             time or randomness",
            other.join(", ")
        ));
    }
    if let Some(fault) = fault {
        output::note(&format!("  it does not replay yet: {fault}"));
        if !taken.masked.is_empty() {
            output::note(
                "  the connector may need what is masked: make something up in its place, everywhere the same",
            );
        }
    }
}

/// Where the replay gives another value than the live run did: places alone, no values.
fn other_values(cassette: &Cassette, live: &Live) -> Vec<String> {
    let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap_or(Value::Null);
    let (was, is) = match &cassette.expected {
        Expected::Records(records) => {
            (lines(&live.records).into_iter().map(parse).collect(), Value::Array(records.clone()))
        }
        Expected::Output(output) => {
            (parse(live.report.output.as_deref().unwrap_or("null").as_bytes()), output.clone())
        }
        _ => return Vec::new(),
    };
    let all = differences(&was, &is);
    let mut shown: Vec<String> =
        all.iter().take(DIFFERENCES_SHOWN).map(|found| format!("`{}`", found.pointer)).collect();
    if all.len() > DIFFERENCES_SHOWN {
        shown.push(format!("{} more places", all.len() - DIFFERENCES_SHOWN));
    }
    shown
}

fn differs_from_approved(config: &Config, connection: &str, built: &str) -> bool {
    let lock = crate::approvals::read_lock(config);
    lock.is_ok_and(|lock| lock.approvals.get(connection).is_some_and(|approval| approval.digest != built))
}
