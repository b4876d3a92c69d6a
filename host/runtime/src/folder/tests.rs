//! A granted folder under attack: paths, links, races, special files, leftovers, and folders that are not what they were.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use portcullis_clock::{Clock, RealClock};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const SECRET: &str = "outside, and nobody's business";

/// A granted folder `in`, and beside it a file that is not.
struct Ground {
    root: tempfile::TempDir,
    folder: Arc<Folder>,
}

impl Ground {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("in")).unwrap();
        fs::create_dir_all(root.path().join("out")).unwrap();
        fs::write(root.path().join("out/secret"), SECRET).unwrap();
        let folder = Arc::new(Folder::open(&root.path().join("in"), Access::ReadWrite).unwrap());
        Self { root, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<u64, StorageError> {
        let mut writing = self.folder.create(path)?;
        writing.write(bytes)?;
        writing.commit()
    }

    fn read(&self, path: &str) -> Result<String, StorageError> {
        self.folder.read(path, 0, 1 << 20).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// All names in the folder, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("in")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn outside_is_whole(&self) {
        assert_eq!(fs::read_to_string(self.path("out/secret")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(self.path("out")).unwrap().count(), 1);
    }
}

#[track_caller]
fn is_invalid<T: std::fmt::Debug>(result: Result<T, StorageError>, what: &str) {
    match result {
        Err(StorageError::Invalid(why)) => {
            assert!(!why.contains("/tmp") && !why.contains(SECRET), "{what}: {why}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_file_is_whole_or_absent() {
    let ground = Ground::new();
    let mut writing = ground.folder.create("2026/11/report.csv").unwrap();
    writing.write(b"a,b\n").unwrap();
    assert_eq!(ground.folder.list("", None, 10).unwrap(), [""; 0], "nobody sees it before its commit");
    assert_eq!(ground.read("2026/11/report.csv"), Err(StorageError::NotFound));
    writing.write(b"1,2\n").unwrap();
    assert_eq!(writing.commit(), Ok(8));
    assert_eq!(ground.read("2026/11/report.csv").unwrap(), "a,b\n1,2\n");
    assert_eq!(ground.names(), ["2026"], "the host's own names are gone");
    // A dropped one leaves nothing, and what was there stays.
    let mut writing = ground.folder.create("2026/11/report.csv").unwrap();
    writing.write(b"half").unwrap();
    drop(writing);
    let mut writing = ground.folder.create("new/x").unwrap();
    writing.write(b"half").unwrap();
    drop(writing);
    assert_eq!(ground.read("2026/11/report.csv").unwrap(), "a,b\n1,2\n");
    assert_eq!(ground.names(), ["2026"]);
    assert_eq!(ground.put("2026/11/report.csv", b"replaced"), Ok(8));
    assert_eq!(ground.read("2026/11/report.csv").unwrap(), "replaced");
    assert_eq!(ground.folder.read("2026/11/report.csv", 2, 3).unwrap(), b"pla");
    assert_eq!(ground.folder.read("2026/11/report.csv", 7, 3).unwrap(), b"d");
    assert_eq!(ground.folder.read("2026/11/report.csv", 1 << 40, 3).unwrap(), b"");
    let most = u32::try_from(limits::FILE_READ_BYTES_MAX).unwrap();
    assert!(ground.folder.read("2026/11/report.csv", 0, most).is_ok());
    assert_eq!(
        ground.folder.read("2026/11/report.csv", 0, most + 1),
        Err(StorageError::TooLarge(limits::FILE_READ_BYTES_MAX))
    );
}

#[test]
fn names_come_sorted_and_page_by_page() {
    let ground = Ground::new();
    for name in ["b", "a-x", "a/inside", "é", "c"] {
        ground.put(name, b"x").unwrap();
    }
    // What no path can name is not there for a guest.
    fs::write(ground.path("in/back\\slash"), "x").unwrap();
    fs::write(ground.path("in/new\nline"), "x").unwrap();
    fs::create_dir(ground.path("in/.portcullis-other")).unwrap();
    let all = ["a-x", "a/", "b", "c", "é"];
    assert_eq!(ground.folder.list("", None, 100).unwrap(), all);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = ground.folder.list("", after.as_deref(), 2).unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(ground.folder.list("a", None, 100).unwrap(), ["inside"]);
    assert_eq!(ground.folder.list("", None, 0).unwrap(), [""; 0]);
    is_invalid(ground.folder.list("b", None, 100), "a file is no folder");
    assert_eq!(ground.folder.list("none", None, 100), Err(StorageError::NotFound));
}

#[test]
fn paths_that_are_no_plain_relative_ones() {
    let ground = Ground::new();
    let long = "x".repeat(limits::FILE_NAME_BYTES_MAX + 1);
    let deep = vec!["d"; limits::FILE_PATH_PARTS_MAX + 1].join("/");
    let huge = "y/".repeat(limits::FILE_PATH_BYTES_MAX) + "y";
    for path in [
        "",
        "/",
        "/etc/passwd",
        "../out/secret",
        "a/../../out/secret",
        "a/..",
        "..",
        ".",
        "./x",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "a\u{85}b",
        "..\\out\\secret",
        "C:\\x",
        ".portcullis-partial",
        ".portcullis-partial/part_x",
        ".PORTCULLIS-partial/x",
        "a/.portcullis-x",
        &long,
        &deep,
        &huge,
    ] {
        let shown: String = path.chars().take(40).collect();
        is_invalid(ground.folder.read(path, 0, 1), &shown);
        is_invalid(ground.folder.create(path), &shown);
        is_invalid(ground.folder.remove(path), &shown);
        if !path.is_empty() {
            is_invalid(ground.folder.list(path, None, 1), &shown);
        }
    }
    assert_eq!(ground.names(), [""; 0]);
    // The longest that passes, and names that only look odd.
    let longest = "x".repeat(limits::FILE_NAME_BYTES_MAX);
    for path in [longest.as_str(), "...", "..x", "a b", "%2e%2e", "~", "-rf", "con"] {
        ground.put(path, b"x").unwrap();
        assert_eq!(ground.read(path).unwrap(), "x");
    }
    ground.outside_is_whole();
}

#[test]
fn links_lead_nowhere_outside() {
    let ground = Ground::new();
    symlink(ground.path("out"), ground.path("in/absolute")).unwrap();
    symlink("../out", ground.path("in/relative")).unwrap();
    symlink("../out/secret", ground.path("in/file")).unwrap();
    symlink("/proc/self/root", ground.path("in/magic")).unwrap();
    symlink("loop", ground.path("in/loop")).unwrap();
    for path in ["absolute/secret", "relative/secret", "file", "magic/etc/passwd", "loop"] {
        is_invalid(ground.read(path), path);
    }
    for path in ["absolute/new", "relative/new", "relative/sub/new", "relative/secret", "file"] {
        is_invalid(ground.put(path, b"over"), path);
    }
    for path in ["absolute/secret", "relative/secret", "file", "relative", "loop", "magic/etc/passwd"] {
        is_invalid(ground.folder.remove(path), path);
    }
    is_invalid(ground.folder.list("relative", None, 10), "listing");
    assert_eq!(ground.names(), ["absolute", "file", "loop", "magic", "relative"]);
    ground.outside_is_whole();
    // The twin: a link that stays inside is one more name.
    ground.put("real/x", b"inside").unwrap();
    symlink("real", ground.path("in/link")).unwrap();
    assert_eq!(ground.read("link/x").unwrap(), "inside");
    assert_eq!(ground.folder.remove("link/x"), Ok(true));
    assert_eq!(ground.folder.remove("real/x"), Ok(false));
}

#[test]
fn another_name_of_a_file_outside_is_not_read_and_not_written() {
    let ground = Ground::new();
    fs::hard_link(ground.path("out/secret"), ground.path("in/hard")).unwrap();
    is_invalid(ground.read("hard"), "a second name");
    is_invalid(ground.folder.remove("hard"), "a second name");
    // Replaced is the name alone.
    ground.put("hard", b"ours").unwrap();
    assert_eq!(ground.read("hard").unwrap(), "ours");
    ground.outside_is_whole();
}

#[test]
fn what_is_no_plain_file_is_never_opened() {
    let ground = Ground::new();
    let node =
        |name: &str, kind, device| mknodat(CWD, ground.path(name), kind, Mode::from_raw_mode(0o666), device);
    node("in/fifo", FileType::Fifo, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(ground.path("in/socket")).unwrap();
    fs::create_dir(ground.path("in/folder")).unwrap();
    let mut special = vec!["fifo", "socket", "folder"];
    // Only a privileged user can make one.
    if node("in/zero", FileType::CharacterDevice, rustix::fs::makedev(1, 5)).is_ok() {
        special.push("zero");
    }
    for name in special {
        let began = RealClock.monotonic();
        is_invalid(ground.read(name), name);
        is_invalid(ground.put(name, b"over"), name);
        is_invalid(ground.folder.remove(name), name);
        assert!((RealClock.monotonic() - began) < Duration::from_secs(5), "{name} does not block");
    }
    assert!(!ground.names().contains(&PARTIAL.to_owned()));
}

#[test]
fn a_folder_that_becomes_a_link_meanwhile_gives_nothing() {
    let ground = Ground::new();
    let stop = AtomicBool::new(false);
    let (real, link) = (ground.path("in/sub"), ground.path("in/sub"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::remove_dir_all(&real);
                let _ = symlink("../out", &link);
                let _ = fs::remove_file(&link);
                let _ = fs::create_dir(&real);
            }
        });
        let began = RealClock.monotonic();
        let (mut written, mut refused) = (0, 0);
        while (RealClock.monotonic() - began) < Duration::from_secs(2) || written == 0 || refused == 0 {
            match ground.put("sub/secret", b"over") {
                Ok(_) => written += 1,
                Err(_) => refused += 1,
            }
            let _ = ground.folder.remove("sub/secret");
            if let Ok(read) = ground.read("sub/secret") {
                assert_eq!(read, "over");
            }
            if let Ok(names) = ground.folder.list("sub", None, 10) {
                assert!(names.is_empty() || names == ["secret"], "{names:?}");
            }
            assert!(
                (RealClock.monotonic() - began) < Duration::from_secs(60),
                "{written} written, {refused} refused"
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
    ground.outside_is_whole();
}

#[test]
fn leftovers_of_killed_processes_go_and_those_of_living_ones_stay() {
    let ground = Ground::new();
    let mut living = ground.folder.create("living").unwrap();
    living.write(b"alive").unwrap();
    let partial = ground.path("in").join(PARTIAL);
    fs::write(partial.join("part_killed"), "half").unwrap();
    fs::write(partial.join("notes"), "somebody's").unwrap();
    let again = Arc::new(Folder::open(&ground.path("in"), Access::Write).unwrap());
    let left = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(left(&partial), 2, "the living one and what is not ours");
    fs::remove_file(partial.join("notes")).unwrap();
    assert_eq!(living.commit(), Ok(5));
    assert_eq!(ground.names(), ["living"]);
    // In the place of ours lies a link: nothing is removed through it.
    fs::create_dir(ground.path("in/precious")).unwrap();
    fs::write(ground.path("in/precious/part_1"), "kept").unwrap();
    symlink("precious", &partial).unwrap();
    assert!(Folder::open(&ground.path("in"), Access::Write).is_err());
    assert!(matches!(again.create("x"), Err(StorageError::Invalid(_))));
    assert_eq!(fs::read_to_string(ground.path("in/precious/part_1")).unwrap(), "kept");
}

#[test]
fn access_is_what_was_requested() {
    let ground = Ground::new();
    ground.put("x", b"x").unwrap();
    let reading = Arc::new(Folder::open(&ground.path("in"), Access::Read).unwrap());
    assert_eq!(reading.read("x", 0, 1).unwrap(), b"x");
    assert_eq!(reading.list("", None, 9).unwrap(), ["x"]);
    is_invalid(reading.create("y"), "reading alone");
    is_invalid(reading.remove("x"), "reading alone");
    assert_eq!(ground.names(), ["x"]);
    let writing = Arc::new(Folder::open(&ground.path("in"), Access::Write).unwrap());
    is_invalid(writing.read("x", 0, 1), "writing alone");
    is_invalid(writing.list("", None, 9), "writing alone");
    writing.create("y").unwrap().commit().unwrap();
    assert_eq!(ground.names(), ["x", "y"]);
    assert_eq!((writing.remove("y"), writing.remove("y")), (Ok(true), Ok(false)));
    assert_eq!(ground.names(), ["x"]);
}

#[test]
fn in_a_dry_run_nothing_becomes_of_what_is_written() {
    let ground = Ground::new();
    ground.put("x", b"as it was").unwrap();
    let dry = Arc::new(ground.folder.dry().unwrap());
    for path in ["x", "new/y"] {
        let mut writing = dry.create(path).unwrap();
        writing.write(b"dry").unwrap();
        assert_eq!(writing.commit(), Ok(3));
    }
    assert_eq!((dry.remove("x"), dry.remove("y")), (Ok(true), Ok(false)));
    is_invalid(dry.create(".portcullis-x"), "judged as ever");
    assert_eq!(ground.names(), ["x"]);
    assert_eq!(ground.read("x").unwrap(), "as it was");
}

#[test]
fn many_write_at_once() {
    let ground = Ground::new();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let ground = &ground;
            scope.spawn(move || {
                for file in 0..20 {
                    ground.put(&format!("{writer}/{file}"), b"x").unwrap();
                    drop(ground.folder.create("dropped").unwrap());
                }
            });
        }
        for _ in 0..20 {
            Folder::open(&ground.path("in"), Access::Write).unwrap();
        }
    });
    assert_eq!(ground.names(), (0..8).map(|writer| writer.to_string()).collect::<Vec<_>>());
}
