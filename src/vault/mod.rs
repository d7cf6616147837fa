//! The vault: the secrets of fal accounts, sealed at rest.
//!
//! A fal key is `key_id:key_secret`. The id is no secret and is a column like another; the whole key is stored sealed,
//! by XChaCha20-Poly1305 under a key-encryption key (KEK) that the database never sees. Nothing here knows a
//! database, a wire format, a clock or randomness: nonces and new keys are handed in as bytes.
//!
//! The life of a secret:
//!
//! | phase | where | what |
//! |---|---|---|
//! | given | [`fal_key`] | an operator's text becomes a [`FalKey`], or is wiped |
//! | keys | [`keyring`], [`file`](mod@file) | the KEKs, from a file or the environment; the first one seals |
//! | sealed | [`sealed`] | a [`Sealed`](crate::keypool::Sealed) key, bound to its row: its purpose, its key id, its KEK's id |
//! | opened | [`Keyring::open`] | the [`FalKey`] again, or [`Unreadable`] with the reason |
//! | rotated | [`Keyring::reseal`] | what an older KEK sealed ([`Keyring::is_current`]) goes under the first one |
//!
//! What is secret is wiped from memory when dropped, has no `Display` and no serialisation, compares with nothing, and
//! neither its `Debug` nor any error shows it.

#![deny(clippy::arithmetic_side_effects)]

pub mod fal_key;
pub mod file;
pub mod kek;
pub mod keyring;
pub mod sealed;

#[cfg(test)]
mod tests;

pub use fal_key::{BadKey, FalKey};
pub use file::{FileError, FileProblem};
pub use kek::{BadKekId, Kek, KekId};
pub use keyring::{BadEntry, BadKeyring, Keyring, Place};
pub use sealed::{NoKek, Unreadable};
