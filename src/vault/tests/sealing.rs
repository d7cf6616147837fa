//! Sealing, opening, rotating.

use proptest::prelude::*;

use super::*;
use crate::keypool::{Purpose, Sealed};
use crate::ledger::Text;
use crate::vault::{NoKek, Unreadable};

const NONCE: [u8; 24] = [9; 24];

/// `a:s3cret-of-a` for a lease, under the KEK `k1` of 32 ones; made by another implementation of XChaCha20-Poly1305.
const STORED: [u8; 54] = [
    0x01, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09,
    0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x92, 0xd7, 0xcc, 0xa5, 0x3d, 0xb4, 0x5d, 0x16, 0x7e,
    0x42, 0x96, 0x0e, 0x76, 0xdc, 0x6d, 0x75, 0xa0, 0xfb, 0x74, 0xd0, 0x40, 0xcb, 0x07, 0xd6, 0x63, 0x85,
    0x43, 0xe9, 0xdd,
];

/// `b:s3cret-of-b`, sealed as `STORED` is for the row of `a`.
const FOREIGN: [u8; 54] = [
    0x01, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09,
    0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x09, 0x91, 0xd7, 0xcc, 0xa5, 0x3d, 0xb4, 0x5d, 0x16, 0x7e,
    0x42, 0x96, 0x0e, 0x75, 0xe4, 0x8c, 0xf1, 0x0b, 0x85, 0xe9, 0xde, 0x52, 0x3a, 0xc3, 0x88, 0x32, 0x8c,
    0x25, 0x84, 0xed,
];

fn damaged(key_id: &str) -> Unreadable {
    Unreadable::Damaged { key_id: Text::from(key_id) }
}

#[test]
fn what_was_sealed_opens() {
    let ring = ring(&[("k1", 1)]);
    for purpose in [Purpose::Lease, Purpose::Billing] {
        let sealed = ring.seal(&key("a"), purpose, NONCE).unwrap();
        assert_eq!(&*sealed.kek_id, "k1");
        assert_eq!(ring.open("a", purpose, &sealed).unwrap().expose(), key("a").expose());
    }
}

#[test]
fn the_stored_form_stays_readable() {
    let stored = Sealed { kek_id: Text::from("k1"), bytes: STORED.to_vec().into() };
    let opened = ring(&[("k1", 1)]).open("a", Purpose::Lease, &stored).unwrap();
    assert_eq!(opened.expose(), "a:s3cret-of-a");
    assert_eq!(ring(&[("k1", 1)]).seal(&opened, Purpose::Lease, NONCE), Ok(stored));
}

#[test]
fn a_secret_that_names_another_row_inside_does_not_open() {
    let foreign = Sealed { kek_id: Text::from("k1"), bytes: FOREIGN.as_slice().into() };
    assert_eq!(ring(&[("k1", 1)]).open("a", Purpose::Lease, &foreign).unwrap_err(), damaged("a"));
}

#[test]
fn the_sealed_bytes_show_nothing_of_the_key() {
    let sealed = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    assert!(!sealed.bytes.windows(4).any(|four| CANARY.as_bytes().windows(4).any(|part| part == four)));
    let other = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, [10; 24]).unwrap();
    assert_ne!(sealed, other);
}

#[test]
fn every_flipped_bit_and_every_missing_or_added_byte_is_noticed() {
    let ring = ring(&[("k1", 1)]);
    let whole = ring.seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    let opens = |sealed: Vec<u8>| {
        let changed = Sealed { bytes: sealed.into(), ..whole.clone() };
        ring.open("a", Purpose::Lease, &changed).map(|_| ())
    };
    assert_eq!(opens(whole.bytes.to_vec()), Ok(()));
    for bit in 0..whole.bytes.len() * 8 {
        let mut sealed = whole.bytes.to_vec();
        sealed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opens(sealed), Err(damaged("a")), "bit {bit}");
    }
    for length in 0..whole.bytes.len() {
        assert_eq!(opens(whole.bytes[..length].to_vec()), Err(damaged("a")), "{length} bytes");
    }
    assert_eq!(opens([&whole.bytes[..], &[0]].concat()), Err(damaged("a")));
    assert_eq!(opens(vec![1; 10_000]), Err(damaged("a")));
}

#[test]
fn a_secret_opens_in_its_own_row_only() {
    let ring = ring(&[("k1", 1)]);
    let (a, b) = (key("a"), key("b"));
    let in_a = ring.seal(&a, Purpose::Lease, NONCE).unwrap();
    let in_b = ring.seal(&b, Purpose::Lease, [10; 24]).unwrap();
    assert_eq!(ring.open("a", Purpose::Lease, &in_b).unwrap_err(), damaged("a"));
    assert_eq!(ring.open("b", Purpose::Lease, &in_a).unwrap_err(), damaged("b"));
}

