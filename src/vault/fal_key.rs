//! A fal key as an operator gives it.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A whole fal key, `key_id:key_secret`: printable ASCII without spaces, the id 1 to 150 bytes without a colon, the
/// secret at least 1, all of it at most [`FalKey::MAX_BYTES`]. Wiped when dropped.
///
/// It cannot be cloned, so that the places of the secret in memory can be counted; share it in an `Arc`.
pub struct FalKey {
    whole: Zeroizing<String>,
    id_bytes: usize,
}

/// Why a text is no fal key. What the text was is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Longer than [`FalKey::MAX_BYTES`].
    #[error("a fal key has at most {} bytes", FalKey::MAX_BYTES)]
    TooLong,
    /// A space, a line break, a control character, or not ASCII.
    #[error("a fal key is printable ASCII without spaces and line breaks")]
    NotPrintable,
    /// Nothing parts an id from a secret.
    #[error("a fal key is key_id:key_secret; there is no colon in this one")]
    NoColon,
    /// Nothing before the colon.
    #[error("a fal key is key_id:key_secret; nothing is before the colon of this one")]
    NoId,
    /// The id is longer than its column.
    #[error("the id of a fal key, before its colon, has at most {} characters", FalKey::MAX_ID_BYTES)]
    IdTooLong,
    /// Nothing after the colon.
    #[error("a fal key is key_id:key_secret; nothing is after the colon of this one")]
    NoSecret,
}

impl FalKey {
    /// Bytes of a whole key.
    pub const MAX_BYTES: usize = 512;
    /// Bytes of its id: what the table's column `api_key` holds.
    pub const MAX_ID_BYTES: usize = 150;

    /// Takes the key over, exactly as it is: nothing is trimmed. The text is wiped if it is none.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn new(mut text: String) -> Result<Self, BadKey> {
        match id_bytes(&text) {
            Ok(id_bytes) => Ok(Self { whole: Zeroizing::new(text), id_bytes }),
            Err(refused) => {
                text.zeroize();
                Err(refused)
            }
        }
    }

    /// What is before the first colon. Not secret.
    pub fn key_id(&self) -> &str {
        &self.whole[..self.id_bytes]
    }

    /// The whole key: for the lease that hands it out and for the call to fal, for nothing else.
    pub fn expose(&self) -> &str {
        &self.whole
    }
}

/// Checks a key and says how long its id is.
fn id_bytes(text: &str) -> Result<usize, BadKey> {
    if text.len() > FalKey::MAX_BYTES {
        return Err(BadKey::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadKey::NotPrintable);
    }
    match text.split_once(':') {
        None => Err(BadKey::NoColon),
        Some(("", _)) => Err(BadKey::NoId),
        Some((id, _)) if id.len() > FalKey::MAX_ID_BYTES => Err(BadKey::IdTooLong),
        Some((_, "")) => Err(BadKey::NoSecret),
        Some((id, _)) => Ok(id.len()),
    }
}

impl ZeroizeOnDrop for FalKey {}

impl fmt::Debug for FalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FalKey({}:***)", self.key_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_an_id_a_colon_and_a_secret() {
        let key = FalKey::new("3f0c-id:s3cret".to_owned()).unwrap();
        assert_eq!((key.key_id(), key.expose()), ("3f0c-id", "3f0c-id:s3cret"));
        // Only the first colon parts; a secret may hold more.
        assert_eq!(FalKey::new("id:a:b".to_owned()).unwrap().key_id(), "id");
    }

    #[test]
    fn a_key_shows_its_id_and_nothing_of_its_secret() {
        let key = FalKey::new("id-1:s3cret".to_owned()).unwrap();
        assert_eq!(format!("{key:?}"), "FalKey(id-1:***)");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_reason_and_never_repeated() {
        let long_id = format!("{}:s3cret", "i".repeat(151));
        let long = format!("id:{}", "s3cret".repeat(85));
        for (text, reason) in [
            ("", BadKey::NoColon),
            ("s3cret", BadKey::NoColon),
            (":s3cret", BadKey::NoId),
            ("s3cret:", BadKey::NoSecret),
            ("s3cret\n", BadKey::NotPrintable),
            ("id:s3cret\n", BadKey::NotPrintable),
            ("id: s3cret", BadKey::NotPrintable),
            ("id:s3cret\0", BadKey::NotPrintable),
            ("id:s3cretключ", BadKey::NotPrintable),
            (&long_id, BadKey::IdTooLong),
            (&long, BadKey::TooLong),
        ] {
            let refused = FalKey::new(text.to_owned()).unwrap_err();
            assert_eq!(refused, reason, "{text:?}");
            assert!(!format!("{refused} {refused:?}").contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn the_longest_id_and_the_longest_key_are_taken() {
        let id = "i".repeat(FalKey::MAX_ID_BYTES);
        let key = format!("{id}:{}", "s".repeat(FalKey::MAX_BYTES - id.len() - 1));
        assert_eq!(FalKey::new(key).unwrap().key_id(), id);
    }
}
