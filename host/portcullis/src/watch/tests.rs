//! What counts as a change, and when one is over. Nobody waits: the clock is seeded, and looks are made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use portcullis_clock::SeededClock;
use std::os::unix::fs::symlink;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("Cargo.toml", "[package]"),
        ("connector.toml", "[connector]"),
        ("src/lib.rs", "fn a() {}"),
        ("src/deep/er.rs", ""),
        ("schemas/item.json", "{}"),
        ("tests/cassettes/items.toml", "check = true"),
    ] {
        write(folder.path(), file, text);
    }
    folder
}

fn write(folder: &Path, file: &str, text: &str) {
    let file = folder.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn watcher(folder: &Path, more: &[&str]) -> Watcher {
    let mut watcher = Watcher::new(folder, more.iter().map(|file| folder.join(file)).collect());
    watcher.begin();
    watcher
}

/// What two looks with nothing between them say.
fn told(watcher: &mut Watcher, folder: &Path) -> Vec<String> {
    let first = watcher.on(watcher.look(), Duration::ZERO);
    assert_eq!(first, None, "never at the first look");
    let second = watcher.on(watcher.look(), LOOK_EVERY).unwrap_or_default();
    second.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
}

#[test]
fn sources_count_and_what_is_made_of_them_does_not() {
    let folder = folder();
    let path = folder.path();
    let mut watcher = watcher(path, &["portcullis.toml"]);
    assert!(told(&mut watcher, path).is_empty());
    for file in [
        "Cargo.toml",
        "connector.toml",
        "build.rs",
        "src/lib.rs",
        "src/new.rs",
        "src/deep/er.rs",
        "schemas/item.json",
        "tests/cassettes/items.toml",
        "portcullis.toml",
    ] {
        write(path, file, "another text of another length");
        assert_eq!(told(&mut watcher, path), [file]);
        assert!(told(&mut watcher, path).is_empty(), "{file}: told once");
    }
    for file in [
        "target/release/x.wasm",
        "registry/a/b/0.1.0.wasm",
        "data/state.db",
        "Cargo.lock",
        "sdk/src/lib.rs",
        "notes.md",
        "tests/other.rs",
        "src/.lib.rs.swp",
        "src/lib.rs~",
        ".git/index",
    ] {
        write(path, file, "x");
        assert!(told(&mut watcher, path).is_empty(), "{file}");
    }
    fs::remove_file(path.join("src/new.rs")).unwrap();
    fs::rename(path.join("src/deep/er.rs"), path.join("src/moved.rs")).unwrap();
    assert_eq!(told(&mut watcher, path), ["src/deep/er.rs", "src/moved.rs", "src/new.rs"]);
    // The same length within a tick of the clock: the name leads to another file.
    write(path, "src/other", "fn b() {} of another length wow");
    told(&mut watcher, path);
    fs::rename(path.join("src/other"), path.join("src/lib.rs")).unwrap();
    assert_eq!(told(&mut watcher, path), ["src/lib.rs", "src/other"]);
}

#[test]
fn a_change_is_over_when_nothing_more_comes() {
    let (folder, clock) = (folder(), SeededClock::default());
    let path = folder.path();
    let mut watcher = watcher(path, &[]);
    let look = |watcher: &mut Watcher| {
        clock.advance(LOOK_EVERY);
        let look = watcher.look();
        watcher.on(look, clock.monotonic())
    };
    for text in ["a", "ab", "abc"] {
        write(path, "src/lib.rs", text);
        assert_eq!(look(&mut watcher), None, "it goes on");
    }
    assert_eq!(look(&mut watcher).unwrap(), [path.join("src/lib.rs")]);
    assert_eq!(look(&mut watcher), None);
    // Somebody writes without end: it is a change all the same.
    let mut looks = 0;
    let changed = loop {
        looks += 1;
        write(path, "src/lib.rs", &"x".repeat(looks));
        if let Some(changed) = look(&mut watcher) {
            break changed;
        }
        assert!(looks < 100);
    };
    assert_eq!(changed, [path.join("src/lib.rs")]);
    assert_eq!(looks, 11, "the first look after three seconds");
    // What is put back is none.
    fs::rename(path.join("src/lib.rs"), path.join("kept")).unwrap();
    assert_eq!(look(&mut watcher), None);
    fs::rename(path.join("kept"), path.join("src/lib.rs")).unwrap();
    assert_eq!(look(&mut watcher), None);
    assert_eq!(look(&mut watcher), None);
}

#[tokio::test]
async fn a_save_in_the_middle_of_a_build_is_a_change_after_it() {
    let (folder, clock) = (folder(), SeededClock::default());
    let path = folder.path();
    let mut watcher = watcher(path, &["lock"]);
    write(path, "src/lib.rs", "saved while cargo runs");
    write(path, "lock", "by this process");
    watcher.accept(&path.join("lock"));
    assert_eq!(watcher.changed(&clock).await, [path.join("src/lib.rs")]);
    assert_eq!(clock.slept(), LOOK_EVERY, "at the second look");
}

#[test]
fn links_lead_to_files_and_never_round_in_circles() {
    let folder = folder();
    let path = folder.path();
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "shared.rs", "one");
    symlink(elsewhere.path().join("shared.rs"), path.join("src/shared.rs")).unwrap();
    symlink("..", path.join("src/up")).unwrap();
    symlink("nowhere", path.join("src/broken.rs")).unwrap();
    symlink("broken2.rs", path.join("src/broken2.rs")).unwrap();
    let mut watcher = watcher(path, &[]);
    assert!(told(&mut watcher, path).is_empty());
    write(elsewhere.path(), "shared.rs", "another");
    assert_eq!(told(&mut watcher, path), ["src/shared.rs"]);
    write(elsewhere.path(), "unrelated.rs", "x");
    assert!(told(&mut watcher, path).is_empty());
    fs::remove_file(elsewhere.path().join("shared.rs")).unwrap();
    assert_eq!(told(&mut watcher, path), ["src/shared.rs"], "it leads nowhere now");
    // Neither a pipe, which nobody opens, nor a folder that is gone holds it up.
    let pipe = path.join("src/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(told(&mut watcher, path), ["src/pipe"]);
    for folder in ["schemas", "tests/cassettes"] {
        let file = fs::read_dir(path.join(folder)).unwrap().next().unwrap().unwrap().path();
        fs::remove_file(file).unwrap();
        fs::remove_dir(path.join(folder)).unwrap();
    }
    assert_eq!(told(&mut watcher, path), ["schemas/item.json", "tests/cassettes/items.toml"]);
}

#[test]
fn a_folder_without_end_is_looked_at_up_to_a_bound() {
    let folder = folder();
    let path = folder.path();
    for number in 0..FILES_MAX + 10 {
        fs::write(path.join("src").join(format!("f{number}")), "").unwrap();
    }
    let deep = (0..DEPTH_MAX + 3).fold(path.join("src"), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    let watcher = watcher(path, &[]);
    assert_eq!(watcher.base.unwrap().0.len(), FILES_MAX);
}
