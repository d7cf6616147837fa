//! Where the key-encryption keys come from: a file, or a variable of the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use zeroize::{Zeroize, Zeroizing};

use crate::vault::Keyring;

/// The keys themselves. Environment alone: a flag would show them to every user of the machine, and in the
/// configuration file they would lie beside the database's password.
const VARIABLE: &str = "SCRIP_KEK";

/// The keys that seal fal keys in the database.
#[derive(Args, Clone, Debug)]
pub struct KekArgs {
    /// File of the keys that seal fal keys in the database: one ID:64-HEX-DIGITS a line, the first one seals
    ///
    /// Only its owner may have access to it (chmod 600), and its group where it belongs to another owner, as a mounted
    /// secret does. Keep a backup of it apart from the database: without it the
    /// stored fal keys cannot be read. The environment variable SCRIP_KEK can hold the same entries, parted by commas
    /// or line breaks, instead of a file.
    #[arg(long, env = "SCRIP_KEK_FILE", value_name = "FILE", hide_env_values = true)]
    pub kek_file: Option<PathBuf>,
}

impl KekArgs {
    /// The configured keys, from the file or from `SCRIP_KEK`; none if neither is given.
    ///
    /// # Errors
    /// If both are given or one cannot be used, with what to do; never with what they hold.
    pub fn load(&self) -> Result<Option<Keyring>, String> {
        self.load_with(std::env::var_os(VARIABLE))
    }

    fn load_with(&self, variable: Option<OsString>) -> Result<Option<Keyring>, String> {
        let text = variable.map(text_of);
        match (&self.kek_file, text) {
            (Some(_), Some(_)) => Err(format!(
                "kek-file and {VARIABLE} are both given: keep one of them, so that it is clear which keys are in use"
            )),
            // Taken for a path it would be repeated in the error, and so in a log.
            (Some(path), None) if path.to_str().is_some_and(|text| Keyring::parse_variable(text).is_ok()) => {
                Err(format!("kek-file: this is a key, not the name of a file: give it as {VARIABLE}"))
            }
            (Some(path), None) => {
                Keyring::load_file(path).map(Some).map_err(|refused| format!("kek-file: {refused}"))
            }
            (None, Some(text)) => {
                let text = text.ok_or_else(|| format!("{VARIABLE}: not UTF-8 text"))?;
                Keyring::parse_variable(&text).map(Some).map_err(|bad| {
                    format!("{VARIABLE}: {bad}; it is ID:64-HEX-DIGITS, several parted by commas, or not set at all")
                })
            }
            (None, None) => Ok(None),
        }
    }
}

/// The text of a variable in a buffer that is wiped; none if it is no text.
fn text_of(value: OsString) -> Option<Zeroizing<String>> {
    match value.into_string() {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(value) => {
            value.into_encoded_bytes().zeroize();
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits() -> String {
        "ab".repeat(32)
    }

    fn load(file: Option<&str>, variable: Option<&str>) -> Result<Option<Keyring>, String> {
        KekArgs { kek_file: file.map(PathBuf::from) }.load_with(variable.map(OsString::from))
    }

    #[test]
    fn without_either_there_is_no_keyring() {
        assert!(load(None, None).unwrap().is_none());
    }

    #[test]
    fn the_variable_holds_keys_parted_by_commas() {
        let ring = load(None, Some(&format!("new:{0},old:{0}", digits()))).unwrap().unwrap();
        assert_eq!(format!("{ring:?}"), "Keyring[\"new\", \"old\"]");
    }

    #[test]
    fn the_file_is_read_as_the_vault_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scrip.kek");
        Keyring::create_file(&path, crate::vault::KekId::new("k1").unwrap(), [1; 32]).unwrap();
        let ring = load(path.to_str(), None).unwrap().unwrap();
        assert_eq!(format!("{ring:?}"), "Keyring[\"k1\"]");
    }

    #[test]
    fn both_at_once_are_refused() {
        let refused = load(Some("scrip.kek"), Some(&format!("k:{}", digits()))).unwrap_err();
        assert!(refused.starts_with("kek-file and SCRIP_KEK are both given: keep one"), "{refused}");
    }

    #[test]
    fn a_key_given_as_the_name_of_a_file_is_not_repeated() {
        let refused = load(Some(&format!("k:{}", digits())), None).unwrap_err();
        assert_eq!(refused, "kek-file: this is a key, not the name of a file: give it as SCRIP_KEK");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_the_remedy_and_never_repeated() {
        let missing = load(Some("/nowhere/scrip.kek"), None).unwrap_err();
        assert!(missing.starts_with("kek-file: the key file /nowhere/scrip.kek: no such file"), "{missing}");
        let second = load(None, Some(&format!("k:{},{}", digits(), digits()))).unwrap_err();
        assert!(second.starts_with("SCRIP_KEK: entry 2: expected an id"), "{second}");
        assert!(!second.contains("abab"), "{second}");
        let empty = load(None, Some("")).unwrap_err();
        assert!(empty.contains("no key in it") && empty.contains("or not set at all"), "{empty}");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_refused() {
        let bytes = std::os::unix::ffi::OsStringExt::from_vec(vec![b'k', b':', 0xff]);
        let refused = KekArgs { kek_file: None }.load_with(Some(bytes)).unwrap_err();
        assert_eq!(refused, "SCRIP_KEK: not UTF-8 text");
    }
}
