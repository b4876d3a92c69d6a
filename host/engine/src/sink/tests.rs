//! Files that are cut back, appended to and renamed.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use std::{fs, os::unix::fs::PermissionsExt};

fn check_refused(result: io::Result<Option<FileMark>>, why: &str) {
    let text = result.unwrap_err().to_string();
    assert!(text.contains(why), "{text}");
}

#[tokio::test]
async fn a_whole_file_appears_at_the_end_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.ndjson");
    fs::write(&path, "old").unwrap();
    let mut sink = FileSink::new(&path);
    assert_eq!(sink.open(None).await.unwrap(), None);
    sink.write(b"{}\n".to_vec()).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    sink.discard().await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    // As a kill leaves it.
    let mut killed = FileSink::new(&path);
    killed.open(None).await.unwrap();
    killed.write(b"half".to_vec()).await.unwrap();
    drop(killed);
    let mut sink = FileSink::new(&path);
    sink.open(None).await.unwrap();
    sink.write(b"{\"a\":1}\n".to_vec()).await.unwrap();
    sink.write(b"{\"a\":2}\n".to_vec()).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    check_refused(FileSink::new(folder.path()).open(None).await, "is not a file");
    check_refused(FileSink::new(Path::new("/dev/null")).open(None).await, "is not a file");
    assert!(FileSink::new(&folder.path().join("none/out")).open(None).await.is_err());
}

#[tokio::test]
async fn a_resumed_file_is_cut_back_to_its_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.ndjson");
    let mut sink = ResumableFileSink::new(&path);
    let empty = sink.open(None).await.unwrap().unwrap();
    assert_eq!(empty.length, 0);
    let first = sink.write(b"{\"a\":1}\n".to_vec()).await.unwrap().unwrap();
    assert_eq!(first.length, 8);
    // Durable in the file, never committed: killed in between.
    sink.write(b"{\"a\":2}\n".to_vec()).await.unwrap();
    drop(sink);
    let mut sink = ResumableFileSink::new(&path);
    assert_eq!(sink.open(Some(&first)).await.unwrap().unwrap(), first);
    assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n");
    let second = sink.write(b"{\"a\":2}\n".to_vec()).await.unwrap().unwrap();
    sink.finish().await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"a\":2}\n");

    // Before anything was committed.
    let mut sink = ResumableFileSink::new(&path);
    sink.open(Some(&empty)).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    drop(sink);
    check_refused(ResumableFileSink::new(&path).open(Some(&second)).await, "fewer than the 16");
}

#[tokio::test]
async fn a_file_that_is_not_the_readers_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.ndjson");
    let mut sink = ResumableFileSink::new(&path);
    sink.open(None).await.unwrap();
    let mark = sink.write(b"{\"a\":1}\n".to_vec()).await.unwrap().unwrap();
    drop(sink);
    let other = folder.path().join("other.ndjson");
    fs::write(&other, "{\"a\":1}\n").unwrap();
    check_refused(ResumableFileSink::new(&other).open(Some(&mark)).await, "is not the file of this reader");
    check_refused(ResumableFileSink::new(&other).open(None).await, "holds something already");
    fs::write(&path, "{\"b\":1}\n{\"b\":2}\n").unwrap();
    check_refused(ResumableFileSink::new(&path).open(Some(&mark)).await, "is another file");
    assert_eq!(fs::read(&path).unwrap(), b"{\"b\":1}\n{\"b\":2}\n");
    fs::remove_file(&path).unwrap();
    assert_eq!(
        ResumableFileSink::new(&path).open(Some(&mark)).await.unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
