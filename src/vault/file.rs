//! The file of KEKs: read with care for who else can read it, and created whole or not at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::keyring::{BadKeyring, Keyring};
use super::{Kek, KekId};

/// For who finds the file one day.
const HEADER: &str = "# Key-encryption key of scrip. The fal keys in its database are sealed with it; without it they cannot be read.\n\
                      # Keep a backup of it, apart from the database's backups. The first key seals, the others only open.\n";

/// A name of the kind `.NAME.PID.N.tmp` may be left by a process that died; this many are stepped over.
const TRIES: u32 = 100;

/// Why a file of KEKs could not be read or created.
#[derive(Debug, thiserror::Error)]
#[error("the key file {}: {problem}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: FileProblem,
}

/// What is wrong with a file of KEKs.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// There is no such file.
    #[error("no such file: name the file that holds the key-encryption keys")]
    Missing,
    /// It was to be created, and is there: load it instead. Never half written.
    #[error("it exists already and is not replaced")]
    Exists,
    /// A directory, a pipe or a device.
    #[error("not a regular file")]
    NotRegular,
    /// Its mode lets others than the owner at it.
    #[error("its mode is {mode:04o}, so that others than its owner have access to it: run chmod 600 on it")]
    Open {
        /// The permission bits.
        mode: u32,
    },
    /// Its content is wrong.
    #[error(transparent)]
    Content(#[from] BadKeyring),
    /// Its content is not text.
    #[error("not UTF-8 text")]
    NotText,
    /// The system refused.
    #[error("cannot be {doing}: {error}")]
    Io {
        /// What was tried, such as `read`.
        doing: &'static str,
        /// The system's reason.
        error: std::io::Error,
    },
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> FileProblem {
    move |error| FileProblem::Io { doing, error }
}

impl Keyring {
    /// Reads a file of KEKs (see [`parse`](Self::parse)). On Unix nobody but its owner may have access to it;
    /// a file of another owner may be readable for its group.
    ///
    /// # Errors
    /// [`FileError`]; it never shows what the file holds.
    pub fn load_file(path: &Path) -> Result<Self, FileError> {
        load(path).map_err(|problem| FileError { path: path.to_owned(), problem })
    }

    /// Creates a file with one new KEK of `random`, fresh bytes from the system's source of randomness, readable for its
    /// owner alone; it is on disk when this returns. Of several processes that create one file one succeeds, and the
    /// others find it whole.
    ///
    /// # Errors
    /// [`FileError`]; with [`FileProblem::Exists`] the file is there, to be [loaded](Self::load_file).
    pub fn create_file(path: &Path, id: KekId, random: [u8; Kek::BYTES]) -> Result<Self, FileError> {
        let keyring = Self::generate(id, random);
        create(path, &keyring).map_err(|problem| FileError { path: path.to_owned(), problem })?;
        Ok(keyring)
    }
}

fn load(path: &Path) -> Result<Keyring, FileProblem> {
    let missing_or = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => FileProblem::Missing,
        _ => FileProblem::Io { doing: "read", error },
    };
    // Asked before it is opened as well: to open a pipe is to wait for its other end.
    check(&std::fs::metadata(path).map_err(missing_or)?)?;
    let file = File::open(path).map_err(missing_or)?;
    check(&file.metadata().map_err(io("read"))?)?;
    // One byte more than allowed, to notice; and room for it from the start, since a buffer that grows leaves its
    // contents behind.
    let most = Keyring::MAX_BYTES.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(most.saturating_add(64)));
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(io("read"))?;
    if bytes.len() == most {
        return Err(BadKeyring::TooLong.into());
    }
    Ok(Keyring::parse(std::str::from_utf8(&bytes).map_err(|_| FileProblem::NotText)?)?)
}

fn check(found: &Metadata) -> Result<(), FileProblem> {
    if !found.is_file() {
        return Err(FileProblem::NotRegular);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = found.mode() & 0o7777;
        if !is_private(mode, found.uid(), rustix::process::geteuid().as_raw()) {
            return Err(FileProblem::Open { mode });
        }
    }
    Ok(())
}

/// Whether a file is for its reader alone. A file of another owner can only be read through its group: so orchestrators
/// hand secrets to a process that is not root. Whoever owns the file can keep the group out, and must.
#[cfg(unix)]
pub(super) const fn is_private(mode: u32, owner: u32, reader: u32) -> bool {
    let for_others = if owner == reader { 0o077 } else { 0o037 };
    mode & for_others == 0
}

/// Writes a file beside `path` and then gives it its name: a link is made whole, and never over another file.
fn create(path: &Path, keyring: &Keyring) -> Result<(), FileProblem> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (mut file, draft) = draft(path)?;
    file.write_all(content(keyring).as_bytes()).and_then(|()| file.sync_all()).map_err(io("written"))?;
    let linked = std::fs::hard_link(&draft.0, path);
    drop(draft);
    match linked {
        Ok(()) => sync(folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // Whoever made it may not have come to this yet, and what this process seals must not outlive the key.
            sync(folder)?;
            Err(FileProblem::Exists)
        }
        Err(error) => Err(FileProblem::Io { doing: "created", error }),
    }
}

/// A file that is removed when this is dropped.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // At worst it stays, as unreadable for others as the file itself.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A new file beside `path`, for its owner alone.
fn draft(path: &Path) -> Result<(File, Draft), FileProblem> {
    let Some(name) = path.file_name() else { return Err(FileProblem::NotRegular) };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut last = ErrorKind::AlreadyExists.into();
    for number in 0..TRIES {
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.{number}.tmp", std::process::id()));
        let draft = path.with_file_name(draft);
        match options.open(&draft) {
            Ok(file) => return Ok((file, Draft(draft))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(FileProblem::Io { doing: "created", error }),
        }
    }
    Err(FileProblem::Io { doing: "created", error: last })
}

fn content(keyring: &Keyring) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(HEADER);
    if let Some(line) = keyring.first_line() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Makes the names in a folder last. Only Unix opens folders.
fn sync(folder: &Path) -> Result<(), FileProblem> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("written to disk"))?;
    }
    Ok(())
}
