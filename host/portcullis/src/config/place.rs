//! Where a config's `data` and lock lie, and nothing else of it: what `revoke` needs must not fail on a fault elsewhere.
use super::{folder_of, plain};
use crate::exit::{Failure, Result, at_file};
use portcullis_manifest::diagnose::Document;
use std::path::{Path, PathBuf};

const RESCUE: &str = "write `data = \"PATH\"` alone into a new file beside `portcullis.lock`, and name that file with \
                      `--config FILE`: `revoke` needs no more of a config";

/// The folders and files of one config.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the config, where the lock lies.
    pub folder: PathBuf,
    /// `data`, absolute or from where the process stands.
    pub data: PathBuf,
}

impl Place {
    /// Reads `data` alone; unknown keys, missing files and faults in other tables are for other commands.
    pub fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).map_err(|error| at_file("read", file)(error).with_help(RESCUE))?;
        let faults = |faults| Failure::documents(faults).with_help(RESCUE);
        let document = Document::parse(file, &text).map_err(faults)?;
        let mut root = document.root();
        let data = root.string("data").map_or("data".to_owned(), |path| path.value);
        root.ignore_rest();
        drop(root);
        let data = document.finish(Some(data)).map_err(faults)?;
        let folder = folder_of(file).to_owned();
        Ok(Self { data: plain(&folder.join(data)), folder })
    }

    /// `portcullis.lock` beside the config.
    pub fn lock_file(&self) -> PathBuf {
        self.folder.join("portcullis.lock")
    }
}
