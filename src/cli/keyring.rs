//! Which keys seal and open fal keys here: those that are configured, or on SQLite those of a file beside the database.
//!
//! Phases: what is configured is read before anything is touched ([`configured`]); once the database is open, it is
//! decided what it goes with ([`find`]); and only where a secret is about to be stored, or a server starts, the file
//! beside it is made ([`Found::or_create`]). It is never made for a database that holds secrets already: the key that
//! sealed those is somewhere, and a second one would only hide that it is missing.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::clock::System;
use crate::config::{DatabaseUrl, KekArgs, Scheme};
use crate::keypool::AccountKey;
use crate::store::{Reader, sqlite};
use crate::vault::{FileProblem, KekId, Keyring};

/// The id of a key that is made here.
const FIRST: &str = "k1";
/// Secrets looked at, to tell whether a keyring goes with a database.
const SAMPLE: u32 = 200;

/// What a database's secrets are sealed with.
#[derive(Debug)]
pub(super) enum Found {
    /// Keys that are configured.
    Configured(Keyring),
    /// Keys of the file beside the database.
    Beside(Keyring, PathBuf),
    /// None yet; a file may be made here.
    Absent(PathBuf),
    /// None, and none can be made: several servers share the database, and must be given the same.
    Nowhere,
}

/// The keys that options name.
pub(super) fn configured(args: &KekArgs) -> Result<Option<Keyring>, Failure> {
    args.load().map_err(Failure::CouldNotRun)
}

/// What goes with an opened database.
pub(super) async fn find(
    configured: Option<Keyring>,
    database: &DatabaseUrl,
    reader: &dyn Reader,
) -> Result<Found, Failure> {
    if let Some(keyring) = configured {
        return Ok(Found::Configured(keyring));
    }
    if database.scheme().map_err(Failure::CouldNotRun)? == Scheme::Postgres {
        return Ok(Found::Nowhere);
    }
    let path = beside(&sqlite::path(database.expose())?);
    if let Some(keyring) = load(&path)? {
        return Ok(Found::Beside(keyring, path));
    }
    match reader.sealed_keys((0, "", ""), 1).await?.first() {
        None => Ok(Found::Absent(path)),
        Some(held) => Err(lost(held, &path)),
    }
}

/// Whether new secrets may be sealed with it: refused if there are secrets and it opens none of them, since then it is
/// the key of another database.
pub(super) async fn check_fits(keyring: &Keyring, reader: &dyn Reader) -> Result<(), Failure> {
    let held = reader.sealed_keys((0, "", ""), SAMPLE).await?;
    if held.is_empty() || held.iter().any(|key| opens(keyring, key)) {
        return Ok(());
    }
    Err(Failure::CouldNotRun(format!(
        "the configured key-encryption keys open none of the fal keys in this database (sealed with {}): give the keys \
         of this database with --kek-file or SCRIP_KEK; if they are lost, store each account's key again with `scrip \
         keys rotate` first",
        kek_ids(&held)
    )))
}

impl Found {
    /// The keys that there are; none is made.
    pub(super) fn existing(self) -> Keyring {
        match self {
            Self::Configured(keyring) | Self::Beside(keyring, _) => keyring,
            Self::Nowhere | Self::Absent(_) => Keyring::default(),
        }
    }

    /// The keys; made now where there are none yet and a file beside the database can hold them, which is answered as
    /// the path.
    pub(super) fn or_create(self) -> Result<(Keyring, Option<PathBuf>), Failure> {
        match self {
            Self::Configured(keyring) | Self::Beside(keyring, _) => Ok((keyring, None)),
            Self::Nowhere => Ok((Keyring::default(), None)),
            Self::Absent(path) => {
                let id = KekId::new(FIRST).map_err(|bad| Failure::CouldNotRun(bad.to_string()))?;
                match Keyring::create_file(&path, id, System::secret_bytes()) {
                    Ok(keyring) => Ok((keyring, Some(path))),
                    // Another process was first; its file is whole.
                    Err(error) if matches!(error.problem, FileProblem::Exists) => {
                        let keyring = Keyring::load_file(&path).map_err(refused)?;
                        Ok((keyring, None))
                    }
                    Err(error) => Err(refused(error)),
                }
            }
        }
    }
}

