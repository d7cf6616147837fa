//! The file: who may read it, and who made it.

use std::path::{Path, PathBuf};

use super::*;
use crate::keypool::Purpose;
use crate::vault::{BadKeyring, FileProblem};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let _ = (path, mode);
}

/// A file with this content that only its owner can read.
fn written(folder: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join("scrip.kek");
    std::fs::write(&path, content).unwrap();
    set_mode(&path, 0o600);
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Whether what one keyring seals the other opens.
fn agree(one: &Keyring, other: &Keyring) -> bool {
    let sealed = one.seal(&key("a"), Purpose::Lease, [9; 24]).unwrap();
    other.open("a", Purpose::Lease, &sealed).is_ok()
}

#[test]
fn a_created_file_loads_as_the_same_key_and_says_what_it_is() {
    let folder = folder();
    let path = folder.path().join("scrip.kek");
    let made = Keyring::create_file(&path, id("first"), [0xab; 32]).unwrap();
    assert!(agree(&made, &Keyring::load_file(&path).unwrap()));
    assert_eq!(names(folder.path()), ["scrip.kek"]);

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("# ") && lines[0].contains("cannot be read"), "{text}");
    assert!(lines[1].starts_with("# ") && lines[1].contains("apart from the database"), "{text}");
    assert_eq!(lines[2], format!("first:{}", "ab".repeat(32)));
}

#[cfg(unix)]
#[test]
fn a_created_file_is_for_its_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let folder = folder();
    let path = folder.path().join("scrip.kek");
    Keyring::create_file(&path, id("first"), [1; 32]).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_file_that_exists_is_not_replaced() {
    let folder = folder();
    let path = written(folder.path(), "mine");
    let refused = Keyring::create_file(&path, id("first"), [1; 32]).unwrap_err();
    assert!(matches!(refused.problem, FileProblem::Exists), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert_eq!(names(folder.path()), ["scrip.kek"]);
}

#[test]
fn many_creators_at_once_end_up_with_one_key() {
    let folder = folder();
    let path = folder.path().join("scrip.kek");
    let start = std::sync::Barrier::new(8);
    let creator = |random: u8| {
        start.wait();
        match Keyring::create_file(&path, id("first"), [random; 32]) {
            Ok(made) => (made, true),
            Err(refused) => {
                assert!(matches!(refused.problem, FileProblem::Exists), "{refused}");
                (Keyring::load_file(&path).unwrap(), false)
            }
        }
    };
    let rings: Vec<(Keyring, bool)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|random| scope.spawn(move || creator(random))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(rings.iter().filter(|(_, is_maker)| *is_maker).count(), 1);
    assert!(rings.iter().all(|(ring, _)| agree(ring, &rings[0].0)));
    assert_eq!(names(folder.path()), ["scrip.kek"]);
}

#[test]
fn drafts_of_processes_that_died_are_stepped_over() {
    let folder = folder();
    let left = folder.path().join(format!(".scrip.kek.{}.0.tmp", std::process::id()));
    std::fs::write(&left, "half").unwrap();
    let path = folder.path().join("scrip.kek");
    Keyring::create_file(&path, id("first"), [1; 32]).unwrap();
    assert!(Keyring::load_file(&path).is_ok());
    assert_eq!(std::fs::read(&left).unwrap(), b"half");
}

#[cfg(unix)]
#[test]
fn a_file_that_another_owner_hands_over_by_a_group_is_private_and_one_of_ones_own_is_not() {
    use crate::vault::file::is_private;
    const US: u32 = 1000;
    const ROOT: u32 = 0;
    for mode in [0o600, 0o400] {
        assert!(is_private(mode, US, US) && is_private(mode, ROOT, US), "{mode:o}");
    }
    // As an orchestrator mounts a secret for a process that is not root.
    assert!(is_private(0o440, ROOT, US) && is_private(0o640, ROOT, US));
    assert!(!is_private(0o440, US, US), "its owner can and should keep the group out");
    for mode in [0o444, 0o604, 0o460, 0o450, 0o441] {
        assert!(!is_private(mode, ROOT, US), "{mode:o}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_get_at_is_refused_with_the_remedy() {
    let folder = folder();
    let path = written(folder.path(), format!("k:{}", "ab".repeat(32)));
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        set_mode(&path, mode);
        let refused = Keyring::load_file(&path).unwrap_err();
        assert!(matches!(refused.problem, FileProblem::Open { mode: found } if found == mode), "{refused}");
        let shown = refused.to_string();
        assert!(shown.contains("chmod 600") && shown.contains(&format!("{mode:04o}")), "{shown}");
    }
    for mode in [0o600, 0o400] {
        set_mode(&path, mode);
        assert!(Keyring::load_file(&path).is_ok(), "{mode:o}");
    }
}

#[test]
fn what_is_no_file_of_keys_is_refused_by_kind() {
    let folder = folder();
    let missing = Keyring::load_file(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing.problem, FileProblem::Missing), "{missing}");
    let directory = Keyring::load_file(folder.path()).unwrap_err();
    assert!(matches!(directory.problem, FileProblem::NotRegular), "{directory}");

    let binary = Keyring::load_file(&written(folder.path(), [0xff, 0xfe])).unwrap_err();
    assert!(matches!(binary.problem, FileProblem::NotText), "{binary}");
    let empty = Keyring::load_file(&written(folder.path(), "")).unwrap_err();
    assert!(matches!(empty.problem, FileProblem::Content(BadKeyring::Empty)), "{empty}");
    let long = Keyring::load_file(&written(folder.path(), "#".repeat(Keyring::MAX_BYTES + 1))).unwrap_err();
    assert!(matches!(long.problem, FileProblem::Content(BadKeyring::TooLong)), "{long}");
}

#[test]
fn an_error_about_a_file_names_the_file_and_the_line_and_no_content() {
    let folder = folder();
    let path = written(folder.path(), format!("k:{}\nk2:{}", "ab".repeat(32), "ab".repeat(31)));
    let refused = Keyring::load_file(&path).unwrap_err();
    let shown = refused.to_string();
    assert!(shown.starts_with(&format!("the key file {}: line 2: ", path.display())), "{shown}");
    assert!(!format!("{shown} {refused:?}").contains("abab"), "{shown}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_the_system() {
    let refused = Keyring::create_file(Path::new("/nowhere/scrip.kek"), id("first"), [1; 32]).unwrap_err();
    assert!(matches!(refused.problem, FileProblem::Io { doing: "created", .. }), "{refused}");
}