#[test]
fn a_billing_key_does_not_open_for_a_lease() {
    let ring = ring(&[("k1", 1)]);
    let billing = ring.seal(&key("a"), Purpose::Billing, NONCE).unwrap();
    assert_eq!(ring.open("a", Purpose::Lease, &billing).unwrap_err(), damaged("a"));
}

#[test]
fn another_kek_under_the_same_id_opens_nothing() {
    let sealed = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    assert_eq!(ring(&[("k1", 2)]).open("a", Purpose::Lease, &sealed).unwrap_err(), damaged("a"));
}

#[test]
fn the_same_kek_under_another_id_opens_nothing() {
    let mut sealed = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    sealed.kek_id = Text::from("k2");
    assert_eq!(ring(&[("k2", 1)]).open("a", Purpose::Lease, &sealed).unwrap_err(), damaged("a"));
}

#[test]
fn a_kek_that_is_not_configured_is_named() {
    let sealed = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    for ring in [ring(&[("k2", 1)]), Keyring::default()] {
        let refused = ring.open("a", Purpose::Lease, &sealed).unwrap_err();
        assert_eq!(refused, Unreadable::NoKek { kek_id: Text::from("k1") });
        assert!(refused.to_string().contains("\"k1\""), "{refused}");
    }
}

#[test]
fn without_a_kek_nothing_is_sealed() {
    assert_eq!(Keyring::default().seal(&key("a"), Purpose::Lease, NONCE), Err(NoKek));
}

#[test]
fn rotation_seals_anew_under_the_first_key_while_the_old_one_still_opens() {
    let old = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    let both = ring(&[("k2", 2), ("k1", 1)]);
    assert!(!both.is_current(&old));
    assert_eq!(both.open("a", Purpose::Lease, &old).unwrap().expose(), key("a").expose());

    let new = both.reseal("a", Purpose::Lease, &old, [10; 24]).unwrap();
    assert!(both.is_current(&new));
    assert_eq!(ring(&[("k2", 2)]).open("a", Purpose::Lease, &new).unwrap().expose(), key("a").expose());
}

#[test]
fn what_does_not_open_is_not_sealed_anew() {
    let old = ring(&[("k1", 1)]).seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    let both = ring(&[("k2", 2), ("k1", 1)]);
    assert_eq!(both.reseal("b", Purpose::Lease, &old, NONCE), Err(damaged("b")));
    let none = ring(&[("k2", 2)]).reseal("a", Purpose::Lease, &old, NONCE);
    assert_eq!(none, Err(Unreadable::NoKek { kek_id: Text::from("k1") }));
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let ring = ring(&[("k1", 0xab), ("k2", 2)]);
    let sealed = ring.seal(&key("a"), Purpose::Lease, NONCE).unwrap();
    let refused = ring.open("b", Purpose::Lease, &sealed).unwrap_err();
    let shown = format!("{ring:?} {:?} {sealed:?} {refused:?} {refused}", key("a"));
    assert_eq!(format!("{ring:?}"), "Keyring[\"k1\", \"k2\"]");
    assert_eq!(format!("{sealed:?}"), "Sealed(by k1)");
    assert!(!shown.contains(CANARY) && !shown.contains("abab") && !shown.contains("171"), "{shown}");
}

proptest! {
    #[test]
    fn any_key_opens_as_it_was_and_for_nobody_else(
        key_id in "[!-9;-~]{1,150}",
        secret in "[!-~]{1,300}",
        kek: u8,
        nonce: [u8; 24],
    ) {
        let whole = format!("{key_id}:{secret}");
        let ring = ring(&[("k", kek)]);
        let sealed = ring.seal(&FalKey::new(whole.clone()).unwrap(), Purpose::Lease, nonce).unwrap();
        let opened = ring.open(&key_id, Purpose::Lease, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), whole);
        prop_assert!(ring.open(&key_id, Purpose::Billing, &sealed).is_err());
        let neighbour = format!("{key_id}x");
        prop_assert!(ring.open(&neighbour, Purpose::Lease, &sealed).is_err());
    }

    #[test]
    fn no_bytes_open_by_chance(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let forged = Sealed { kek_id: Text::from("k"), bytes: [&[1], &bytes[..]].concat().into() };
        prop_assert!(ring(&[("k", 1)]).open("a", Purpose::Lease, &forged).is_err());
    }
}
