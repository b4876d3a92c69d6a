//! The lock as it was parsed last, for a process that asks for it before each page. Its bytes are read each time and parsed
//! where one is another: no size and no moment of a change has to be trusted, so what the lock says counts at once.
use super::{lock_text, parse};
use crate::exit::Result;
use portcullis_manifest::Lock;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Empty until it is asked.
#[derive(Default)]
pub struct LastLock(Mutex<Option<(String, Arc<Lock>)>>);

impl LastLock {
    /// The lock as it is in this file now; an absent one is empty.
    pub fn read(&self, file: &Path) -> Result<Arc<Lock>> {
        let Some(text) = lock_text(file)? else { return Ok(Arc::default()) };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lock)) = last.as_ref().filter(|(known, _)| *known == text) {
            return Ok(lock.clone());
        }
        let lock = Arc::new(parse(file, &text)?);
        *last = Some((text, lock.clone()));
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_the_lock_says_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, last) = (folder.path().join("portcullis.lock"), LastLock::default());
        assert!(last.read(&file).unwrap().approvals.is_empty(), "an absent one is empty");
        let lock = |name: &str, revoked: bool| {
            let revoked = if revoked { "true " } else { "false" };
            format!(
                "format = 1\n[approvals.{name}]\napproval-id = \"apr_1\"\nrevoked = {revoked}\n\
                 approved-at = \"2026-01-31T12:00:00Z\"\nconnector = \"acme/x\"\nversion = \"1.0.0\"\n\
                 digest = \"sha256:{}\"\nimports = []\nroles = [\"actions\"]\n\
                 [approvals.{name}.network]\nroots = \"bundled\"\n",
                "a".repeat(64)
            )
        };
        // Written over in place within one tick of any clock, as long as before.
        for (name, revoked) in [("one", false), ("two", false), ("two", true), ("one", false)] {
            fs::write(&file, lock(name, revoked)).unwrap();
            let read = last.read(&file).unwrap();
            assert_eq!(read.approvals.keys().collect::<Vec<_>>(), [name]);
            assert_eq!(read.approvals[name].revoked, revoked);
            assert!(Arc::ptr_eq(&read, &last.read(&file).unwrap()), "parsed once");
        }
        fs::write(&file, lock("one", false).replace("apr_1", "apr\"1")).unwrap();
        assert!(last.read(&file).is_err() && last.read(&file).is_err(), "a damaged one stays refused");
        fs::remove_file(&file).unwrap();
        assert!(last.read(&file).unwrap().approvals.is_empty());
    }
}
