//! A fal key from its operator: lines of stdin, or prompts without echo where stdin is a terminal.
//!
//! What is read is wiped as soon as it is a key, or is none; nothing that is said of it repeats it.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use super::super::failure::Failure;
use crate::vault::FalKey;

/// Bytes of a line, its end and white space around the key included.
const MAX_LINE_BYTES: usize = FalKey::MAX_BYTES + 256;

/// A key to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one that is leased.
    Key,
    /// The one for fal's platform API.
    BillingKey,
}

impl Wanted {
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "fal key",
            Self::BillingKey => "billing key",
        }
    }
}

/// Reads a key for each that is wanted, in that order.
pub(super) fn read(wanted: &[Wanted]) -> Result<Vec<FalKey>, Failure> {
    if io::stdin().is_terminal() {
        return wanted.iter().map(|&wanted| prompt(wanted)).collect();
    }
    let mut stdin = unbuffered().map_err(unreadable)?;
    wanted.iter().map(|&wanted| parse(wanted, line(&mut stdin, wanted)?)).collect()
}

fn prompt(wanted: Wanted) -> Result<FalKey, Failure> {
    let typed = rpassword::prompt_password(format!("{} (key_id:key_secret, not shown): ", wanted.name()));
    parse(wanted, Zeroizing::new(typed.map_err(unreadable)?))
}

fn unreadable(error: io::Error) -> Failure {
    Failure::CouldNotRun(format!("the key could not be read: {error}"))
}

/// stdin itself: the standard library's own handle keeps what it read in a buffer that is never wiped.
#[cfg(unix)]
fn unbuffered() -> io::Result<impl Read> {
    std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().map(std::fs::File::from)
}

/// stdin itself: the standard library's own handle keeps what it read in a buffer that is never wiped.
#[cfg(windows)]
fn unbuffered() -> io::Result<impl Read> {
    std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned().map(std::fs::File::from)
}

/// The next line without its end. Read byte by byte, so that nothing beyond it is taken: it is short.
fn line(from: &mut impl Read, wanted: Wanted) -> Result<Zeroizing<String>, Failure> {
    // As long as it gets: a buffer that grows leaves its contents behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LINE_BYTES));
    let mut byte = Zeroizing::new([0_u8]);
    loop {
        match from.read(&mut *byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if bytes.len() == MAX_LINE_BYTES => {
                return Err(refused(wanted, &format!("a fal key has at most {} bytes", FalKey::MAX_BYTES)));
            }
            Ok(_) => bytes.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(refused(wanted, "it is not text"))
        }
    }
}

/// The key of a line, white space around it left out.
fn parse(wanted: Wanted, line: Zeroizing<String>) -> Result<FalKey, Failure> {
    let text = line.trim();
    if text.is_empty() {
        return Err(refused(wanted, "there is none: give it as a line of stdin, key_id:key_secret"));
    }
    FalKey::new(text.to_owned()).map_err(|bad| refused(wanted, &bad.to_string()))
}

fn refused(wanted: Wanted, why: &str) -> Failure {
    Failure::CouldNotRun(format!("the {}: {why}; nothing was done", wanted.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(mut text: &[u8], wanted: &[Wanted]) -> Result<Vec<String>, String> {
        let read = wanted.iter().map(|&wanted| parse(wanted, line(&mut text, wanted)?));
        let keys: Result<Vec<FalKey>, Failure> = read.collect();
        match keys {
            Ok(keys) => Ok(keys.iter().map(|key| key.expose().to_owned()).collect()),
            Err(Failure::CouldNotRun(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    const ONE: &[Wanted] = &[Wanted::Key];
    const BOTH: &[Wanted] = &[Wanted::Key, Wanted::BillingKey];

    #[test]
    fn a_line_is_a_key_however_it_ends_and_whatever_white_space_is_around_it() {
        for text in ["id:s3cret", "id:s3cret\n", "id:s3cret\r\n", " \tid:s3cret \n", "id:s3cret\nmore\n"] {
            assert_eq!(keys(text.as_bytes(), ONE).unwrap(), ["id:s3cret"], "{text:?}");
        }
    }

    #[test]
    fn the_second_line_is_the_billing_key() {
        let read = keys(b"id:s3cret\r\nadmin:s3cret2\r\n", BOTH).unwrap();
        assert_eq!(read, ["id:s3cret", "admin:s3cret2"]);
        let missing = keys(b"id:s3cret\n", BOTH).unwrap_err();
        assert!(missing.starts_with("the billing key: there is none"), "{missing}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let long = format!("id:{}", "s3cret".repeat(200));
        for (text, why) in [
            (&b""[..], "there is none"),
            (b"\n", "there is none"),
            (b"  \r\n", "there is none"),
            (b"s3cret\n", "no colon"),
            (b"id:s3cret s3cret\n", "without spaces"),
            (b"id:s3cret\xff\n", "not text"),
            (long.as_bytes(), "at most 512 bytes"),
        ] {
            let refused = keys(text, ONE).unwrap_err();
            assert!(refused.starts_with("the fal key: ") && refused.contains(why), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn nothing_beyond_the_lines_that_are_wanted_is_taken() {
        let mut text = &b"id:s3cret\nthe rest"[..];
        line(&mut text, Wanted::Key).unwrap();
        assert_eq!(text, b"the rest");
    }
}
