//! Where the database is, and what the file system says about it before SQLite is asked.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// The path of a database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location(PathBuf);

impl Location {
    /// Reads `sqlite://PATH`, `sqlite:PATH` or a bare path. The path is taken as it is written, `%` and all.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (is_url, path) = match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            Some(path) => (true, path),
            None => (false, url),
        };
        if path.is_empty() {
            return refuse("the database URL names no file: write sqlite://scrip.db");
        }
        if !is_url && path.contains("://") {
            return refuse("the database URL is not one of SQLite: write sqlite://PATH");
        }
        if path == ":memory:" {
            return refuse("a database in memory would lose what was acknowledged: name a file");
        }
        if is_url && path.contains('?') {
            return refuse("a sqlite:// URL takes no parameters: leave out the '?' and what follows");
        }
        // SQLite reads a name that begins with "file:" as a URI: "./" makes it a path again.
        let path = Path::new(path);
        Ok(Self(if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether there is a file; makes an empty one, readable by its owner alone, where `create` says so.
    pub(super) fn prepare(&self, create: bool) -> Result<(), StoreError> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let folder = folder.display();
            return refuse(format!("the folder {folder} does not exist: create it, or name another file"));
        }
        match std::fs::metadata(&self.0) {
            Ok(found) if !found.is_file() => refuse(format!("{self} is not a file: name a database file")),
            // Asked here and not of SQLite alone, since root may write what is marked read-only.
            Ok(found) if found.permissions().readonly() => refuse(self.read_only()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && create => self.create(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                refuse(format!("there is no database at {self}: `scrip migrate` creates it"))
            }
            Err(error) => refuse(format!("{self} cannot be looked at ({}): check the path", error.kind())),
        }
    }

    /// The sentence for a file or folder that takes no writes.
    pub(super) fn read_only(&self) -> String {
        format!("{self} is read-only: make the file and its folder writable for the user that runs scrip")
    }

    /// Notes beside the file that it must be checked before it is written again. As good as the disk allows: the
    /// same disk has just failed.
    pub(super) fn mark_suspect(&self) {
        let _ =
            std::fs::write(self.mark(), "a commit ended in an I/O error; removed after a check at start\n");
    }

    /// Whether an earlier process left the file in doubt.
    pub(super) fn is_suspect(&self) -> bool {
        self.mark().exists()
    }

    /// The file was checked and is sound.
    pub(super) fn clear_suspect(&self) {
        let _ = std::fs::remove_file(self.mark());
    }

    /// The log, as SQLite names it.
    pub(super) fn log(&self) -> PathBuf {
        self.beside("-wal")
    }

    fn mark(&self) -> PathBuf {
        self.beside("-suspect")
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    }

    fn create(&self) -> Result<(), StoreError> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        // SQLite gives its companions, -wal and -shm, the same rights.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&self.0) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => refuse(format!(
                "{self} cannot be created ({}): make its folder writable and its disk not full, or name another file",
                error.kind()
            )),
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Refused(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path() {
        for (url, path) in [
            ("sqlite://scrip.db", "./scrip.db"),
            ("sqlite:data/scrip.db", "./data/scrip.db"),
            ("sqlite:///var/lib/scrip.db", "/var/lib/scrip.db"),
            ("scrip.db", "./scrip.db"),
            ("sqlite://file:odd?.db", ""),
            ("file:odd.db", "./file:odd.db"),
            ("sqlite://", ""),
            ("sqlite::memory:", ""),
            ("postgres://db/scrip", ""),
        ] {
            let found = Location::parse(url).map(|location| location.0);
            assert_eq!(found.unwrap_or_default(), Path::new(path), "{url}");
        }
    }
}
