//! The destination of files: records into NDJSON and CSV files of a folder that the operator grants.
//!
//! A file is there whole or not at all, and a batch that comes again changes nothing. `append` is a log, a file for each batch;
//! `replace` shows readers the last complete read in one file. Records are never made values: what is written is what came, to
//! the digit. `upsert` is refused: a file can't be altered in place, and a reader would see it half done.
mod append;
mod config;
mod csv;
mod fault;
mod folder;
mod judge;
mod key;
mod limits;
mod name;
mod partition;
mod parts;
mod replace;
mod scan;
mod table;
#[cfg(test)]
mod tests;

use portcullis_sdk::{Batch, Config, Destination, Error, Lifecycle, Mode, Rejected, Result, connector};

struct Files;
connector!(Files: destination);

impl Lifecycle for Files {
    fn check(config: Config) -> Result<()> {
        config::Config::of(&config)?;
        folder::each_name("", None, |_| {})
    }
}

impl Destination for Files {
    fn write(config: Config, batch: Batch) -> Result<Vec<Rejected>> {
        let config = config::Config::of(&config)?;
        match batch.mode {
            Mode::Append => append::write(&config, config.shape(&batch.stream)?, &batch),
            Mode::Replace => replace::write(&config, &config.shape(&batch.stream)?, &batch),
            Mode::Upsert => Err(Error::invalid_input(
                "files can't be altered in place, so there is no `upsert`: `append` writes down each change, `replace` shows the last \
                 complete read",
            )),
        }
    }

    fn complete(config: Config, stream_name: &str, generation: u64, removed_max: Option<u64>) -> Result<u64> {
        replace::complete(&config::Config::of(&config)?, stream_name, generation, removed_max)
    }
}
