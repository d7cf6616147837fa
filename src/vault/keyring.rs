//! The KEKs of a process, in order: the first one seals, every one opens.

use std::fmt;

use zeroize::Zeroizing;

use super::sealed::{self, NoKek, Unreadable};
use super::{FalKey, Kek, KekId};
use crate::keypool::{Purpose, Sealed};
use crate::ledger::Text;

/// Key-encryption keys by id. Empty by default: then it opens nothing and seals nothing.
#[derive(Default)]
pub struct Keyring(Vec<(KekId, Kek)>);

/// Where in a text of KEKs something is wrong, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file.
    Line(usize),
    /// An entry of a variable, whose entries are parted by commas or line breaks.
    Entry(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Entry(number) => write!(f, "entry {number}"),
        }
    }
}

/// Why one entry is no KEK. What it was is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// No colon in it.
    #[error("expected an id, a colon and 64 hex digits")]
    NoColon,
    /// What is before the colon is no id.
    #[error(
        "the id before the colon must be 1 to {} letters, digits, dots, underscores or dashes",
        KekId::MAX_BYTES
    )]
    BadId,
    /// What is after the colon is no key.
    #[error("a key of exactly 64 hex digits must follow the colon")]
    BadKey,
    /// An earlier entry has the same id.
    #[error("its id is that of an earlier key: each key needs an id of its own")]
    DuplicateId,
}

/// Why a text is no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyring {
    /// Longer than [`Keyring::MAX_BYTES`].
    #[error("longer than {} bytes", Keyring::MAX_BYTES)]
    TooLong,
    /// More keys than [`Keyring::MAX_KEYS`].
    #[error("more than {} keys", Keyring::MAX_KEYS)]
    TooMany,
    /// Not one key in it.
    #[error("no key in it: expected an id, a colon and 64 hex digits")]
    Empty,
    /// One entry is wrong.
    #[error("{place}: {problem}")]
    Entry {
        /// Which.
        place: Place,
        /// What is wrong with it.
        problem: BadEntry,
    },
}

impl Keyring {
    /// Bytes of a file or a variable.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// Keys in one keyring.
    pub const MAX_KEYS: usize = 100;

    /// Reads the text of a file: one `id:64-hex-digits` a line; blank lines and lines that begin with `#` are passed
    /// over.
    ///
    /// # Errors
    /// [`BadKeyring`], with the line and without its content.
    pub fn parse(text: &str) -> Result<Self, BadKeyring> {
        Self::read(text, &['\n'], Place::Line)
    }

    /// Reads the text of an environment variable: as [`parse`](Self::parse), and a comma ends an entry as well.
    ///
    /// # Errors
    /// [`BadKeyring`], with the entry's number and without its content.
    pub fn parse_variable(text: &str) -> Result<Self, BadKeyring> {
        Self::read(text, &['\n', ','], Place::Entry)
    }

    /// A keyring of one new KEK, of fresh bytes from the system's source of randomness.
    pub fn generate(id: KekId, random: [u8; Kek::BYTES]) -> Self {
        Self(vec![(id, Kek::new(random))])
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of its keys, the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = &KekId> {
        self.0.iter().map(|(id, _)| id)
    }

    /// Seals a key under the first KEK, bound to its own id and `purpose`. `nonce` is fresh from the system's source of
    /// randomness each time: 24 bytes are enough never to meet again.
    ///
    /// # Errors
    /// [`NoKek`] if the keyring is empty.
    pub fn seal(&self, key: &FalKey, purpose: Purpose, nonce: [u8; 24]) -> Result<Sealed, NoKek> {
        let (id, kek) = self.0.first().ok_or(NoKek)?;
        Ok(sealed::seal(id, kek, key, purpose, nonce))
    }

    /// Opens the sealed key of the row of `key_id`.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn open(&self, key_id: &str, purpose: Purpose, sealed: &Sealed) -> Result<FalKey, Unreadable> {
        let (id, kek) = self
            .0
            .iter()
            .find(|(id, _)| id.as_str() == &*sealed.kek_id)
            .ok_or_else(|| Unreadable::NoKek { kek_id: sealed.kek_id.clone() })?;
        sealed::open(id, kek, &sealed.bytes, key_id, purpose)
            .ok_or_else(|| Unreadable::Damaged { key_id: Text::from(key_id) })
    }

    /// Whether the first KEK sealed it; what an older one sealed waits to be [resealed](Self::reseal).
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.ids().next().is_some_and(|first| first.as_str() == &*sealed.kek_id)
    }

    /// The same key for the same row, sealed anew under the first KEK. `nonce` as for [`seal`](Self::seal).
    ///
    /// # Errors
    /// [`Unreadable`] if it does not open.
    pub fn reseal(
        &self,
        key_id: &str,
        purpose: Purpose,
        sealed: &Sealed,
        nonce: [u8; 24],
    ) -> Result<Sealed, Unreadable> {
        let key = self.open(key_id, purpose, sealed)?;
        self.seal(&key, purpose, nonce).map_err(|NoKek| Unreadable::NoKek { kek_id: sealed.kek_id.clone() })
    }

    /// The key that seals as a line of a file, `id:64-hex-digits`: for where a new key is kept, and nowhere else.
    pub fn first_line(&self) -> Option<Zeroizing<String>> {
        let (id, kek) = self.0.first()?;
        let hex = kek.to_hex();
        // As long as it gets: a buffer that grows leaves its contents behind.
        let mut line = Zeroizing::new(String::with_capacity(
            id.as_str().len().saturating_add(hex.len()).saturating_add(1),
        ));
        line.push_str(id.as_str());
        line.push(':');
        line.push_str(&hex);
        Some(line)
    }

    fn read(text: &str, ends: &[char], place: fn(usize) -> Place) -> Result<Self, BadKeyring> {
        if text.len() > Self::MAX_BYTES {
            return Err(BadKeyring::TooLong);
        }
        let mut keys: Vec<(KekId, Kek)> = Vec::new();
        for (number, entry) in (1..).zip(text.split(ends)) {
            let entry = entry.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let bad = |problem| BadKeyring::Entry { place: place(number), problem };
            let (id, digits) = entry.split_once(':').ok_or_else(|| bad(BadEntry::NoColon))?;
            let id = KekId::new(id).map_err(|_| bad(BadEntry::BadId))?;
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(bad(BadEntry::DuplicateId));
            }
            let kek = Kek::from_hex(digits).ok_or_else(|| bad(BadEntry::BadKey))?;
            if keys.len() == Self::MAX_KEYS {
                return Err(BadKeyring::TooMany);
            }
            keys.push((id, kek));
        }
        if keys.is_empty() { Err(BadKeyring::Empty) } else { Ok(Self(keys)) }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")?;
        f.debug_list().entries(self.ids().map(KekId::as_str)).finish()
    }
}
