//! Code that one project compiled, for the others of this process: the same component, compiled for each test anew, is the
//! larger part of what a suite of many small projects computes.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

type Files = Vec<(std::ffi::OsString, Vec<u8>)>;

static KEPT: Mutex<Option<HashMap<String, Files>>> = Mutex::new(None);

/// Puts what was compiled of this code where the project of `data` looks for it.
pub(crate) fn bring(code_digest: &str, data: &Path) {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(files) = kept.as_ref().and_then(|kept| kept.get(code_digest)) else { return };
    let cache = data.join("cache");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache).unwrap();
    for (name, bytes) in files {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(cache.join(name));
        match file {
            Ok(mut file) => io::Write::write_all(&mut file, bytes).unwrap(),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}"),
        }
    }
}

/// Keeps what a project compiled. Called while a test may be failing: what can't be read is not kept.
pub(crate) fn keep(code_digest: &str, data: &Path) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if kept.contains_key(code_digest) {
        return;
    }
    let read = || -> io::Result<Files> {
        fs::read_dir(data.join("cache"))?
            .map(|file| file.and_then(|file| Ok((file.file_name(), fs::read(file.path())?))))
            .collect()
    };
    // The code and its hash.
    if let Some(files) = read().ok().filter(|files| files.len() == 2) {
        kept.insert(code_digest.to_owned(), files);
    }
}
