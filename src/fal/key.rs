//! The key that a call to fal is made with: wiped from memory when the last copy goes, and never shown.

use std::fmt;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use zeroize::{Zeroize, Zeroizing};

/// A fal key, `key_id:key_secret`. It has no `Display`, its `Debug` shows nothing, and it compares with nothing.
///
/// The buffer it owns is wiped. The header made of it for a request lives in the HTTP client's memory, which is
/// freed unwiped; it is marked sensitive, so that nothing prints it.
#[derive(Clone)]
pub struct ApiKey(Arc<Zeroizing<String>>);

/// A text that cannot be a key. What it was is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fal key is printable ASCII without spaces")]
pub struct BadKey;

impl ApiKey {
    /// Takes the key over; the text is wiped if it is none.
    ///
    /// # Errors
    /// When it is empty or holds what a header may not.
    pub fn new(mut text: String) -> Result<Self, BadKey> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            text.zeroize();
            return Err(BadKey);
        }
        Ok(Self(Arc::new(Zeroizing::new(text))))
    }

    /// The value of `Authorization`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new([b"Key ", self.0.as_bytes()].concat());
        let mut value = HeaderValue::from_bytes(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = ApiKey::new("id-1:s3cret".to_owned()).unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(***)");
        let header = key.header().unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header.as_bytes(), b"Key id-1:s3cret");
        assert!(!format!("{header:?}").contains("s3cret"));
    }

    #[test]
    fn what_a_header_may_not_hold_is_no_key() {
        for text in ["", "a b", "a:b\r\nx: y", "a:b\0", "ключ:b"] {
            let refused = ApiKey::new(text.to_owned()).unwrap_err();
            assert_eq!(refused, BadKey, "{text:?}");
        }
    }
}
