//! A sealed fal key: what is stored, and what it is bound to.
//!
//! The bytes: version (1), nonce (24), ciphertext, tag (16). The associated data is the row that they belong to, part
//! by part with its length in front, so that no part can give a byte to its neighbour.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::{FalKey, Kek, KekId};
use crate::keypool::{Purpose, Sealed};
use crate::ledger::Text;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Nothing seals: the keyring is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key-encryption key is configured, so no secret can be stored")]
pub struct NoKek;

/// Why a sealed key does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its KEK is not in the keyring.
    #[error("the key-encryption key {kek_id:?} is not configured")]
    NoKek {
        /// As it is stored.
        kek_id: Text,
    },
    /// The KEK of that id does not open it for that row and purpose: a changed bit, another row's secret, another key
    /// under the id.
    #[error(
        "the sealed secret of the fal key {key_id:?} is damaged, belongs to another row, or was sealed by another \
         key-encryption key of the same id"
    )]
    Damaged {
        /// The row's.
        key_id: Text,
    },
}

/// Seals `key`; each nonce at most once in the life of a KEK.
pub(super) fn seal(id: &KekId, kek: &Kek, key: &FalKey, purpose: Purpose, nonce: [u8; NONCE]) -> Sealed {
    let plain = key.expose().as_bytes();
    let mut sealed = Vec::with_capacity(1_usize.saturating_add(NONCE + TAG).saturating_add(plain.len()));
    sealed.push(VERSION);
    sealed.extend_from_slice(&nonce);
    let start = sealed.len();
    // The buffer has its whole length from the start: encrypted where it lies, the key leaves no copy.
    sealed.extend_from_slice(plain);
    let bound = associated_data(id.as_str(), key.key_id(), purpose);
    let tag = cipher(kek)
        .encrypt_inout_detached(&XNonce::from(nonce), &bound, (&mut sealed[start..]).into())
        .expect("a fal key is far below the cipher's 256 GiB");
    sealed.extend_from_slice(&tag);
    Sealed { kek_id: id.text(), bytes: sealed.into() }
}

/// Opens what [`seal`] made for the same KEK, key id and purpose; nothing else.
pub(super) fn open(id: &KekId, kek: &Kek, sealed: &[u8], key_id: &str, purpose: Purpose) -> Option<FalKey> {
    let (&version, rest) = sealed.split_first()?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
    if version != VERSION || ciphertext.len() > FalKey::MAX_BYTES {
        return None;
    }
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let bound = associated_data(id.as_str(), key_id, purpose);
    cipher(kek)
        .decrypt_inout_detached(&XNonce::from(*nonce), &bound, plain.as_mut_slice().into(), &Tag::from(*tag))
        .ok()?;
    let key = FalKey::new(std::str::from_utf8(&plain).ok()?.to_owned()).ok()?;
    (key.key_id() == key_id).then_some(key)
}

fn cipher(kek: &Kek) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(<&Key>::from(kek.bytes()))
}

fn associated_data(kek_id: &str, key_id: &str, purpose: Purpose) -> Vec<u8> {
    let parts: [&[u8]; 5] =
        [b"scrip.account_key", &[VERSION], purpose.as_str().as_bytes(), key_id.as_bytes(), kek_id.as_bytes()];
    let mut data = Vec::new();
    for part in parts {
        // Eight bytes on every machine: what one seals another opens.
        data.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_have_the_same_associated_data() {
        let data = associated_data("k1", "id", Purpose::Lease);
        assert_eq!(data, associated_data("k1", "id", Purpose::Lease));
        for (kek_id, key_id, purpose) in [
            ("k", "1id", Purpose::Lease),
            ("k1i", "d", Purpose::Lease),
            ("id", "k1", Purpose::Lease),
            ("k1", "id", Purpose::Billing),
        ] {
            assert_ne!(data, associated_data(kek_id, key_id, purpose), "{kek_id} {key_id}");
        }
    }
}
