//! Promise: `portcullis/files` is there without being built, is approved like every other connector, and writes what it was handed.

use crate::{approve, project, readable, unapproved};
use portcullis_tests::{Project, guests};
use serde_json::Value;
use std::{fs, process::Command};

const BATCH: &str = "{\"id\":1,\"n\":18446744073709551617}\n{\"id\":2,\"n\":1e400}\n";

fn write(project: &Project, batch: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    project.file("batch.ndjson", batch.as_bytes());
    let (ran, report) = project.run_json(&[&["write", "out", "items", "batch.ndjson"], more].concat());
    (ran.status, report, ran.stderr)
}

#[track_caller]
fn written(project: &Project, batch: &str, more: &[&str]) {
    let (status, report, stderr) = write(project, batch, more);
    assert_eq!(status, Some(0), "{report:#}\n{stderr}");
}

/// The value at a pointer of whatever is printed of an error.
fn says(report: &Value, stderr: &str, what: &str) -> bool {
    report.to_string().contains(what) || stderr.contains(what)
}

#[test]
fn what_the_binary_carries_is_approved_like_every_other_connector() {
    let project = unapproved("{ format = \"ndjson\" }");
    let registry = project.path("registry/portcullis/files/0.1.0.wasm");
    let listed = project.run(&["--json", "connectors"]).lines();
    assert_eq!((&listed[0]["connector"], &listed[0]["carried"]), (&"portcullis/files".into(), &true.into()));
    project.run(&["review", "out"]);
    project.run(&["write", "out", "items", "ca.pem"]);
    assert!(!registry.exists(), "nobody approved it");
    let approved = approve(&project);
    let line = format!("put `{}`, which this portcullis carries", registry.display());
    assert!(approved.exits(0).stderr.contains(&line), "{line}\n{}", approved.stderr);
    assert!(
        approved.stdout.contains("out: reads, writes, replaces and removes files in "),
        "{}",
        approved.stdout
    );
    let (_, inspected) = project.run_json(&["inspect", registry.to_str().unwrap()]);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    assert!(lock.contains(inspected["digest"].as_str().unwrap()), "{lock}");
    assert_eq!(project.run(&["--json", "connectors"]).lines()[0]["carried"], false);
    // Approved again, nothing is put there anew.
    assert!(!approve(&project).exits(0).stderr.contains("carries"));

    project.run(&["check", "out"]).exits(0);
    written(&project, BATCH, &[]);
    let files = readable(&project);
    assert_eq!(files.len(), 1);
    assert!(files[0].0.starts_with("items/0000000001-") && files[0].0.ends_with(".ndjson"), "{files:?}");
    assert_eq!(files[0].1, BATCH);
}

#[test]
fn what_lies_in_the_registry_goes_first() {
    let project = unapproved("{}");
    let newer = guests::as_version(&guests::connector("files"), "0.1.1", 1);
    project.install(&newer);
    let listed = project.run(&["--json", "connectors"]).lines();
    let versions: Vec<_> =
        listed[..2].iter().map(|row| (row["version"].clone(), row["carried"].clone())).collect();
    assert_eq!(versions, [("0.1.0".into(), true.into()), ("0.1.1".into(), false.into())]);
    project.run(&["approve", "out", "--yes", "--digest", &newer.digest]).exits(0);
    assert!(!project.path("registry/portcullis/files/0.1.0.wasm").exists());
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    assert!(lock.contains("version = \"0.1.1\""), "{lock}");
}

#[test]
fn a_snapshot_takes_the_place_of_the_former_one_or_does_not() {
    let project = project("{ records-max = 3 }");
    let replace = |generation: &'static str| {
        ["--mode", "replace", "--primary-key", "id", "--generation", generation, "--complete"]
    };
    written(&project, BATCH, &replace("1"));
    let first = [("items.ndjson".to_owned(), BATCH.to_owned())];
    assert_eq!(readable(&project), first);

    // Older, the same again, too much that would be gone, too many, a line that is refused, a mode that there is not.
    let other = "{\"id\":3}\n";
    let bound = [&replace("2")[..], &["--removed-max", "1"]].concat();
    let four: String = (0..4).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let upsert = ["--mode", "upsert", "--primary-key", "id"];
    for (batch, more, exit, what) in [
        (other, &replace("0")[..], 1, "conflict"),
        (other, &replace("1")[..], 1, "generation 2 or a later one"),
        (other, &bound[..], 1, "2 records of `items` would be gone"),
        (&*four, &replace("3")[..], 1, "`records-max` is 3"),
        ("{\"id\":3}\n{\"n\":1}\n", &replace("4")[..], 9, "primary key"),
        (other, &upsert[..], 1, "there is no `upsert`"),
    ] {
        let (status, report, stderr) = write(&project, batch, more);
        assert_eq!(status, Some(exit), "{what}: {report:#}\n{stderr}");
        assert!(says(&report, &stderr, what), "{what}: {report:#}\n{stderr}");
        assert_eq!(readable(&project), first, "{what}");
    }
    let dry = [&replace("5")[..], &["--dry-run"]].concat();
    assert_eq!(write(&project, other, &dry).0, Some(0));
    assert_eq!(readable(&project), first, "a dry run has no effect");

    let (status, report, _) = write(&project, other, &replace("6"));
    assert_eq!((status, &report["output"]["removed"]), (Some(0), &2.into()), "{report:#}");
    assert_eq!(readable(&project), [("items.ndjson".to_owned(), other.to_owned())]);
    let parts = project.bytes_below("out/items.parts");
    assert_eq!(parts.len(), 2, "no part of an older generation is left: {parts:?}");
}

