//! The destination against a folder in memory: what readers see, and what comes again. Crashes are files that are not there yet.
#![allow(clippy::unwrap_used)]
use super::Files;
use portcullis_sdk::{
    Batch, Config, Destination, Error, ErrorKind, Mode, Rejected, Result, StreamDescriptor, files,
    harness::destination::{self, Row, Target},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, io::Read};

const ITEMS: &str = "{\"id\":1,\"n\":1e400}\n{\"id\":2,\"n\":0.1000000000000000000000000000000000000001}\n";

fn stream() -> StreamDescriptor {
    StreamDescriptor::new("items", r#"{"properties":{"id":{},"n":{}}}"#)
        .primary_key(["id"])
        .deleted_field("gone")
}

fn batch(id: &str, mode: Mode, generation: u64, records: &str) -> Batch {
    Batch { id: id.into(), stream: stream(), mode, generation, records: records.into() }
}

fn write(config: &str, batch: &Batch) -> Result<Vec<Rejected>> {
    Files::write(Config::new(config), batch.clone())
}

/// Of the mode `replace`, all lines taken.
fn put(id: &str, generation: u64, records: &str) {
    assert_eq!(write("{}", &batch(id, Mode::Replace, generation, records)).unwrap(), []);
}

fn complete(generation: u64, removed_max: Option<u64>) -> Result<u64> {
    Files::complete(Config::new("{}"), "items", generation, removed_max)
}

fn content(path: &str) -> Option<String> {
    let mut text = String::new();
    files::reader("out", path).read_to_string(&mut text).ok().map(|_| text)
}

type Folder = BTreeMap<String, Vec<u8>>;

/// Every file, with what is in it.
fn all() -> Folder {
    let (mut open, mut found) = (vec![String::new()], Folder::new());
    while let Some(folder) = open.pop() {
        for name in files::list("out", &folder, None, 1_000).unwrap_or_default() {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if let Some(folder) = path.strip_suffix('/') {
                open.push(folder.to_owned());
                continue;
            }
            let mut bytes = Vec::new();
            files::reader("out", &*path).read_to_end(&mut bytes).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

fn of_text<const N: usize>(expected: [(&str, &str); N]) -> Folder {
    expected.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into()
}

fn lay(path: &str, bytes: &[u8]) {
    let mut file = files::create("out", path).unwrap();
    file.append(bytes).unwrap();
    file.commit().unwrap();
}

/// The folder becomes what it was: what a crash has left.
fn restore(files: &Folder, left: impl Fn(&str) -> bool) {
    for path in all().keys() {
        files::remove("out", path).unwrap();
    }
    for (path, bytes) in files.iter().filter(|(path, _)| left(path)) {
        lay(path, bytes);
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.map_err(|error: Error| error.kind()).unwrap_err()
}

#[test]
fn a_batch_that_comes_again_is_there_once() {
    let (one, two) = (batch("b1", Mode::Append, 1, ITEMS), batch("b0", Mode::Append, 1, "{\"id\":3}"));
    for batch in [&one, &two, &one, &two, &one] {
        assert_eq!(write("{}", batch).unwrap(), []);
    }
    let expected = [("items/0000000001-b1.ndjson", ITEMS), ("items/0000000002-b0.ndjson", "{\"id\":3}\n")];
    assert_eq!(all(), of_text(expected));
}

#[test]
fn refused_lines_come_back_and_the_others_are_written_as_they_came() {
    let records = "{\"id\":1 ,\"n\":-0.0}\nno\n\n{\"id\":2,\"id\":2}\n{\"id\":3,\"gone\":true}\r\n[]";
    let rejected = write("{}", &batch("b", Mode::Append, 1, records)).unwrap();
    assert_eq!(rejected.iter().map(|one| one.line).collect::<Vec<_>>(), [1, 3, 5]);
    assert!(rejected.iter().all(|one| one.error.kind() == ErrorKind::InvalidInput));
    let expected = "{\"id\":1 ,\"n\":-0.0}\n{\"id\":3,\"gone\":true} \n";
    assert_eq!(content("items/0000000001-b.ndjson").as_deref(), Some(expected));
    // Of a batch of which nothing is written there is no file.
    write("{}", &batch("c", Mode::Append, 1, "no\n")).unwrap();
    assert_eq!(all().len(), 1);
    let many = batch("d", Mode::Append, 1, &"x\n".repeat(10_001));
    assert_eq!(kind(write("{}", &many)), ErrorKind::InvalidInput);
}

#[test]
fn partitions_are_folders_and_a_batch_cut_short_is_mended() {
    let config = r#"{"partition":{"by":"/at","as":"month"}}"#;
    let records = "{\"at\":\"2026-11-01\",\"a\":1}\n{\"at\":\"2026-10-01\"}\n{}\n{\"at\":\"2026-11-30\"}\n{\"at\":7e7}\n";
    let one = batch("b", Mode::Append, 1, records);
    assert_eq!(write(config, &one).unwrap().iter().map(|one| one.line).collect::<Vec<_>>(), [4]);
    let whole = all();
    let expected = [
        ("items/2026-10/0000000001-b.ndjson", "{\"at\":\"2026-10-01\"}\n"),
        ("items/2026-11/0000000001-b.ndjson", "{\"at\":\"2026-11-01\",\"a\":1}\n{\"at\":\"2026-11-30\"}\n"),
        ("items/_none/0000000001-b.ndjson", "{}\n"),
    ];
    assert_eq!(whole, of_text(expected));
    // Killed behind the first or the second of them, and another batch came between.
    for cut in [["_none", "2026-11"], ["_none", "none"]] {
        restore(&whole, |path| cut.iter().all(|cut| !path.contains(cut)));
        write(config, &batch("other", Mode::Append, 1, "{\"at\":\"2026-11-05\"}\n")).unwrap();
        write(config, &one).unwrap();
        let now: BTreeMap<_, _> = all().into_iter().filter(|(path, _)| path.ends_with("-b.ndjson")).collect();
        assert_eq!(now, whole);
    }
    let many: String = (0..1_001).map(|at| format!("{{\"at\":\"{at}\"}}\n")).collect();
    let config = r#"{"partition":{"by":"/at","as":"value"}}"#;
    assert_eq!(kind(write(config, &batch("m", Mode::Append, 1, &many))), ErrorKind::InvalidInput);
    assert_eq!(kind(write(config, &batch("r", Mode::Replace, 1, "{\"id\":1}"))), ErrorKind::InvalidInput);
}

#[test]
fn csv_has_the_columns_of_the_schema_or_of_the_config() {
    let csv = r#"{"format":"csv"}"#;
    let records = "{\"n\":1e400,\"id\":1}\n{\"id\":2,\"x\":3}\n{\"id\":3,\"gone\":true}\n";
    let rejected = write(csv, &batch("b", Mode::Append, 1, records)).unwrap();
    assert_eq!(rejected.iter().map(|one| one.line).collect::<Vec<_>>(), [1]);
    let expected = "id,n,gone\r\n1,1e400,\r\n3,,true\r\n";
    assert_eq!(content("items/0000000001-b.csv").as_deref(), Some(expected));
    let config = r#"{"format":"csv","columns":{"items":["x","id"]}}"#;
    assert_eq!(write(config, &batch("c", Mode::Append, 1, "{\"id\":2,\"x\":\"\"}\n")).unwrap(), []);
    assert_eq!(content("items/0000000002-c.csv").as_deref(), Some("x,id,gone\r\n\"\",2,\r\n"));
    let mut without = batch("d", Mode::Append, 1, ITEMS);
    without.stream.schema = "{}".to_owned();
    assert_eq!(kind(write(csv, &without)), ErrorKind::InvalidInput);
}

#[test]
fn a_config_that_can_not_be_right_is_refused() {
    let configs = [
        r#"{"formt":"csv"}"#,
        r#"{"format":"xml"}"#,
        r#"{"partition":{"by":"at","as":"day"}}"#,
        r#"{"partition":{"by":"/at"}}"#,
        r#"{"columns":{"items":[]}}"#,
        r#"{"columns":{"items":["a","a"]}}"#,
        r#"{"records-max":0}"#,
        r#"{"records-max":8000001}"#,
    ];
    for config in configs {
        assert_eq!(
            kind(write(config, &batch("b", Mode::Append, 1, ITEMS))),
            ErrorKind::InvalidConfig,
            "{config}"
        );
    }
    let upsert = write("{}", &batch("b", Mode::Upsert, 1, ITEMS)).unwrap_err();
    assert_eq!(upsert.kind(), ErrorKind::InvalidInput);
    assert!(upsert.message().contains("`append`") && upsert.message().contains("`replace`"));
    assert!(all().is_empty());
}

#[test]
fn readers_see_the_last_complete_read_in_one_file() {
    put("a", 1, ITEMS);
    put("b", 1, "{\"id\":1.0,\"n\":\"later\"}\n{\"id\":\"1\"}\n{\"id\":9,\"gone\":true}\n");
    assert_eq!(content("items.ndjson"), None, "nothing is complete");
    put("a", 1, ITEMS);
    assert_eq!(complete(1, Some(0)).unwrap(), 0);
    let first = "{\"id\":2,\"n\":0.1000000000000000000000000000000000000001}\n{\"id\":1.0,\"n\":\"later\"}\n{\"id\":\"1\"}\n";
    assert_eq!(content("items.ndjson").as_deref(), Some(first));
    let before = all();
    assert_eq!(before.len(), 3, "{before:?}");
    // Each may come again.
    put("b", 1, "{\"id\":1.0,\"n\":\"later\"}\n{\"id\":\"1\"}\n{\"id\":9,\"gone\":true}\n");
    assert_eq!(complete(1, None).unwrap(), 0);
    assert_eq!(all(), before);
    // A part of a generation that is never complete goes with the next that is.
    put("c", 2, "{\"id\":5}\n");
    assert_eq!(kind(write("{}", &batch("d", Mode::Replace, 0, ITEMS))), ErrorKind::Conflict);
    assert_eq!(kind(write("{}", &batch("d", Mode::Replace, 1, ITEMS))), ErrorKind::Conflict);
    assert_eq!(kind(complete(0, None)), ErrorKind::Conflict);
    put("e", 3, "{\"id\":2}\n{\"id\":3}\n");
    put("f", 4, "{\"id\":4}\n");
    let waiting = all();
    assert_eq!(kind(complete(3, Some(1))), ErrorKind::Conflict, "1 and \"1\" would be gone");
    assert_eq!(all(), waiting, "nothing was changed");
    assert_eq!(complete(3, Some(2)).unwrap(), 2);
    assert_eq!(content("items.ndjson").as_deref(), Some("{\"id\":2}\n{\"id\":3}\n"));
    let left: Vec<_> = all().into_keys().collect();
    assert_eq!(left.iter().filter(|path| path.contains("/00000000000000000004")).count(), 2, "{left:?}");
    assert_eq!(left.len(), 5, "what is newer stays: {left:?}");
    assert_eq!(complete(4, None).unwrap(), 2);
    // A read that found nothing.
    assert_eq!(kind(complete(5, Some(0))), ErrorKind::Conflict);
    assert_eq!(complete(5, Some(1)).unwrap(), 1);
    assert_eq!(content("items.ndjson").as_deref(), Some(""));
    assert_eq!(Files::complete(Config::new("{}"), "other", 1, None).unwrap(), 0);
}

#[test]
fn a_snapshot_keeps_its_format_until_the_next_one() {
    let csv = r#"{"format":"csv"}"#;
    put("a", 1, ITEMS);
    complete(1, None).unwrap();
    let records = "{\"id\":1,\"n\":\"a,b\",\"gone\":false}\n{\"id\":2,\"gone\":true,\"left\":\"over\"}\n";
    assert_eq!(write(csv, &batch("b", Mode::Replace, 2, records)).unwrap(), []);
    assert_eq!(kind(write("{}", &batch("c", Mode::Replace, 2, ITEMS))), ErrorKind::Conflict);
    assert_eq!(complete(2, None).unwrap(), 1);
    assert_eq!(content("items.csv").as_deref(), Some("id,n\r\n1,\"a,b\"\r\n"));
    assert_eq!(content("items.ndjson"), None, "one file a stream");
}

#[test]
fn lines_that_no_snapshot_can_hold_come_back() {
    let records = "{\"n\":1}\n{\"id\":null}\n{\"id\":[1]}\n{\"id\":1}\n";
    let rejected = write("{}", &batch("a", Mode::Replace, 1, records)).unwrap();
    assert_eq!(rejected.iter().map(|one| one.line).collect::<Vec<_>>(), [0, 1, 2]);
    let mut keyless = batch("a", Mode::Replace, 1, ITEMS);
    keyless.stream.primary_key.clear();
    assert_eq!(kind(write("{}", &keyless)), ErrorKind::InvalidInput);
    let few = r#"{"records-max":1}"#;
    put("b", 1, ITEMS);
    let refused = Files::complete(Config::new(few), "items", 1, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.message().contains("`records-max`"), "{}", refused.message());
    assert_eq!(content("items.ndjson"), None);
    assert_eq!(complete(1, None).unwrap(), 0);
}

/// Every moment of `complete` at which a process may be killed: some of its files are there, in its order, some of the old are gone.
#[test]
fn completed_again_after_a_crash_it_ends_the_same() {
    put("a", 1, ITEMS);
    complete(1, None).unwrap();
    put("b", 2, "{\"id\":2}\n");
    put("c", 2, "{\"id\":3}\n");
    let before = all();
    assert_eq!(complete(2, Some(1)).unwrap(), 1);
    let after = all();
    let written = ["items.parts/00000000000000000002.keys", "items.ndjson", "items.parts/snapshot.json"];
    assert!(written.iter().all(|path| after.get(*path).is_some() && after.get(*path) != before.get(*path)));
    let gone: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).cloned().collect();
    assert_eq!(gone.len(), 4, "{gone:?}");
    for steps in 0..=written.len() + gone.len() {
        restore(&before, |_| true);
        written.iter().take(steps).for_each(|path| lay(path, &after[*path]));
        for path in gone.iter().take(steps.saturating_sub(written.len())) {
            files::remove("out", path).unwrap();
        }
        let told_before = steps >= written.len();
        assert_eq!(complete(2, Some(1)).unwrap(), u64::from(!told_before), "after {steps} steps");
        assert_eq!(all(), after, "after {steps} steps");
        assert_eq!(complete(2, Some(0)).unwrap(), 0);
    }
}

/// What a reader of the file has: by id, in what order is no matter.
fn rows(text: &str) -> BTreeMap<String, String> {
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string();
    let rows: Vec<_> = text.lines().map(|line| (id(line), line.to_owned())).collect();
    let all = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), all, "each id once");
    rows
}

proptest! {
    #[test]
    fn snapshots_are_what_a_map_would_be(reads in prop::collection::vec(prop::collection::vec(prop::collection::vec((0..12_u8, any::<bool>(), any::<u16>()), 1..8), 0..4), 1..4)) {
        restore(&Folder::new(), |_| false);
        let mut former = BTreeMap::new();
        for (generation, batches) in (1..).zip(&reads) {
            let mut expected = BTreeMap::new();
            for (number, records) in batches.iter().enumerate() {
                let line = |(id, gone, value): &(u8, bool, u16)| format!("{{\"id\":{id},\"gone\":{gone},\"n\":{value}}}");
                for record in records {
                    match record.1 {
                        true => expected.remove(&record.0.to_string()),
                        false => expected.insert(record.0.to_string(), line(record)),
                    };
                }
                let text: String = records.iter().map(|record| line(record) + "\n").collect();
                put(&format!("b{number}"), generation, &text);
                put(&format!("b{number}"), generation, &text);
            }
            let removed = former.keys().filter(|id| !expected.contains_key(*id)).count() as u64;
            prop_assert_eq!(complete(generation, Some(removed)).unwrap(), removed);
            if !batches.is_empty() || !former.is_empty() || content("items.ndjson").is_some() {
                prop_assert_eq!(&rows(&content("items.ndjson").unwrap()), &expected);
            }
            former = expected;
        }
    }
}

/// What the readers of a folder see, by the format that is configured.
struct Readers {
    config: &'static str,
    /// Read back by one that is not ours.
    read: fn(&str) -> Vec<Row>,
    extension: &'static str,
}

impl Target for Readers {
    fn modes(&self) -> Vec<Mode> {
        vec![Mode::Append, Mode::Replace]
    }

    fn reset(&self) {
        restore(&Folder::new(), |_| false);
    }

    fn write(&self, batch: Batch) -> Result<Vec<Rejected>> {
        Files::write(Config::new(self.config), batch)
    }

    fn complete(&self, stream: &str, generation: u64, removed_max: Option<u64>) -> Result<u64> {
        Files::complete(Config::new(self.config), stream, generation, removed_max)
    }

    fn rows(&self, stream: &str, mode: Mode) -> Vec<Row> {
        let ending = format!(".{}", self.extension);
        let files = all().into_keys().filter(|path| match mode {
            Mode::Replace => *path == format!("{stream}{ending}"),
            _ => path.starts_with(&format!("{stream}/")) && path.ends_with(&ending),
        });
        files.flat_map(|path| (self.read)(&content(&path).unwrap())).collect()
    }
}

fn of_csv(text: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize::<BTreeMap<String, String>>().map(|row| row.unwrap());
    // The reader does not tell an empty text from a value that is not there; here only that of another record is one.
    rows.map(|row| row.into_iter().filter(|(name, value)| !value.is_empty() || name == "id").collect())
        .collect()
}

#[test]
fn it_does_what_every_destination_has_to_as_ndjson() {
    let read = |text: &str| text.lines().map(destination::row).collect();
    destination::conforms(&Readers { config: "{}", read, extension: "ndjson" });
}

#[test]
fn it_does_what_every_destination_has_to_as_csv() {
    destination::conforms(&Readers { config: r#"{"format":"csv"}"#, read: of_csv, extension: "csv" });
}
