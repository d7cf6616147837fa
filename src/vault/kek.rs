//! A key-encryption key and its name.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ledger::Text;

/// The name of a KEK, stored beside all that it seals: 1 to 64 letters, digits, `.`, `_` and `-`. Not secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KekId(Text);

/// A text that is no [`KekId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the id of a key-encryption key is 1 to {} letters, digits, dots, underscores and dashes",
    KekId::MAX_BYTES
)]
pub struct BadKekId;

impl KekId {
    /// Bytes of an id.
    pub const MAX_BYTES: usize = 64;

    /// Reads an id.
    ///
    /// # Errors
    /// [`BadKekId`], which does not repeat the text.
    pub fn new(text: &str) -> Result<Self, BadKekId> {
        let is_fit = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if is_fit { Ok(Self(Text::from(text))) } else { Err(BadKekId) }
    }

    /// The id as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn text(&self) -> Text {
        self.0.clone()
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key-encryption key: 32 bytes. Wiped when dropped; boxed, so that moving it leaves no copy behind.
pub struct Kek(Box<Zeroizing<[u8; Kek::BYTES]>>);

impl Kek {
    /// Bytes of a KEK.
    pub const BYTES: usize = 32;

    /// A new KEK of fresh bytes from the system's source of randomness. The caller wipes its own copy.
    pub fn new(mut random: [u8; Self::BYTES]) -> Self {
        let mut kek = Self::blank();
        kek.0.copy_from_slice(&random);
        random.zeroize();
        kek
    }

    /// From exactly 64 hex digits, in either case.
    pub(super) fn from_hex(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        if pairs.len() != Self::BYTES {
            return None;
        }
        let mut kek = Self::blank();
        for (byte, [high, low]) in kek.0.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(kek)
    }

    /// The key as 64 lower-case hex digits, for the file that keeps it.
    pub(super) fn to_hex(&self) -> Zeroizing<String> {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        // As long as it gets: a buffer that grows leaves its contents behind.
        let mut hex = Zeroizing::new(String::with_capacity(64));
        for byte in self.bytes() {
            hex.push(DIGITS[usize::from(byte >> 4)]);
            hex.push(DIGITS[usize::from(byte & 0xf)]);
        }
        hex
    }

    pub(super) fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn blank() -> Self {
        Self(Box::new(Zeroizing::new([0; Self::BYTES])))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl ZeroizeOnDrop for Kek {}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_short_word() {
        let longest = "k".repeat(64);
        for good in ["a", "2026-11", "scrip_v1.0", &longest] {
            assert_eq!(KekId::new(good).unwrap().as_str(), good);
        }
        let too_long = "k".repeat(65);
        for bad in ["", "a b", "a:b", "a,b", "a;b", "ключ", "a\n", &too_long] {
            assert_eq!(KekId::new(bad), Err(BadKekId), "{bad:?}");
        }
    }

    #[test]
    fn hex_is_read_in_either_case_and_written_in_lower() {
        let digits = "00ff".repeat(15) + "aB1f";
        let kek = Kek::from_hex(&digits).unwrap();
        assert_eq!(kek.bytes()[28..], [0, 0xff, 0xab, 0x1f]);
        assert_eq!(*kek.to_hex(), digits.to_lowercase());
    }

    #[test]
    fn what_is_not_64_hex_digits_is_no_kek() {
        let short = "0".repeat(62);
        let odd = "0".repeat(63);
        let long = "0".repeat(66);
        let letter = "0".repeat(63) + "g";
        let sign = "+0".repeat(32);
        let wide = "0".repeat(62) + "é";
        for bad in ["", &short, &odd, &long, &letter, &sign, &wide] {
            assert!(Kek::from_hex(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_kek_shows_nothing() {
        assert_eq!(format!("{:?}", Kek::new([7; 32])), "Kek(***)");
    }
}
