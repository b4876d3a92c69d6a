//! `store`: the data folder as a whole, looked through, copied and put back.
use super::confirm::confirmed;
use crate::{
    approvals,
    cli::{Arguments, StoreBackup, StoreCommand, StoreRestore},
    config::Config,
    exit::{Exit, Failure, Result, at_file},
    files, output,
    remedy::quoted,
    wiring,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_store::{Checked, StoreError};
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Of one file beside the databases: a component is the largest.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Runs one of them.
pub async fn run(arguments: &Arguments, command: &StoreCommand) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    match command {
        StoreCommand::Check => check(arguments, &config).await,
        StoreCommand::Backup(options) => backup(arguments, &config, options).await,
        StoreCommand::Restore(options) => restore(arguments, &config, options).await,
    }
}

async fn check(arguments: &Arguments, config: &Config) -> Result<Exit> {
    let data = config.data.clone();
    let found = blocking(move || portcullis_store::check(&data)).await?;
    for checked in &found {
        match arguments.json {
            true => output::json_line(&as_json(checked)),
            false => output::line(&as_text(checked)),
        }
    }
    match found.iter().all(|checked| checked.faults.is_empty()) {
        true => Ok(Exit::Success),
        false => Err(Failure::fault("a database is damaged").with_help(
            "stop `serve`, keep a copy of the data folder, and bring back a backup: `portcullis store restore DIR`",
        )),
    }
}

fn as_text(checked: &Checked) -> String {
    let Checked { name, bytes, faults } = checked;
    match (bytes, faults.as_slice()) {
        (None, []) => format!("ok       {name}: it is not there yet"),
        (Some(bytes), []) => format!("ok       {name}: {bytes} bytes, every page and row as it should be"),
        (_, faults) => {
            let lines = faults.iter().map(|fault| format!("error    {name}: {}", output::shown_line(fault)));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn as_json(checked: &Checked) -> serde_json::Value {
    json!({ "database": checked.name, "bytes": checked.bytes, "faults": checked.faults })
}

async fn backup(arguments: &Arguments, config: &Config, options: &StoreBackup) -> Result<Exit> {
    let (data, into) = (config.data.clone(), options.dir.clone());
    if fs::symlink_metadata(&into).is_ok() {
        let message = format!("there is already `{}`: a backup goes into a new folder", into.display());
        return Err(Failure::new(Exit::Usage, message));
    }
    let copied = blocking(move || portcullis_store::backup(&data, &into)).await?;
    let files = copy_decisions(&config.data, &options.dir)?;
    files::sync_folder(&options.dir)?;
    match arguments.json {
        true => output::json_line(&json!({
            "folder": options.dir.display().to_string(), "databases": copied.iter().map(as_json).collect::<Vec<_>>(),
            "files": files,
        })),
        false => {
            copied.iter().for_each(|checked| output::line(&as_text(checked)));
            let files = output::count(usize::try_from(files).unwrap_or(usize::MAX), "file");
            output::line(&format!("ok       what was approved and revoked: {files}"));
            let shown = options.dir.display();
            output::note(&format!(
                "`{shown}` holds what vendors answered and runs were given: keep it as you keep `data`. Config, lock, registry and secrets are not in it"
            ));
        }
    }
    Ok(Exit::Success)
}

async fn restore(arguments: &Arguments, config: &Config, options: &StoreRestore) -> Result<Exit> {
    if !options.dir.is_dir() {
        let message = format!("there is no folder `{}`", options.dir.display());
        return Err(Failure::new(Exit::Usage, message).with_help("`portcullis store backup DIR` makes one"));
    }
    let instead = format!("portcullis store restore {} --yes", quoted(&options.dir));
    if !options.yes {
        output::note(&format!(
            "what `{}` holds now is put aside, and what happened since the backup is not known any more: reads begin where they were \
             then, and deliveries and runs of flows that waited then wait for your word",
            config.data.display()
        ));
        if !confirmed("restore it? Type `yes`:", Exit::Usage, &instead)? {
            return Err(Failure::new(Exit::Cancelled, "nothing was changed"));
        }
    }
    let lock = wiring::acquire(config, arguments.wait(), &RealClock).await?;
    let from = options.dir.clone();
    let restored = blocking(move || portcullis_store::restore(&lock, &from, RealClock.now())).await?;
    // What was revoked since stays so: what is there already is left as it is.
    let files = copy_decisions(&options.dir, &config.data)?;
    if arguments.json {
        output::json_line(&json!({
            "before": restored.before.as_ref().map(|before| before.display().to_string()), "deliveries": restored.deliveries,
            "flow_runs": restored.flow_runs, "files": files,
        }));
        return Ok(Exit::Success);
    }
    output::line("restored");
    if let Some(before) = &restored.before {
        output::line(&format!("what there was before is in {}", quoted(before)));
    }
    for (count, what, command) in [
        (restored.deliveries, "delivery", "portcullis deliveries --state dead"),
        (restored.flow_runs, "run of a flow", "portcullis runs --outcome unknown"),
    ] {
        if count > 0 {
            output::line(&format!("{count} × {what} may have been done since: `{command}`"));
        }
    }
    output::note(
        "revoke again what was revoked since the backup, where it was made on another machine: portcullis revoke",
    );
    Ok(Exit::Success)
}

/// What was ever approved, which bytes, what ran last and what was revoked: as far as it is not there already. How many files.
fn copy_decisions(from: &Path, to: &Path) -> Result<u64> {
    let mut copied = 0;
    for folder in approvals::deciding_folders(Path::new("")).iter().filter(|folder| **folder != Path::new(""))
    {
        copy_new(&from.join(folder), &to.join(folder), &mut copied)?;
    }
    Ok(copied)
}

fn copy_new(from: &Path, to: &Path, copied: &mut u64) -> Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at_file("read", from))?,
    };
    files::private_folder(to)?;
    for entry in entries {
        let path: PathBuf = entry.map_err(at_file("read", from))?.path();
        let Some(name) = path.file_name() else { continue };
        let place = to.join(name);
        if path.is_dir() && !path.is_symlink() {
            copy_new(&path, &place, copied)?;
        } else if fs::symlink_metadata(&place).is_err() {
            files::write_new(&place, &files::read_regular(&path, FILE_BYTES_MAX)?, 0o600)?;
            *copied += 1;
        }
    }
    files::sync_folder(to)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, StoreError> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Failure::fault("the store failed").because(&error))?;
    done.map_err(|error| Failure::fault("the databases can't be used").because(&error))
}
