//! Keyrings as operators write them.

use super::*;
use crate::vault::{BadEntry, BadKeyring, Place};

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(Kek::BYTES)
}

fn ids(ring: &Keyring) -> Vec<&str> {
    ring.ids().map(KekId::as_str).collect()
}

fn refused(text: &str) -> BadKeyring {
    Keyring::parse(text).unwrap_err()
}

#[test]
fn a_file_is_one_key_a_line_and_the_first_one_comes_first() {
    let text =
        format!("# a comment: with a colon\n\n  \nnew:{}\r\n  old:{}  \n", hex(2), hex(1).to_uppercase());
    assert_eq!(ids(&Keyring::parse(&text).unwrap()), ["new", "old"]);
}

#[test]
fn a_variable_parts_its_keys_by_commas_or_line_breaks() {
    for text in [
        format!("new:{},old:{}", hex(2), hex(1)),
        format!("new:{}\nold:{}\n", hex(2), hex(1)),
        format!(" new:{} , old:{},", hex(2), hex(1)),
    ] {
        assert_eq!(ids(&Keyring::parse_variable(&text).unwrap()), ["new", "old"], "{text}");
    }
    let bad = Keyring::parse_variable(&format!("new:{},old", hex(2))).unwrap_err();
    assert_eq!(bad, BadKeyring::Entry { place: Place::Entry(2), problem: BadEntry::NoColon });
    assert_eq!(bad.to_string(), "entry 2: expected an id, a colon and 64 hex digits");
}

#[test]
fn a_bad_line_is_named_by_its_number_and_never_repeated() {
    let digits = hex(0xab);
    let cases = [
        (digits.clone(), BadEntry::NoColon),
        (format!("k;1:{digits}"), BadEntry::BadId),
        (format!(":{digits}"), BadEntry::BadId),
        (format!("k 1:{digits}"), BadEntry::BadId),
        (format!("k1:{}", &digits[1..]), BadEntry::BadKey),
        (format!("k1:{digits}0"), BadEntry::BadKey),
        (format!("k1:{digits};k2:{digits}"), BadEntry::BadKey),
        (format!("k1:{}g", &digits[1..]), BadEntry::BadKey),
        (format!("k1: {digits}"), BadEntry::BadKey),
        (format!("k0:{digits}"), BadEntry::DuplicateId),
    ];
    for (line, problem) in cases {
        let bad = refused(&format!("# keys\nk0:{digits}\n\n{line}\n"));
        assert_eq!(bad, BadKeyring::Entry { place: Place::Line(4), problem }, "{line}");
        let shown = format!("{bad} {bad:?}");
        assert!(shown.starts_with("line 4: ") && !shown.contains("abab"), "{shown}");
    }
}

#[test]
fn a_text_without_a_key_is_no_keyring() {
    for text in ["", "\n\n", "# nothing\n"] {
        assert_eq!(refused(text), BadKeyring::Empty, "{text:?}");
    }
}

#[test]
fn a_keyring_is_bounded_in_keys_and_bytes() {
    let lines = |count: usize| (0..count).map(|n| format!("k{n}:{}\n", hex(1))).collect::<String>();
    assert_eq!(Keyring::parse(&lines(Keyring::MAX_KEYS)).unwrap().ids().count(), Keyring::MAX_KEYS);
    assert_eq!(refused(&lines(Keyring::MAX_KEYS + 1)), BadKeyring::TooMany);
    let filled = |bytes: usize| format!("k:{}\n{}", hex(1), "#".repeat(bytes - 67));
    assert!(Keyring::parse(&filled(Keyring::MAX_BYTES)).is_ok());
    assert_eq!(refused(&filled(Keyring::MAX_BYTES + 1)), BadKeyring::TooLong);
}