/// What is said once, when a file was made.
pub(super) fn created(path: &Path) -> String {
    format!(
        "key-encryption key: created {}; stored fal keys cannot be read without it, so back it up apart from the \
         database",
        path.display()
    )
}

/// Why nothing can be stored, and what to do.
pub(super) fn none_configured() -> Failure {
    Failure::could_not_run(
        "no key-encryption key is configured, so no secret can be stored or read: write one to a file with `scrip \
         keys new-kek k1 > scrip.kek` (chmod 600), and give that file to this command and to every server with \
         --kek-file",
    )
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".kek");
    PathBuf::from(name)
}

/// The keys of a file, if it is there.
fn load(path: &Path) -> Result<Option<Keyring>, Failure> {
    match Keyring::load_file(path) {
        Ok(keyring) => Ok(Some(keyring)),
        Err(error) if matches!(error.problem, FileProblem::Missing) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: crate::vault::FileError) -> Failure {
    Failure::CouldNotRun(error.to_string())
}

fn lost(held: &AccountKey, path: &Path) -> Failure {
    let kek_id = held.sealed.as_ref().map_or("", |sealed| &*sealed.kek_id);
    Failure::CouldNotRun(format!(
        "the fal keys in this database are sealed with the key-encryption key {kek_id:?}, and there is none: put it back \
         at {} or give it with --kek-file or SCRIP_KEK. If it is lost, make another with `scrip keys new-kek`, give \
         that, and store each account's key again with `scrip keys rotate`",
        path.display()
    ))
}

fn opens(keyring: &Keyring, key: &AccountKey) -> bool {
    key.sealed.as_ref().is_some_and(|sealed| keyring.open(&key.key_id, key.purpose, sealed).is_ok())
}

fn kek_ids(held: &[AccountKey]) -> String {
    let ids: std::collections::BTreeSet<&str> =
        held.iter().filter_map(|key| key.sealed.as_ref()).map(|sealed| &*sealed.kek_id).collect();
    ids.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("scrip.db"));
        (folder, path)
    }

    #[test]
    fn the_file_stands_beside_the_database() {
        assert_eq!(beside(Path::new("./data/scrip.db")), Path::new("./data/scrip.db.kek"));
    }

    #[test]
    fn what_is_created_is_found_again_and_is_for_its_owner_alone() {
        let (_folder, path) = file();
        assert!(load(&path).unwrap().is_none());
        let (keyring, new) = Found::Absent(path.clone()).or_create().unwrap();
        assert_eq!((new.as_deref(), format!("{keyring:?}")), (Some(&*path), "Keyring[\"k1\"]".to_owned()));
        let again = load(&path).unwrap().unwrap();
        assert_eq!(again.first_line(), keyring.first_line());
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn who_comes_second_takes_the_first_ones_key_and_does_not_say_created() {
        let (_folder, path) = file();
        let (first, _) = Found::Absent(path.clone()).or_create().unwrap();
        let (second, new) = Found::Absent(path).or_create().unwrap();
        assert_eq!((second.first_line(), new), (first.first_line(), None));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_and_left() {
        let (_folder, path) = file();
        std::fs::write(&path, "no key").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let Failure::CouldNotRun(why) = load(&path).unwrap_err() else { panic!("it could not run") };
        assert!(why.contains("scrip.db.kek: line 1: expected an id"), "{why}");
        assert_eq!(std::fs::read(&path).unwrap(), b"no key");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let (_folder, path) = file();
        std::fs::write(&path, format!("k1:{}", "ab".repeat(32))).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let Failure::CouldNotRun(why) = load(&path).unwrap_err() else { panic!("it could not run") };
        assert!(why.contains("0644") && why.contains("chmod 600"), "{why}");
        assert!(!why.contains("abab"), "{why}");
    }

    #[test]
    fn without_a_place_for_one_no_key_is_made() {
        let (keyring, new) = Found::Nowhere.or_create().unwrap();
        assert!(keyring.is_empty() && new.is_none());
    }
}
