//! What waits for a snapshot, in `STREAM.parts`: a file for each batch, what is known of each generation, the keys of the snapshot that
//! readers see, and which one that is. Names are fixed in width, so that the order of names is that of what they say.

use crate::{
    config::Shape,
    folder,
    name::{self, of_stream},
};
use portcullis_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where the parts of a stream are.
pub struct Parts {
    stream: String,
}

/// What readers see.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Snapshot {
    pub generation: u64,
    /// Its file.
    pub file: String,
    /// The file that it took the place of, where that has another name.
    pub superseded: Option<String>,
    pub shape: Shape,
    /// Batches that are in it: when one of them comes again, it is here already.
    pub batches: Vec<String>,
}

/// The file of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub number: u64,
    pub lines: u64,
    pub id: String,
}

impl Part {
    fn name(&self, generation: u64) -> String {
        format!("{generation:020}-{:010}-{}-{}.ndjson", self.number, self.lines, self.id)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut words = name.strip_suffix(".ndjson")?.splitn(4, '-');
        let (_generation, number, lines) = (words.next()?, words.next()?, words.next()?);
        let id = words.next()?.to_owned();
        Some(Self { number: number.parse().ok()?, lines: lines.parse().ok()?, id })
    }
}

impl Parts {
    pub fn of(stream: &str) -> Self {
        Self { stream: of_stream(stream) }
    }

    /// The file that readers see.
    pub fn snapshot_file(&self, shape: &Shape) -> String {
        format!("{}.{}", self.stream, shape.format.extension())
    }

    fn folder(&self) -> String {
        format!("{}.parts", self.stream)
    }

    /// The snapshot that readers see; none = there was none yet.
    pub fn snapshot(&self) -> Result<Option<Snapshot>> {
        folder::document(&format!("{}/snapshot.json", self.folder()))
    }

    pub fn put_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        folder::put_document(&format!("{}/snapshot.json", self.folder()), snapshot)
    }

    /// How a generation is written; none = nothing of it was.
    pub fn shape(&self, generation: u64) -> Result<Option<Shape>> {
        folder::document(&self.shape_file(generation))
    }

    pub fn put_shape(&self, generation: u64, shape: &Shape) -> Result<()> {
        folder::put_document(&self.shape_file(generation), shape)
    }

    fn shape_file(&self, generation: u64) -> String {
        format!("{}/{generation:020}.json", self.folder())
    }

    /// Its keys, 16 bytes each.
    pub fn keys_file(&self, generation: u64) -> String {
        format!("{}/{generation:020}.keys", self.folder())
    }

    pub fn file(&self, generation: u64, part: &Part) -> String {
        format!("{}/{}", self.folder(), part.name(generation))
    }

    /// A generation's parts, in order.
    pub fn list(&self, generation: u64) -> Result<Vec<Part>> {
        let prefix = format!("{generation:020}-");
        let mut found = Vec::new();
        folder::each_name(&self.folder(), None, |name| {
            found.extend(Some(name).filter(|name| name.starts_with(&prefix)).and_then(Part::parse));
        })?;
        found.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
        Ok(found)
    }

    /// The part of a batch: the one that is there, else behind all others.
    pub fn part(&self, generation: u64, batch_id: &str, lines: u64) -> Result<Part> {
        let (all, id) = (self.list(generation)?, name::of_batch(batch_id));
        match all.iter().find(|part| part.id == id) {
            Some(part) if part.lines != lines => Err(Error::conflict(format!(
                "the batch `{id}` came with {} lines before, and comes with {lines} now",
                part.lines
            ))),
            Some(part) => Ok(Part { number: part.number, lines, id }),
            None => {
                let number = all.last().map_or(1, |last| last.number.saturating_add(1));
                Ok(Part { number, lines, id })
            }
        }
    }

    /// Removes what the snapshot has taken in, and everything older. What is newer stays.
    pub fn tidy(&self, snapshot: &Snapshot) -> Result<()> {
        let mut gone = Vec::new();
        let keys = format!("{:020}.keys", snapshot.generation);
        folder::each_name(&self.folder(), None, |name| {
            let generation = name.get(..20).and_then(|digits| digits.parse::<u64>().ok());
            if generation.is_some_and(|of| of <= snapshot.generation) && name != keys {
                gone.push(format!("{}/{name}", self.folder()));
            }
        })?;
        // The description last: parts without it could not be told apart from a stranger's.
        let (descriptions, parts): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|name| name.ends_with(".json"));
        parts.iter().chain(&descriptions).try_for_each(|path| folder::remove(path))?;
        match &snapshot.superseded {
            Some(file) if *file != snapshot.file => folder::remove(file),
            _ => Ok(()),
        }
    }
}