#[test]
fn rows_and_folders_are_read_by_another_program() {
    let config = "{ format = \"csv\", partition = { by = \"/at\", as = \"day\" }, columns = { items = [\"id\", \"at\", \"text\"] } }";
    let project = project(config);
    let batch = "{\"id\":12345678901234567890123,\"at\":\"2026-11-29T10:00:00Z\",\"text\":\"a, \\\"b\\\"\\r\\nc é\"}\n\
                 {\"id\":2,\"at\":1764460799,\"text\":{\"n\":1.10}}\n{\"id\":3}\n{\"id\":4,\"other\":1}\n{\"id\":5,\"at\":\"soon\"}\n";
    let (status, report, stderr) = write(&project, batch, &[]);
    assert_eq!(status, Some(9), "{report:#}\n{stderr}");
    let lines: Vec<_> =
        report["output"]["rejected"].as_array().unwrap().iter().map(|one| one["line"].clone()).collect();
    assert_eq!(lines, [4, 5], "{report:#}");
    let program = "import csv,glob,json,os\nfor f in sorted(glob.glob('out/items/*/*.csv')):\n \
                   print(json.dumps([f.split(os.sep)[2],list(csv.DictReader(open(f,newline='',encoding='utf-8')))]))";
    let read = Command::new("python3").args(["-c", program]).current_dir(project.path("")).output().unwrap();
    let read: Vec<Value> = String::from_utf8_lossy(&read.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let row = |id: &str, at: &str, text: &str| serde_json::json!([{ "id": id, "at": at, "text": text }]);
    assert_eq!(
        read,
        [
            serde_json::json!(["2025-11-29", row("2", "1764460799", "{\"n\":1.10}")]),
            serde_json::json!([
                "2026-11-29",
                row("12345678901234567890123", "2026-11-29T10:00:00Z", "a, \"b\"\r\nc é")
            ]),
            serde_json::json!(["_none", row("3", "", "")]),
        ]
    );
}

/// The bound that holds where nobody set one, within the memory that a connection has where nobody set it.
#[test]
fn a_million_records_are_one_snapshot() {
    let project = project("{}");
    let batch =
        |from: u32, to: u32| -> String { (from..to).map(|id| format!("{{\"id\":{id}}}\n")).collect() };
    let replace = ["--mode", "replace", "--primary-key", "id"];
    written(&project, &batch(0, 500_000), &replace);
    written(&project, &batch(500_000, 1_000_000), &[&replace[..], &["--complete"]].concat());
    let files = readable(&project);
    assert_eq!((files.len(), files[0].1.lines().count()), (1, 1_000_000));
    let next = [&replace[..], &["--generation", "2"]].concat();
    written(&project, &batch(0, 500_000), &next);
    written(&project, &batch(500_000, 1_000_000), &next);
    let (status, report, stderr) = write(&project, "{\"id\":-1}\n", &[&next[..], &["--complete"]].concat());
    assert_eq!(status, Some(1), "{report:#}");
    assert!(
        says(&report, &stderr, "a complete read of 1000001 records, and `records-max` is 1000000"),
        "{report:#}\n{stderr}"
    );
    assert_eq!(readable(&project), files, "and nothing was changed");
}

/// The config and the commands of the page, as they stand there.
#[test]
fn the_page_does_what_it_shows() {
    let page = fs::read_to_string(portcullis_tests::checkout().join("docs/operators/files.md")).unwrap();
    let block = |kind: &str| {
        let (_, rest) = page.split_once(&format!("```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let project = Project::new();
    project.config(block("toml")).file("batch.ndjson", BATCH.as_bytes());
    for line in block("console").lines() {
        let words: Vec<_> = line.strip_prefix("$ ").unwrap().split(' ').collect();
        match words[..] {
            ["mkdir", folder] => fs::create_dir(project.path(folder)).unwrap(),
            // Nobody is there who would type `yes`.
            ["portcullis", "approve", "out"] => drop(approve(&project).exits(0)),
            ["portcullis", ref args @ ..] => drop(project.run(args).exits(0)),
            _ => panic!("what is `{line}`?"),
        }
    }
    let files: Vec<_> = readable(&project).into_iter().map(|(_, text)| text).collect();
    assert_eq!(files, [BATCH, BATCH]);
}

/// Batches of 8 MiB that take the most of a connector's memory, within what a connection has where nothing is said.
#[test]
fn no_batch_takes_more_memory_than_there_is() {
    const BYTES: usize = 8 << 20;
    let project = project("{ partition = { by = \"/p\", as = \"value\" } }");
    let lines = |line: &str| line.repeat(BYTES / line.len());
    let names: Vec<_> = (0..700_000).map(|name| format!("\"{name:06}\":0")).collect();
    for (what, batch, exit) in [
        ("two folders in turn", lines("{\"p\":1}\n{\"p\":2}\n"), 0),
        ("nothing in them", lines("{}\n"), 0),
        ("one text, all of it escaped", format!("{{\"a\":\"{}\"}}\n", "\\\"".repeat(BYTES / 2 - 20)), 0),
        ("one object of many names", format!("{{{}}}\n", names.join(",")), 9),
        ("all of them refused", lines("{\"p\":[]}\n"), 1),
    ] {
        let (status, report, stderr) = write(&project, &batch, &[]);
        assert_eq!(status, Some(exit), "{what}: {report:#}\n{stderr}");
        let refused = exit == 1;
        assert_eq!(
            refused,
            says(&report, &stderr, "more than 10000 lines of the batch can't be written"),
            "{what}: {report:#}"
        );
    }
}
